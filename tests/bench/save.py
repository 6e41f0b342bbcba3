"""What a checkpoint costs the steps around it (batch 8), beside torch.save of the same state.

    .venv/bin/python tests/bench/save.py [--program build/release/saferclip] [--model b32|l14] [--methods lora full] [--threads 2]

A run of --steps steps saves every fifth in the background. `wait`: the longest time that a step stood still for a save, as
the run's log says. Steps with a save beside them share the cores with it, so their time is given too. torch.save writes
weights and both moments at once, as a training loop without a thread of its own does; neither side's disk flush is waited
for by a step. JSON on stdout, a table on stderr.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
START = str(pathlib.Path(__file__).with_name("start.py"))
EVERY, BATCH = 5, 8
TORCH = """
import json, pathlib, sys, time
import torch
from safetensors.torch import load_file
folder, repeats = pathlib.Path(sys.argv[1]), int(sys.argv[2])
state = [load_file(folder / name) for name in ("weights.safetensors", "optimizer.safetensors")]
state = [{k: v.clone() for k, v in part.items()} for part in state]
seconds = []
for _ in range(repeats + 1):
    began = time.perf_counter()
    torch.save(state, folder / "torch.pt")
    seconds.append(time.perf_counter() - began)
(folder / "torch.pt").unlink()
print(json.dumps(seconds[1:]))
"""


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def text(s):
    return f"{s['median']:.3f} ({s['least']:.3f} … {s['most']:.3f})"


def run(program, method, threads, steps, folder):
    subprocess.run([program, "--threads", str(threads), "train", folder / "run.yaml", "--overwrite", "--set", f"adapter.method={method}",
                    "--set", f"train.max_steps={steps}", "--set", f"checkpoint.every_steps={EVERY}", "--set", "checkpoint.background=true",
                    "--set", "run.name=save"], check=True, capture_output=True, cwd=folder)
    log = (folder / "runs/save/train.log").read_text()
    wait = float(re.findall(r"longest time a step waited for a checkpoint: ([0-9.]+) ms", log)[-1]) / 1000
    lines = [json.loads(line) for line in (folder / "runs/save/metrics.jsonl").read_text().splitlines()]
    seconds = {line["step"]: BATCH / line["quadruplets_per_s"] for line in lines if line.get("kind") == "train"}
    beside = [s for step, s in seconds.items() if step > EVERY and step % EVERY == 1]
    # The first steps warm up, and the two behind a save may still have it beside them.
    alone = [s for step, s in seconds.items() if step in (3, 4, 5) or (step > EVERY and step % EVERY in (4, 0))]
    return wait, alone, beside


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "build/release/saferclip"))
    parser.add_argument("--methods", nargs="+", default=["lora", "full"])
    parser.add_argument("--model", choices=["b32", "l14"], default="b32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=31)
    parser.add_argument("--repeat", type=int, default=5, help="of torch.save")
    parser.add_argument("--folder", help="of start.py: keep what is prepared here")
    arguments = parser.parse_args()
    results = []
    print("| method | state, MB | step alone, s | step beside a save, s | longest wait, ms | of a step | torch.save, s |\n|---|---|---|---|---|---|---|", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.folder or temporary).resolve()
        if not (folder / "batch.safetensors").exists():
            folder.mkdir(exist_ok=True)
            subprocess.run([sys.executable, START, "--make", folder, "--rows", "200", "--model", arguments.model], check=True)
        for method in arguments.methods:
            wait, alone, beside = run(os.path.abspath(arguments.program), method, arguments.threads, arguments.steps, folder)
            checkpoint = folder / "runs/save/checkpoints" / f"step_{arguments.steps:08}"
            size = sum((checkpoint / f"{name}.safetensors").stat().st_size for name in ("weights", "optimizer")) / 1e6
            out = subprocess.run([sys.executable, "-c", TORCH, checkpoint, str(arguments.repeat)], check=True, capture_output=True, text=True).stdout
            result = {"method": method, "threads": arguments.threads, "state_mb": size, "step_s": spread(alone), "step_beside_save_s": spread(beside),
                      "longest_wait_s": wait, "share_of_a_step": wait / statistics.median(alone), "torch_save_s": spread(json.loads(out))}
            results.append(result)
            print(f"| {method} | {size:,.0f} | {text(result['step_s'])} | {text(result['step_beside_save_s'])} | {1000 * wait:.1f} | "
                  f"{100 * result['share_of_a_step']:.1f} % | {text(result['torch_save_s'])} |", file=sys.stderr)
    print(json.dumps(results, indent=1))


main()
