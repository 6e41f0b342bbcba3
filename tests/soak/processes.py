"""Kills processes of shared runs at random moments and goes on, until each run has ended; compares with undisturbed runs.

    processes.py [--kills 100] [--seconds S] [--seed 1] [--program build/release/saferclip]

Of each run one process, the first one or all of them get SIGKILL: while they meet, prepare, step, save or validate. The
others must end within a minute, with the code and the sentence of a loss. Exits 0 only when weights, optimizer state and
metrics lines are equal to the bit.
"""
import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("distributed", "e2e")]
from kill_loop import result_of_run  # noqa: E402
from training import LOST, PROMISED, Group  # noqa: E402
from world import Workspace, World, sets  # noqa: E402

UNKNOWN = 15  # seconds until the rest is asked to end

VARIANTS = {
    "lora": ("checkpoint.every_minutes=0",),
    "full": ("checkpoint.every_minutes=0", "adapter={method: full}", "optimizer.lr=1.0e-3"),
    "cached": ("checkpoint.every_minutes=0", "train.gradient_cache=true"),
}


def start(world, size, name, settings):
    return Group(world, size, "train", "safe.yaml", *sets(f"run.name={name}", *settings), "--resume", "auto")


def kill_some(group, rng):
    """Returns who was killed."""
    first = group.processes[:1]
    chosen = rng.choice([first, [rng.choice(group.processes)], group.processes])
    running = [process for process in chosen if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGKILL)
    return running


def attempt(world, size, name, settings, rng, longest):
    """One start, killed at a random moment. Returns kills, and whether the run has ended by itself."""
    group = start(world, size, name, settings)
    time.sleep(rng.uniform(0.2, longest))
    killed = kill_some(group, rng)
    deadline = time.monotonic() + UNKNOWN
    while killed and time.monotonic() < deadline and any(process.poll() is None for process in group.processes):
        time.sleep(0.05)
    # A process that dies before the others have met it is missed by the launcher alone, which then ends the rest.
    for process in group.processes if killed else []:
        process.send_signal(signal.SIGTERM)
    ends = group.end(PROMISED)
    for process, (code, said) in zip(group.processes, ends):
        if code not in (0, LOST, -signal.SIGKILL, 128 + signal.SIGTERM):
            sys.exit(f"{name}: exit {code} after a kill\n{said}")
        if code == LOST and process not in killed and not any(words in said for words in ("--resume auto", "the run was starting")):
            sys.exit(f"{name}: no sentence about the loss: {said}")
    return len(killed), all(code == 0 for code, _ in ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default="build/release/saferclip")
    arguments = parser.parse_args()
    Workspace.program = str(pathlib.Path(arguments.program).resolve())
    rng = random.Random(arguments.seed)
    kills, ended, began = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder).resolve())
        world.make_base()
        expected, lasted = {}, {}
        for variant, settings in VARIANTS.items():
            for size in (2, 3):
                name, since = f"whole-{variant}-{size}", time.monotonic()
                if any(code != 0 for code, _ in start(world, size, name, settings).end()):
                    sys.exit(f"{name}: failed")
                lasted[variant, size] = time.monotonic() - since
                expected[variant, size] = result_of_run(world.root / "runs" / name)
        while kills < arguments.kills and time.monotonic() - began < arguments.seconds:
            variant, size = rng.choice(list(expected))
            shutil.rmtree(world.root / "runs/killed", ignore_errors=True)
            if rng.random() < 0.3:
                shutil.rmtree(world.root / "cache")
            has_ended = False
            while not has_ended:
                more, has_ended = attempt(world, size, "killed", VARIANTS[variant], rng, 1.3 * lasted[variant, size])
                kills += more
            if result_of_run(world.root / "runs/killed") != expected[variant, size]:
                sys.exit(f"{variant} in {size} processes differs from the undisturbed run after {kills} kills")
            ended += 1
    print(f"{kills} processes killed, {ended} runs ended; all are equal to the bit, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
