"""Kills commands at random moments and goes on, until each has ended, again and again; compares with undisturbed runs.

    kill_loop.py [--kills 500] [--seconds S] [--steps 120] [--seed 1] [--program build/release/saferclip]
        prepare, train and export on a tiny model: LoRA and full, fp32 and bf16, dropout, micro-batches, curriculum,
        crops, validations, saves beside the steps. Ends after S seconds when the kills take longer.
    kill_loop.py CONFIG [--kills 20] [--set KEY=VALUE …]
        a training run of your own, killed until it has ended

Prints kills and completed runs by command. Exits 0 only when weights, optimizer state, metrics lines, artifacts and
exported files are equal to the bit.
"""
import argparse
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import World  # noqa: E402

CROPS = ["--set", "data.augment=crop"]
FULL = ["--set", "adapter={method: full}", "--set", "optimizer.lr=1.0e-3"]
VARIANTS = {
    "lora fp32": [],
    "lora bf16": ["--set", "train.precision=bf16"],
    "full fp32": FULL,
    "full bf16": [*FULL, "--set", "train.precision=bf16", "--set", "train.micro_batch_size=3"],
    "crops": [*CROPS, "--set", "train.micro_batch_size=null"],
    "cached": ["--set", "train.gradient_cache=true", "--set", "train.recompute=blocks"],
}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result_of_run(folder):
    checkpoint = folder / "checkpoints" / (folder / "checkpoints/latest").read_text().strip()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for key in ("quadruplets_per_s", "device_peak_bytes", "waited_s"):  # of the process, not of the run
            line.pop(key, None)
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == list(range(1, len(steps) + 1)), f"steps in metrics.jsonl: {steps}"
    return [checkpoint.name, digest(checkpoint / "weights.safetensors"), digest(checkpoint / "optimizer.safetensors"), lines]


def result_of_cache(folder):
    return {str(p.relative_to(folder)): digest(p) for p in sorted(folder.glob("*/data.safetensors"))}


def result_of_export(folder):
    return {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


class Job:
    """One command, run undisturbed once for its result and its time, then killed and resumed."""

    def __init__(self, program, name, arguments, folder, result, cwd, is_whole_or_absent=False):
        self.command = lambda place: [program, "--threads", "1", "--log-level", "error", *arguments(place)]
        self.name, self.folder, self.read, self.cwd = name, folder, result, cwd
        self.is_whole_or_absent = is_whole_or_absent
        began = time.monotonic()
        subprocess.run(self.command("undisturbed"), check=True, cwd=cwd, stdout=subprocess.DEVNULL)
        self.duration = time.monotonic() - began
        self.expected = result(folder("undisturbed"))
        self.kills = self.completed = 0

    def start_over(self):
        shutil.rmtree(self.folder("killed"), ignore_errors=True)

    def require_equal(self):
        if self.read(self.folder("killed")) != self.expected:
            sys.exit(f"{self.name}: differs from the undisturbed run after {self.kills} kills ({self.folder('killed')})")
        self.completed += 1

    def kill_once(self, rng, patience):
        """Starts or resumes the command and kills it at a random moment; True when it ended first."""
        process = subprocess.Popen(self.command("killed"), cwd=self.cwd, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(rng.random() * self.duration * (1.05 + 0.1 * patience))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.kills += 1
            # Killed between its last rename and its end: all is there, and a second export would be refused.
            return self.is_whole_or_absent and self.folder("killed").exists()
        if code != 0:
            sys.exit(f"{self.name}: exit {code} after {self.kills} kills")
        return True

    def kill_until_ended(self, rng, most):
        """At most `most` kills, then to the end; the result must be the undisturbed run's."""
        self.start_over()
        for tries in range(most):
            if self.kill_once(rng, tries):
                break
        else:
            subprocess.run(self.command("killed"), check=True, cwd=self.cwd, stdout=subprocess.DEVNULL)
        self.require_equal()


def tiny_jobs(program, root, steps):
    World.program = program
    world = World(root)
    world.make_base()
    world.train("source")
    jobs = []
    for name, settings in VARIANTS.items():
        dash = name.replace(" ", "_")
        jobs.append(Job(program, f"train, {name}", lambda place, dash=dash, settings=settings: [
            "train", "safe.yaml", "--set", f"run.name={dash}_{place}", "--set", f"train.max_steps={steps}", *settings,
            "--resume", "auto"],
            lambda place, dash=dash: root / "runs" / f"{dash}_{place}", result_of_run, root))
    jobs.append(Job(program, "prepare", lambda place: ["prepare", "safe.yaml", "--set", f"data.cache_dir=cache_{place}"],
                    lambda place: root / f"cache_{place}", result_of_cache, root))
    for form in ("hf", "open_clip", "openai", "peft", "onnx"):
        jobs.append(Job(program, f"export --to {form}", lambda place, form=form: [
            "export", "runs/source", "--to", form, "--out", f"{form}_{place}"],
            lambda place, form=form: root / f"{form}_{place}", result_of_export, root, is_whole_or_absent=True))
    return jobs


def own_job(arguments):
    def command(place):
        extra = [f"run.dir={arguments.runs}", f"run.name=kill_loop_{place}", *arguments.set]
        return ["train", arguments.config, "--resume", "auto", *(a for e in extra for a in ("--set", e))]
    folder = lambda place: arguments.runs / f"kill_loop_{place}"
    shutil.rmtree(folder("undisturbed"), ignore_errors=True)
    return Job(arguments.program, "train", command, folder, result_of_run, None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config", nargs="?")
    parser.add_argument("--program", default="build/release/saferclip")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--steps", type=int, default=120, help="of the tiny training runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    arguments.program = str(pathlib.Path(arguments.program).resolve())
    rng = random.Random(arguments.seed)
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as root:
        jobs = [own_job(arguments)] if arguments.config else tiny_jobs(arguments.program, pathlib.Path(root), arguments.steps)
        wanted = arguments.kills or (20 if arguments.config else 500)
        if arguments.config:
            jobs[0].kill_until_ended(rng, wanted)
        while not arguments.config and sum(job.kills for job in jobs) < wanted and time.monotonic() < end:
            for job in jobs:
                job.kill_until_ended(rng, 12)
        for job in jobs:
            print(f"{job.name}: {job.kills} kills, {job.completed} times to the end, equal to the bit "
                  f"(undisturbed {job.duration:.1f} s)")
        print(json.dumps({"kills": sum(job.kills for job in jobs), "by_command": {job.name: job.kills for job in jobs}}))


if __name__ == "__main__":
    main()
