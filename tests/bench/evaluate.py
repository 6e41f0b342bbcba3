"""Time and memory of the metrics of a split, and the ratio to a careful PyTorch script on the same embeddings.

    .venv/bin/python tests/bench/evaluate.py [--rows 5000] [--width 512] [--repeat 5] [--no-torch] [--resamples 1000]

The script does what most of the metrics need: four score blocks in chunks of queries, ranks by the index rule, first items.
It leaves out the four tasks between safe and unsafe items in galleries of one kind, which ours reads off the same counts.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ranks_and_tops(queries, parts, own, torch):
    """Rank of item i of the first part, ties by index, and whether the best item is in a later part."""
    first, ranks, unsafe = torch.arange(len(queries)), [], []
    for begin in range(0, len(queries), 1024):
        q = queries[begin:begin + 1024]
        place = first[begin:begin + 1024]
        scores = [q @ part.T for part in parts]
        wanted = scores[own].gather(1, place[:, None])
        before = (scores[own] == wanted) & (first[None] < place[:, None])
        ranks.append(1 + sum((s > wanted).sum(1) for s in scores) + before.sum(1))
        if len(parts) > 1:
            unsafe.append(scores[1].max(1).values > scores[0].max(1).values)
    return torch.cat(ranks), unsafe and torch.cat(unsafe)


def torch_seconds(file):
    import torch
    from safetensors.torch import load_file
    x = load_file(file)
    t, v, u, w = x["safe_text"], x["safe_image"], x["unsafe_text"], x["unsafe_image"]
    began = time.perf_counter()
    for queries, parts in ((t, [v]), (v, [t]), (u, [v, w]), (w, [t, u]), (u, [w]), (w, [u]), (t, [v, w]), (v, [t, u])):
        ranks_and_tops(queries, parts, 0, torch)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "rows.safetensors"
        program = ROOT / "build" / "release" / "tests" / "evaluate_bench"
        runs, theirs = [], []
        for _ in range(arguments.repeat):
            extra = [] if arguments.no_torch else [str(file)]
            out = subprocess.run([program, str(arguments.rows), str(arguments.width), str(arguments.resamples), *extra],
                                 check=True, capture_output=True, text=True).stdout
            runs.append(json.loads(out))
            if not arguments.no_torch:
                theirs.append(torch_seconds(file))
    ours = statistics.median(r["metrics_s"] for r in runs)
    result = {**runs[0], "metrics_s": ours}
    if theirs:
        result |= {"torch_s": statistics.median(theirs), "ratio": statistics.median(theirs) / ours,
                   "torch_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    print(json.dumps(result, indent=2))


main()
