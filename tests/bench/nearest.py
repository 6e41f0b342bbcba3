"""Nearest-safe targets beside FAISS's exact index (IndexFlatIP, faiss-cpu): seconds, memory, and whether the ids are equal.

    .venv/bin/python tests/bench/nearest.py --faiss-python VENV/bin/python [--queries 4096] [--pool 160000] [--threads 1 2]

Rows are random unit rows (`random`), or lie as captions of one subject do (`clustered`: a shared direction, subjects, and
what is a caption's own; cosines 0.4 between subjects, 0.75 within). Each side is one process: a warm run, then --repeat
timed ones; both hold pool and queries in memory, and FAISS's index its own copy. Ids may differ where two cosines are equal
in fp32: there float64 tells who is right.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAISS = """
import json, re, sys, time
import faiss, numpy
pool, queries, width, threads, repeats, ids = sys.argv[1:]
faiss.omp_set_num_threads(int(threads))
queries = numpy.fromfile(queries, numpy.float32).reshape(-1, int(width))
index = faiss.IndexFlatIP(int(width))
index.add(numpy.fromfile(pool, numpy.float32).reshape(-1, int(width)))
seconds = []
for _ in range(int(repeats)):
    began = time.perf_counter()
    found = index.search(queries, 1)[1]
    seconds.append(time.perf_counter() - began)
found.astype(numpy.int64).tofile(ids)
peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) // 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak}))
"""


def make_rows(kind, count, width, seed):
    subjects = torch.randn(4001, width, generator=torch.Generator().manual_seed(1)) / width**0.5
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, width, generator=draw) / width**0.5
    if kind == "clustered":
        subject = torch.randint(1, 4001, (count,), generator=draw)
        rows = 0.4**0.5 * subjects[0] + 0.35**0.5 * subjects[subject] + 0.25**0.5 * rows
    return torch.nn.functional.normalize(rows)


def measure(command, threads, repeats, files, width):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    out = subprocess.run([*command, files["pool"], files["queries"], str(width), str(threads), str(repeats + 1), files["ids"]],
                         check=True, capture_output=True, text=True, env=environment).stdout
    result = json.loads(out)
    return result["seconds"][1:] or result["seconds"], result["peak_mib"], numpy.fromfile(files["ids"], numpy.int64)


def compare(ours, theirs, pool, queries):
    other = (ours != theirs).nonzero()[0]
    rows = queries[other].double()
    gain = [(rows * pool[torch.from_numpy(ids[other])].double()).sum(1) for ids in (ours, theirs)]
    return {"ids": len(ours), "differ": len(other), "of_these_float64_prefers_faiss": int((gain[1] > gain[0]).sum()),
            "largest_difference": float((gain[0] - gain[1]).abs().max()) if len(other) else 0.0}


def spread(seconds):
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}


def row(kind, threads, arguments, files, rows):
    programs = {"saferclip": [arguments.program]}
    if arguments.faiss_python:
        programs["faiss"] = [arguments.faiss_python, "-c", FAISS]
    result, ids = {"rows": kind, "threads": threads, "queries": len(rows["queries"]), "pool": len(rows["pool"])}, {}
    for name, command in programs.items():
        seconds, peak, ids[name] = measure(command, threads, arguments.repeat, files, arguments.width)
        result[name] = {"s": spread(seconds), "peak_mib": peak}
    text = lambda r: f"{r['s']['median']:.2f} ({r['s']['least']:.2f} … {r['s']['most']:.2f})"
    line = [kind, f"{threads}", text(result["saferclip"]), f"{result['saferclip']['peak_mib']:,}"]
    if "faiss" in ids:
        result["ratio"] = result["faiss"]["s"]["median"] / result["saferclip"]["s"]["median"]
        result["equal"] = compare(ids["saferclip"], ids["faiss"], rows["pool"], rows["queries"])
        line += [text(result["faiss"]), f"{result['ratio']:.1f}", f"{result['faiss']['peak_mib']:,}",
                 f"{result['equal']['differ']} of {result['equal']['ids']:,}"]
    print("| " + " | ".join(line) + " |", file=sys.stderr)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faiss-python", help="interpreter with faiss-cpu and numpy; without it, saferclip alone")
    parser.add_argument("--program", default=str(ROOT / "build/release/tests/nearest_bench"))
    parser.add_argument("--pool", type=int, default=160000)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", nargs="+", default=["random", "clustered"])
    arguments = parser.parse_args()
    print("| rows | threads | saferclip, s | peak, MiB | FAISS, s | ratio | peak, MiB | ids differ |\n|---|---|---|---|---|---|---|---|", file=sys.stderr)
    results = []
    for kind in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            files = {name: f"{folder}/{name}" for name in ("pool", "queries", "ids")}
            rows = {name: make_rows(kind, getattr(arguments, name), arguments.width, seed) for seed, name in enumerate(("pool", "queries"))}
            for name, values in rows.items():
                values.numpy().tofile(files[name])
            results += [row(kind, threads, arguments, files, rows) for threads in arguments.threads]
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
