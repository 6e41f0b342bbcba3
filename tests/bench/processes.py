"""Steps in two processes of one thread beside one process of two threads, and of one.

    .venv/bin/python tests/bench/processes.py [--models demo b32] [--methods lora full] [--steps 24] [--program build/release/saferclip]

Random weights of the model's size, one caption length, fp32. Medians over the steps after the first third, in
quadruplets a second. "sent": bytes that each of two processes sends in a step, by the counters of the loopback interface (what two
runs of different lengths differ by), and what it has to: the sum of all gradients in a ring, of the token embedding the rows
of the batch's tokens; the embeddings of its rows. "waited": share of a step that the first process waits for the other's
messages. JSON on stdout.
"""
import argparse
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/distributed"), str(ROOT / "tests/e2e")]
from training import free_port  # noqa: E402
from world import png  # noqa: E402

GEOMETRY = {"demo": "demo", "b32": "ViT-B-32"}
BATCH = {"demo": 48, "b32": 16}
WORDS = "red green blue small large old new wooden cat dog bird horse house street table river".split()


def write_world(folder, rows=256):
    rng = random.Random(1)
    (folder / "images").mkdir()
    for i in range(32):
        (folder / f"images/{i}.png").write_bytes(png(i, 48))
    rows = [dict(id=str(i), safe_caption=" ".join(rng.choices(WORDS, k=8)), unsafe_caption=" ".join(rng.choices(WORDS, k=8)),
                 safe_image=f"images/{i % 32}.png", unsafe_image=f"images/{(7 * i + 1) % 32}.png") for i in range(rows)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def launch(command, folder, processes):
    """Runs a command in so many processes, as torchrun would start them."""
    port = free_port()
    started = []
    for rank in range(processes):
        variables = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": processes,
                     "MASTER_ADDR": "localhost", "MASTER_PORT": port} if processes > 1 else {}
        started.append(subprocess.Popen([str(word) for word in command], cwd=folder, stdout=subprocess.DEVNULL,
                                        env={**os.environ, **{k: str(v) for k, v in variables.items()}}))
    if any([process.wait() != 0 for process in started]):
        sys.exit(f"failed: {' '.join(map(str, command))}")


def run(a, folder, processes, threads, *words):
    """Runs the program in so many processes."""
    launch([a.program, "--device", "cpu", "--threads", threads, "--log-level", "error", *words], folder, processes)


def make_base(a, folder, model):
    config = json.loads((ROOT / f"configs/models/{GEOMETRY[model]}.json").read_text())
    config["text_config"]["vocab_size"] = 49408  # CLIP's
    geometry = folder / f"{model}.json"
    geometry.write_text(json.dumps(config))
    (folder / f"{model}.yaml").write_text(json.dumps({
        "model": {"init": str(geometry), "activation": "quick_gelu", "tokenizer": "clip", "train_logit_scale": True, "train_projections": True},
        "data": {"train": "rows.jsonl"}, "objective": {"name": "clip"}, "adapter": {"method": "full"},
        "train": {"max_steps": 1, "batch_size": 8, "precision": "fp32"}, "run": {"name": f"base-{model}"}}))
    run(a, folder, 1, 2, "train", f"{model}.yaml")
    run(a, folder, 1, 2, "export", f"runs/base-{model}", "--to", "hf", "--out", f"weights-{model}")


def steps_of(a, folder, model, method, processes, threads):
    """The lines of metrics.jsonl of a new run."""
    name = f"{model}-{method}-{processes}-{threads}"
    shutil.rmtree(folder / "runs" / name, ignore_errors=True)
    (folder / f"{name}.yaml").write_text(json.dumps({
        "model": {"weights": f"weights-{model}", "tokenizer": "clip"}, "data": {"train": "rows.jsonl"},
        "adapter": {"method": method}, "objective": {"curriculum": {"enabled": False}},
        "evaluate": {"every_epochs": 0}, "checkpoint": {"every_steps": 0, "every_minutes": 0},
        "train": {"epochs": a.steps, "max_steps": a.steps, "batch_size": BATCH[model], "precision": "fp32"}, "run": {"name": name}}))
    run(a, folder, processes, threads, "train", f"{name}.yaml")
    return [json.loads(line) for line in (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()]


def warm(values):
    return values[len(values) // 3:]


def rate(lines):
    return statistics.median(line["quadruplets_per_s"] for line in warm(lines))


def waited(model, lines):
    """Share of the time of the steps."""
    lines = warm(lines)
    return sum(line["waited_s"] for line in lines) / sum(BATCH[model] / line["quadruplets_per_s"] for line in lines)


def loopback_bytes():
    with open("/proc/net/dev") as file:
        return next(int(line.split()[9]) for line in file if line.split()[0] == "lo:")


def sent(a, folder, model, method):
    """Bytes a step that each of two processes sends, and what it has to."""
    began, totals = a.steps, []
    for a.steps in (began, 2 * began):
        before = loopback_bytes()
        steps_of(a, folder, model, method, 2, 1)
        totals.append(loopback_bytes() - before)
    a.steps = began
    header = folder.joinpath("runs", f"{model}-{method}-2-1", "checkpoints", f"step_{2 * began:08}", "weights.safetensors").read_bytes()
    shapes = {name: entry["shape"] for name, entry in json.loads(header[8:8 + int.from_bytes(header[:8], "little")]).items()
              if name != "__metadata__"}
    numbers = sum(math.prod(shape) for shape in shapes.values())
    for name, shape in shapes.items():
        if "token_embedding" in name:
            numbers -= (shape[0] - len(WORDS) - 2) * shape[1]  # start and end
    width = json.loads((folder / f"{model}.json").read_text())["projection_dim"]
    return {"measured": round((totals[1] - totals[0]) / began / 2), "gradients": 4 * numbers, "embeddings": 4 * 4 * width * BATCH[model] // 2}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["demo", "b32"], choices=list(BATCH))
    parser.add_argument("--methods", nargs="+", default=["lora", "full"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--program", default=ROOT / "build/release/saferclip")
    a = parser.parse_args()
    a.program = os.path.abspath(a.program)
    result = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_world(folder)
        for model in a.models:
            make_base(a, folder, model)
            for method in a.methods:
                shapes = {"1 x 1 thread": (1, 1), "1 x 2 threads": (1, 2), "2 x 1 thread": (2, 1)}
                lines = {shape: steps_of(a, folder, model, method, *numbers) for shape, numbers in shapes.items()}
                rates = {shape: rate(of_shape) for shape, of_shape in lines.items()}
                result.append({"model": model, "method": method, "batch": BATCH[model], "quadruplets_per_s": rates,
                               "of two threads": rates["2 x 1 thread"] / rates["1 x 2 threads"],
                               "of one": rates["2 x 1 thread"] / rates["1 x 1 thread"],
                               "waited": waited(model, lines["2 x 1 thread"]), "sent": sent(a, folder, model, method)})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
