"""Trains for thousands of steps with validations and saves, and watches the process's memory and descriptors.

    flat_run.py [--steps 3000] [--every 2] [--program build/release/saferclip] [--set KEY=VALUE …]

A tiny model, a validation every second epoch, a save every 10 steps. After the first fifth of the run (warm-up), memory must
not grow by more than 2 MiB a 1,000 steps (a straight line through all samples), nor the most descriptors at once by one. Exits 0 only
then; prints JSON.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import e2e  # noqa: E402

MOST_GROWTH = 2 << 20  # bytes a 1,000 steps


def rss_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def steps_done(metrics, state):
    """Training lines so far; `state` remembers where the file was read up to."""
    if metrics.exists():
        with open(metrics, "rb") as file:
            file.seek(state["offset"])
            new = file.read()
        state["offset"] += len(new)
        state["steps"] += new.count(b'"kind":"train"')
    return state["steps"]


def watch(process, metrics):
    samples, state = [], {"offset": 0, "steps": 0}
    while process.poll() is None:
        try:
            samples.append((steps_done(metrics, state), rss_bytes(process.pid), len(os.listdir(f"/proc/{process.pid}/fd"))))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            break
        time.sleep(0.05)
    return samples


def slope(points):
    """Least squares: growth of y by x."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--every", type=int, default=2, help="epochs between validations")
    parser.add_argument("--program", default="build/release/saferclip")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    e2e.PROGRAM = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        world = e2e.World(pathlib.Path(folder))
        world.run("train", "base.yaml")
        world.run("export", "runs/base", "--to", "hf", "--out", "base")
        settings = [f"train.max_steps={arguments.steps}", f"evaluate.every_epochs={arguments.every}", "checkpoint.every_steps=10",
                    "schedule.name=constant", "run.name=flat", *arguments.set]
        process = world.start("train", "safe.yaml", *(a for s in settings for a in ("--set", s)))
        samples = watch(process, world.root / "runs/flat/metrics.jsonl")
        if process.wait() != 0:
            sys.exit(f"the run ended with {process.returncode}")
        lines = world.metrics("flat")
    warm = [s for s in samples if s[0] >= arguments.steps / 5]
    # The last samples see the process take itself down.
    warm = [s for s in warm if s[0] < arguments.steps - 5]
    growth = 1000 * slope([(step, rss) for step, rss, _ in warm])
    half = len(warm) // 2
    descriptors = [max(d for _, _, d in part) for part in (warm[:half], warm[half:])]
    result = {"steps": sum(l["kind"] == "train" for l in lines), "validations": sum(l["kind"] == "evaluation" for l in lines),
              "samples": len(warm), "rss_first_mib": round(warm[0][1] / 2**20, 2), "rss_last_mib": round(warm[-1][1] / 2**20, 2),
              "rss_growth_kib_per_1000_steps": round(growth / 1024, 1), "most_descriptors": descriptors,
              "descriptors_first_last": [warm[0][2], warm[-1][2]]}
    print(json.dumps(result, indent=1))
    sys.exit(0 if growth <= MOST_GROWTH and descriptors[1] <= descriptors[0] else "not flat")


if __name__ == "__main__":
    main()
