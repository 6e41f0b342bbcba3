"""Kills a training run at random moments until it has ended, and compares it with an undisturbed one.

    kill_loop.py CONFIG [--kills 20] [--program build/release/saferclip] [--set KEY=VALUE …]

Both runs are made in runs of their own. Exits 0 only when weights, optimizer state and metrics are equal.
"""
import argparse
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--program", default="build/release/saferclip")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)

    def command(name):
        extra = [f"run.dir={arguments.runs}", f"run.name={name}", *arguments.set]
        return [arguments.program, "--log-level", "warn", "train", arguments.config, "--resume", "auto",
                *(a for e in extra for a in ("--set", e))]

    for name in ("undisturbed", "killed"):
        shutil.rmtree(arguments.runs / name, ignore_errors=True)
    subprocess.run(command("undisturbed"), check=True, stdout=subprocess.DEVNULL)
    kills = 0
    while kills < arguments.kills:
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
        try:
            process.wait(0.8 + 2.2 * rng.random())
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    subprocess.run(command("killed"), check=True, stdout=subprocess.DEVNULL)

    def read(name):
        folder = arguments.runs / name
        checkpoint = folder / "checkpoints" / (folder / "checkpoints/latest").read_text().strip()
        hashes = [hashlib.sha256((checkpoint / f).read_bytes()).hexdigest()
                  for f in ("weights.safetensors", "optimizer.safetensors")]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            line.pop("quadruplets_per_s", None)
        return checkpoint.name, hashes, lines

    one, two = read("undisturbed"), read("killed")
    print(f"{kills} kills; {one[0]}; weights {one[1][0][:16]} and {two[1][0][:16]}; {len(two[2])} metrics lines")
    sys.exit(0 if one == two else "the runs differ")


main()
