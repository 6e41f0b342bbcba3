"""Kills processes of shared work again and again and goes on, until it has ended; compares with undisturbed runs.

    processes.py [--kills 100] [--seconds S] [--seed 1] [--program build/release/saferclip]

Of each run, or each preparation, one process, the first one or all of them get SIGKILL: at a random moment, or while they
prepare, save or validate. The others must end within a minute, with the code and the sentence of a loss. Prints how many
kills hit what. Exits 0 only when weights, optimizer state, metrics lines and caches are equal to the bit.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("distributed", "e2e")]
from kill_loop import result_of_cache, result_of_run  # noqa: E402
from training import LOST, PROMISED, Group  # noqa: E402
from world import Workspace, World, png, sets  # noqa: E402

UNKNOWN = 15  # seconds until the rest is asked to end
ALLOWED = {0, LOST, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM}  # the last one: before the program watches signals
STEP_BY_STEP = ("checkpoint.every_minutes=0", "checkpoint.every_steps=1", "evaluate.every_epochs=1", "evaluate.batch_size=2")
VARIANTS = {
    "lora": STEP_BY_STEP,
    "full": (*STEP_BY_STEP, "adapter={method: full}", "optimizer.lr=1.0e-3"),
    "cached": (*STEP_BY_STEP, "train.gradient_cache=true"),
}
SIZES = (2, 3)
MANY = 150  # rows that the command `prepare` gets
LOSS = re.compile(r"rank \d+ on .*(was killed or crashed|was lost|has not answered|ended while the run was starting)"
                  r"|meeting point of the run at .* was lost")


class Run:
    """A training run in several processes, and where it is."""
    aims = {"prepare": 0.05, "validate": 0.02, "save": 0.002}  # and for how many seconds at most it goes on there

    def __init__(self, world, variant, size):
        self.root, self.name = world.root, f"{variant} in {size} processes"
        self.folder = world.root / "runs/killed"
        self.start = lambda name="killed": Group(world, size, "train", "safe.yaml", *sets(f"run.name={name}", *VARIANTS[variant]),
                                                 "--resume", "auto")
        whole = f"whole-{variant}-{size}"
        self.lasted = run_undisturbed(self.name, self.start(whole))
        self.expected = result_of_run(world.root / "runs" / whole)
        self.validated = {line["step"] for line in self.expected[3] if line["kind"] == "evaluation"}

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_cold(self):
        shutil.rmtree(self.root / "cache", ignore_errors=True)

    def mark(self):
        """Remembers what an earlier start has logged."""
        log = self.folder / "train.log"
        self.logged = log.stat().st_size if log.exists() else -1

    def phase(self):
        log = self.folder / "train.log"
        if not log.exists() or log.stat().st_size == self.logged:
            return "start"
        with open(log) as file:
            file.seek(max(0, self.logged))
            said = file.read()
        if "\nsteps " not in said:  # the plan, after all that is prepared
            return "prepare"
        if any((self.folder / "checkpoints").glob(".step_*")):
            return "save"
        metrics = self.folder / "metrics.jsonl"
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        try:
            last = json.loads(lines[-1]) if lines else {"kind": "none"}
        except ValueError:  # half written
            return "step"
        return "validate" if last["kind"] == "train" and last["step"] in self.validated else "step"

    def result(self):
        return result_of_run(self.folder)


class Preparation:
    """`prepare` in several processes: all of them share it, or the first does it alone."""
    aims = {"prepare": 0.05}

    def __init__(self, world, size):
        self.root, self.name = world.root, f"prepare in {size} processes"
        self.cache = world.root / "killed-cache"
        command = ("prepare", "safe.yaml", *sets("data.train=many.jsonl", "data.validation=many.jsonl"))
        self.start = lambda cache="killed-cache": Group(world, size, *command, *sets(f"data.cache_dir={cache}"))
        self.lasted = run_undisturbed(self.name, self.start(f"whole-cache-{size}"))
        if not (world.root / "cache-of-one").exists():
            world.run(*command, *sets("data.cache_dir=cache-of-one"))
        self.expected = result_of_cache(world.root / "cache-of-one")
        if result_of_cache(world.root / f"whole-cache-{size}") != self.expected:
            sys.exit(f"{self.name}: other caches than those of one process")

    def clear(self):
        shutil.rmtree(self.cache, ignore_errors=True)

    make_cold = clear

    def mark(self):
        self.known = set(self.cache.rglob("*"))

    def phase(self):
        """It is preparing when there are files that were not there."""
        try:
            return "start" if set(self.cache.rglob("*")) <= self.known else "prepare"
        except OSError:  # a folder that goes while it is looked at
            return "prepare"

    def result(self):
        return result_of_cache(self.cache)


def run_undisturbed(name, group):
    since = time.monotonic()
    ends = group.end()
    if any(code != 0 for code, _ in ends):
        sys.exit(f"{name}: failed\n{ends}")
    return time.monotonic() - since


def write_many_rows(world):
    """Enough rows that their preparation can be hit."""
    rows = []
    for i in range(MANY):
        files = {f"{kind}_image": f"images/many_{kind}{i}.png" for kind in ("safe", "unsafe")}
        for file in files.values():
            (world.root / file).write_bytes(png(file))
        rows.append(dict(id=str(i), safe_caption=f"a good {i}", unsafe_caption=f"a bad {i}", **files))
    world.write_rows("many.jsonl", rows)


def is_running(group):
    return any(process.poll() is None for process in group.processes)


def wait_for_moment(job, group, aim, rng):
    """Until a random moment, or for the phase `aim` after one."""
    if aim is None:
        time.sleep(rng.uniform(0.2, 1.3 * job.lasted))
        return
    if aim != "prepare":
        time.sleep(rng.uniform(0.2, 0.8 * job.lasted))
    while is_running(group) and job.phase() != aim:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, job.aims[aim]))


def kill_some(group, rng):
    """Returns who was killed."""
    first = group.processes[:1]
    chosen = rng.choice([first, [rng.choice(group.processes)], group.processes])
    running = [process for process in chosen if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGKILL)
    return running


def attempt(job, aim, rng, hits):
    """One start with one kill. Returns how many were killed, and whether the work has ended by itself."""
    job.mark()
    group = job.start()
    wait_for_moment(job, group, aim, rng)
    killed = kill_some(group, rng)
    if killed:
        hits[job.phase()] += 1  # as the files say right after it
    deadline = time.monotonic() + UNKNOWN
    while killed and time.monotonic() < deadline and is_running(group):
        time.sleep(0.05)
    # A process that dies before the others have met it is missed by the launcher alone, which then ends the rest.
    for process in group.processes if killed else []:
        process.send_signal(signal.SIGTERM)
    ends = group.end(PROMISED)
    for process, (code, said) in zip(group.processes, ends):
        if code not in ALLOWED:
            sys.exit(f"{job.name}: exit {code} after a kill\n{said}")
        if code == LOST and process not in killed and not LOSS.search(said):
            sys.exit(f"{job.name}: no sentence about the loss: {said}")
    return len(killed), all(code == 0 for code, _ in ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="moments at which one process or all are killed")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default="build/release/saferclip")
    arguments = parser.parse_args()
    Workspace.program = str(pathlib.Path(arguments.program).resolve())
    rng = random.Random(arguments.seed)
    hits = {kind: collections.Counter() for kind in (Run, Preparation)}
    killed, ended, began = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder).resolve())
        world.make_base()
        write_many_rows(world)
        jobs = [Run(world, variant, size) for variant in VARIANTS for size in SIZES] + [Preparation(world, size) for size in SIZES]
        while sum(map(collections.Counter.total, hits.values())) < arguments.kills and time.monotonic() - began < arguments.seconds:
            job = rng.choice(jobs)
            job.clear()
            has_ended = False
            while not has_ended:
                aim = rng.choice([None, None, *job.aims, list(job.aims)[-1]])
                if isinstance(job, Run) and (aim == "prepare" or rng.random() < 0.2):
                    job.make_cold()
                more, has_ended = attempt(job, aim, rng, hits[type(job)])
                killed += more
            if job.result() != job.expected:
                sys.exit(f"{job.name}: differs from the undisturbed one after {killed} kills")
            ended += 1
    for name, counts in (("train", hits[Run]), ("prepare", hits[Preparation])):
        print(f"{name}: {counts.total()} kills: " + ", ".join(f"{count} in {phase}" for phase, count in counts.most_common()))
    print(f"{killed} processes killed, {ended} times to the end; all are equal to the bit, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
