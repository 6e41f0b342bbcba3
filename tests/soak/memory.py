"""Predicted against measured peak memory of training runs.

    memory.py NAME=CONFIG[,KEY=VALUE…] … [--program build/release/saferclip] [--runs DIR] [--steps 3] [--tolerance 0.2]

Each configuration is prepared, asked for its prediction (`train --dry-run`), and trained for a few steps with a validation and a
save; with --fresh once more into an empty cache, where the larger of the two predictions counts. Prints a table; exits 0 only when
every prediction is within the tolerance.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def bytes_in(pattern, text):
    found = re.search(pattern + r" ([\d.]+) (B|KiB|MiB|GiB)", text)
    if found is None:
        sys.exit(f"nothing like {pattern!r} in:\n{text}")
    return float(found[1]) * UNITS[found[2]]


def measure(program, arguments, runs, name, steps, cwd=None, threads=1, is_fresh=False):
    """Predicted and measured peak in bytes, and the line with the parts; `is_fresh`: of a run that has to prepare as well."""
    common = [*arguments, "--set", f"run.dir={runs}", "--set", f"run.name={name}", "--set", f"train.max_steps={steps}", "--set",
              "checkpoint.every_steps=1", "--set", "schedule.name=constant", "--set", "schedule.warmup_steps=0"]
    run = lambda *words: subprocess.run([program, "--threads", str(threads), *words], check=True, text=True, cwd=cwd,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run("prepare", *arguments)
    said = run("train", *common, "--dry-run").stdout
    predicted = bytes_in("memory +about", said)
    if is_fresh:
        predicted = max(predicted, bytes_in("preparing +about", said))
        with tempfile.TemporaryDirectory() as cache:
            common += ["--set", f"data.cache_dir={cache}"]
            measured = bytes_in("peak memory:", run("train", *common, "--overwrite").stderr)
    else:
        measured = bytes_in("peak memory:", run("train", *common, "--overwrite").stderr)
    return predicted, measured, re.search(("preparing" if is_fresh else "memory") + r" .*?at most \((.*?)\)", " ".join(said.split()))[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--program", default="build/release/saferclip")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/memory"))
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--tolerance", type=float, default=0.2)
    arguments = parser.parse_args()
    worst = 0.0
    print("| run | predicted | measured | off | parts |\n|---|---|---|---|---|")
    for entry in arguments.configs:
        name, _, rest = entry.partition("=")
        config, *settings = rest.split(",")
        for is_fresh in (False, True) if arguments.fresh else (False,):
            predicted, measured, parts = measure(arguments.program, [config, *(w for s in settings for w in ("--set", s))], arguments.runs,
                                                 re.sub(r"\W+", "_", name), arguments.steps, threads=arguments.threads, is_fresh=is_fresh)
            off = predicted / measured - 1
            worst = max(worst, abs(off))
            print(f"| {name}{', preparing' if is_fresh else ''} | {predicted / 2**20:.0f} MiB | {measured / 2**20:.0f} MiB | {100 * off:+.0f} % "
                  f"| {parts} |", flush=True)
    shutil.rmtree(arguments.runs, ignore_errors=True)
    sys.exit(0 if worst <= arguments.tolerance else f"off by {100 * worst:.0f} %")


if __name__ == "__main__":
    main()
