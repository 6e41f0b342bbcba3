"""How long every command takes to end after SIGTERM, with a real model's size.

    stop_time.py --weights FOLDER [--commands train prepare …] [--signals 5] [--threads 2] [--most 30] [--program build/release/saferclip]

FOLDER: weights of any layout that need no tokenizer of their own (`tests/bench/step.py --make l14 --inside FOLDER` makes random ones
of ViT-L/14's size in FOLDER/weights). Each command runs once to its end and is then stopped SIGNALS times, at moments spread over
that time; training, which goes on where it was stopped, until it is done. Exits 0 only when every stopped command ended within
MOST seconds with 143 and left no half file. Prints a table.
"""
import argparse
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import World, file_hash  # noqa: E402

TRAIN = ("train", "safe.yaml", "--resume", "auto")
COMMANDS = {
    "prepare": ("prepare", "safe.yaml", "--set", "data.cache_dir={out}"),
    "targets": ("targets", "safe.yaml", "--csv", "{out}"),
    "evaluate": ("evaluate", "runs/safe", "--split", "train", "--out", "{out}"),
    "report": ("report", "runs/safe", "--out", "{out}"),
    "embed": ("embed", "runs/safe", "--images", "images/safe0.png", "images/safe1.png", "--out", "{out}.csv"),
    **{f"export {to}": ("export", "runs/safe", "--to", to, "--out", "{out}") for to in ("hf", "openai", "open_clip", "peft", "onnx")},
}


class Stopper:
    def __init__(self, root, arguments):
        self.world = World(root)
        (root / "base").symlink_to(arguments.weights.resolve())
        self.root, self.threads = root, arguments.threads
        (root / "safe.yaml").write_text(
            "model: {weights: base}\ndata: {train: train.jsonl, validation: train.jsonl, cache_dir: cache}\n"
            "adapter: {rank: 16, dropout: 0.1}\nschedule: {name: constant}\n"
            "train: {max_steps: 6, batch_size: 12, precision: bf16}\ncheckpoint: {every_steps: 2, keep_last: 1}\n"
            "evaluate: {every_epochs: 1, bootstrap: 2000}\nrun: {name: safe}\n")

    def start(self, *words):
        return subprocess.Popen([World.program, "--threads", str(self.threads), *words], cwd=self.root, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def whole(self, *words):
        began = time.monotonic()
        process = self.start(*words)
        said = process.communicate()[1]
        if process.returncode != 0:
            sys.exit(f"{words}: exit {process.returncode}\n{said}")
        return time.monotonic() - began

    def stopped(self, after, *words):
        """Seconds from the signal to the end, and the exit code."""
        process = self.start(*words)
        time.sleep(after)
        process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        said = process.communicate()[1]
        took = time.monotonic() - sent
        if process.returncode not in (0, 143, -signal.SIGTERM):
            sys.exit(f"{words}: exit {process.returncode}\n{said}")
        left = [str(p) for p in self.root.rglob(".*") if ".tmp-" in p.name]
        if left:
            sys.exit(f"{words}: left {left}")
        return took, process.returncode

    def remove(self, name):
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def remove_output(self, name):
        for path in (name, f"{name}.csv"):
            self.remove(path)

    def command(self, words, signals, rng):
        """Length of the whole command, and the seconds that the stops took."""
        length = self.whole(*(w.format(out="whole") for w in words))
        self.remove_output("whole")
        times = []
        for i in range(signals):
            took, code = self.stopped(length * (i + rng.random()) / signals, *(w.format(out="out") for w in words))
            self.remove_output("out")
            if code != 0:
                times.append(took)
        return length, times

    def training(self, signals, rng):
        """Stopped at random moments until its end; each stop keeps what was done."""
        length = self.whole(*TRAIN)
        name = ("--set", "run.name=stopped", "--set", "data.cache_dir=stopped_cache")
        times = []
        while True:
            took, code = self.stopped(rng.random() * length / 2 + 0.02 * length * len(times), *TRAIN, *name)
            if code == 0:
                break
            times.append(took)
            if len(times) >= 10 * signals:
                sys.exit("training never came to its end")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            if file_hash(self.world.checkpoint("safe") / file) != file_hash(self.world.checkpoint("stopped") / file):
                sys.exit(f"{file} of the stopped run differs")
        self.remove("runs/stopped")
        return length, times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--commands", nargs="+", default=["train", *COMMANDS], choices=["train", *COMMANDS])
    parser.add_argument("--signals", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=float, default=30)
    parser.add_argument("--program", default="build/release/saferclip")
    arguments = parser.parse_args()
    World.program = str(pathlib.Path(arguments.program).resolve())
    rng, slowest = random.Random(1), 0.0
    print("| command | whole, s | stops | longest, s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        stopper = Stopper(pathlib.Path(folder).resolve(), arguments)
        if "train" not in arguments.commands:  # the others need its run
            stopper.whole(*TRAIN)
        for name in arguments.commands:
            length, times = (stopper.training(arguments.signals, rng) if name == "train" else
                             stopper.command(COMMANDS[name], arguments.signals, rng))
            slowest = max(slowest, *times, 0)
            print(f"| {name} | {length:.1f} | {len(times)} | {max(times, default=0):.1f} |", flush=True)
    sys.exit(0 if slowest <= arguments.most else f"a command took {slowest:.0f} s to end")


if __name__ == "__main__":
    main()
