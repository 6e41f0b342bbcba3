"""How time and memory grow with batch, model, pictures and rows, each with the law that it follows; plots as SVG.

    .venv/bin/pip install matplotlib
    .venv/bin/python tests/bench/scaling.py --plots docs/lab/plots [--parts batch model pictures rows] [--threads 2]

JSON on stdout. `model` also gives what share of a step its large products would take alone, at the rate that the same library
reaches on the same shapes in a loop.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy

import nearest
import pictures
import step

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "build" / "release" / "tests"
WAYS = {"whole batch": [], "recompute: blocks": ["blocks"], "micro-batches of 4, gradient cache": ["4"]}


def run(*command):
    return json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout)


def steps(folder, batch, threads, way=(), precision="bf16", count=6):
    out = run(TESTS / "step_bench", folder / "weights", folder / f"batch_{batch}.safetensors", "lora", precision, count, threads, *way)
    return dict(seconds=statistics.median(out["seconds"][2:]), peak_mib=round(out["peak_mib"]))


def line(xs, ys):
    """Least squares y = a + b·x, and the largest relative distance from it."""
    b, a = numpy.polyfit(xs, ys, 1)
    return dict(at_0=float(a), each=float(b), worst=float(max(abs(numpy.array(ys) / (a + b * numpy.array(xs)) - 1))))


def batch_part(threads, sizes=(1, 2, 4, 8, 16, 32)):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        step.make("b32", folder, sizes)
        for way, more in WAYS.items():
            used = [size for size in sizes if more != ["4"] or size >= 4]
            found = [steps(folder, size, threads, more) for size in used]
            rows.append(dict(way=way, batch=used, seconds=[f["seconds"] for f in found], peak_mib=[f["peak_mib"] for f in found],
                             seconds_law=line(used, [f["seconds"] for f in found]), memory_law=line(used, [f["peak_mib"] for f in found])))
    return rows


def products(tower, rows, tokens):
    """(count, kind, shape) of a step's large products in a tower of a LoRA run: forward, and backward to the inputs. Of the last block
    only the attention sees all tokens. Linear: (N, out, in); attention: (heads · rows, tokens, head width), six products forward and back."""
    d, m, n = tower.hidden_size, tower.intermediate_size, rows * tokens
    blocks = tower.num_hidden_layers
    return [(blocks, "linear", (n, 3 * d, d)), (blocks, "linear", (n, d, 3 * d)), (2 * (blocks - 1), "linear", (n, d, d)),
            (2 * (blocks - 1), "linear", (n, m, d)), (2 * (blocks - 1), "linear", (n, d, m)),
            (6 * blocks, "attention", (tower.num_attention_heads * rows, tokens, d // tower.num_attention_heads))]


def alone(kind, shape, dtype, repeats=9):
    """Seconds of one product in a loop over weights that do not stay in the cache."""
    import torch
    a, b, c = shape
    with torch.no_grad():
        if kind == "linear":
            x = torch.randn(a, c).to(dtype)
            weights = [torch.ops.mkldnn._reorder_linear_weight(torch.randn(b, c).to(dtype), a) for _ in range(4)]
            once = lambda i: torch.ops.mkldnn._linear_pointwise(x, weights[i % 4], None, "none", [], "")
        else:
            q, k = torch.randn(a, b, c).to(dtype), torch.randn(a, b, c).to(dtype)
            once = lambda i: torch.bmm(q, k.transpose(1, 2))
        seconds = []
        for i in range(repeats + 2):
            began = time.perf_counter()
            once(i)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def flops(kind, shape):
    a, b, c = shape
    return 2 * a * b * c if kind == "linear" else 2 * a * b * b * c


def model_part(threads, models=("demo", "b32", "b16", "l14")):
    import torch
    torch.set_num_threads(threads)
    rows = []
    for model in models:
        batch, longest = step.MODELS[model][1:]
        config = step.config_of(model)
        vision, text = config.vision_config, config.text_config
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            step.make(model, folder, [batch])
            found = steps(folder, batch, threads)
        of_step = products(vision, 2 * batch, (vision.image_size // vision.patch_size) ** 2 + 1) + products(text, 2 * batch, -(-longest // 8) * 8)
        seconds = sum(count * alone(kind, shape, torch.bfloat16) for count, kind, shape in of_step)
        work = sum(count * flops(kind, shape) for count, kind, shape in of_step)
        rows.append(dict(model=model, batch=batch, **found, gflop_a_row=work / batch / 1e9, products_alone_s=seconds,
                         share=seconds / found["seconds"], gflop_s=work / found["seconds"] / 1e9, gflop_s_alone=work / seconds / 1e9))
    return rows


def pictures_part(threads, counts=(150, 300, 600, 1200)):
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pictures.make("jpeg_vga", folder / "one.jpg")
        data = (folder / "one.jpg").read_bytes()
        for i in range(max(counts)):
            (folder / f"{i}.jpg").write_bytes(data)
        (folder / "cache").mkdir()
        for count in counts:
            (folder / "list").write_text("".join(f"{folder / str(i)}.jpg\n" for i in range(count)))
            out = run(TESTS / "pictures_bench", "rows", folder / "list", threads, 5, folder / "cache")
            seconds.append(statistics.median(out["seconds"]))
    return dict(pictures=counts, seconds=seconds, law=line(counts, seconds))


def rows_part(threads, counts=(10_000, 20_000, 40_000, 80_000, 160_000)):
    seconds, peaks = [], []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            files = {name: f"{folder}/{name}" for name in ("pool", "queries", "ids")}
            for seed, name in enumerate(("pool", "queries")):
                nearest.make_rows("clustered", count, 768, seed).numpy().tofile(files[name])
            found, peak, _ = nearest.measure([TESTS / "nearest_bench"], threads, 0 if count > 50_000 else 3, files, 768)
        seconds.append(statistics.median(found))
        peaks.append(peak)
    exponent = float(numpy.polyfit(numpy.log(counts[1:]), numpy.log(seconds[1:]), 1)[0])
    return dict(rows=counts, seconds=seconds, peak_mib=peaks, exponent=exponent, memory_law=line(counts, peaks))


def plot(results, folder):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "saferclip"
    from matplotlib import pyplot
    folder.mkdir(parents=True, exist_ok=True)

    def figure(name, xlabel, panels, log=False):
        drawn, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.4), squeeze=False)
        for axis, (ylabel, series) in zip(axes[0], panels):
            for label, xs, ys, law in series:
                points = axis.plot(xs, ys, "o", label=label)[0]
                if law:
                    grid = numpy.linspace(min(xs), max(xs), 200)
                    axis.plot(grid, law(grid), "-", color=points.get_color(), linewidth=1)
            axis.set(xlabel=xlabel, ylabel=ylabel, **(dict(xscale="log", yscale="log") if log else dict(xlim=(0, None), ylim=(0, None))))
            axis.grid(alpha=0.3)
            if len(series) > 1:
                axis.legend(fontsize=7)
        drawn.tight_layout()
        drawn.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(drawn)

    def straight(law):
        return lambda x: law["at_0"] + law["each"] * x
    if "batch" in results:
        ways = results["batch"]
        figure("batch", "rows a batch", [("seconds a step", [(w["way"], w["batch"], w["seconds"], straight(w["seconds_law"])) for w in ways]),
                                         ("peak, MiB", [(w["way"], w["batch"], w["peak_mib"], straight(w["memory_law"])) for w in ways])])
    if "model" in results:
        work = [r["gflop_a_row"] * r["batch"] for r in results["model"]]
        rate = max(r["gflop_s_alone"] for r in results["model"])
        series = [("saferclip", work, [r["seconds"] for r in results["model"]], None),
                  ("its products alone", work, [r["products_alone_s"] for r in results["model"]], lambda x: x / rate)]
        figure("model", "GFLOP of a step's products", [("seconds a step", series)], log=True)
    if "pictures" in results:
        p = results["pictures"]
        figure("pictures", "JPEGs of 640 × 480", [("seconds", [("prepare", p["pictures"], p["seconds"], straight(p["law"]))])])
    if "rows" in results:
        r = results["rows"]
        square = r["seconds"][-1] / r["rows"][-1] ** 2
        figure("rows", "unsafe rows = pool rows", [("seconds", [("nearest-safe targets", r["rows"], r["seconds"], lambda x: square * x**2)]),
                                                   ("peak, MiB", [("", r["rows"], r["peak_mib"], straight(r["memory_law"]))])])


def main():
    parts = {"batch": batch_part, "model": model_part, "pictures": pictures_part, "rows": rows_part}
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plots", type=pathlib.Path)
    arguments = parser.parse_args()
    results = {name: parts[name](arguments.threads) for name in arguments.parts}
    print(json.dumps(results, indent=1))
    if arguments.plots:
        plot(results, arguments.plots)


if __name__ == "__main__":
    main()
