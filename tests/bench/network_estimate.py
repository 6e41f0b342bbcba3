"""An ESTIMATE, nothing of it measured: what a step of several GPUs sends, and the least time the links need for it.

    python3 tests/bench/network_estimate.py [--models ViT-B-32 ViT-L-14 ViT-H-14] [--rows 48] [--rank 16] [--reached 1.0]

A step sends what docs/distributed.md says, in fp32. Of N processes each sends and receives

    gradients:   2 (N - 1) / N x 4 bytes x trained numbers                 (ring all-reduce)
    embeddings:    (N - 1) / N x 4 bytes x B x 4 columns x D               (all-gather: safe and unsafe, image and text)

B is the batch of all processes, `--rows` for each of them. Published rates of the links, one direction:

    NVLink 4         450 GB/s a GPU   (900 GB/s both directions together)
    InfiniBand NDR    50 GB/s a GPU   (400 Gbit/s)

8 GPUs share a machine and its NVLink. 64 GPUs are 8 machines of 8, in each of which every GPU has an InfiniBand card of its
own. "One ring" goes through all 64 GPUs, and into and out of a machine through one card only. "8 rings", as NCCL makes
them, carry an eighth each and cross with another card each, so a machine sends at 400 GB/s: less than NVLink's rate, hence
what limits. `--reached` is the share of these rates that is taken as reached; latency, waiting for the slowest process and
what overlaps with computing are left out: the sums run beside the backward pass, so only a part of this time adds to a step's.
The token embedding is counted whole, of which only the rows of the batch's tokens are sent. Needs Python alone. Markdown on stdout.
"""
import argparse
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs/models"
KNOWN = {"ViT-B-32": 151.28e6, "ViT-L-14": 427.6e6, "ViT-H-14": 986.1e6}  # all parameters, as published
NVLINK, INFINIBAND = 450e9, 50e9  # bytes a second, one direction
PER_MACHINE = 8
COLUMNS = 4
BYTES = 4


def tower_numbers(tower):
    """Blocks: q, k, v, out (with biases), the MLP's two layers (with biases), two LayerNorms."""
    w, m = tower["hidden_size"], tower["intermediate_size"]
    return tower["num_hidden_layers"] * ((4 * w * w + 4 * w) + (2 * w * m + m + w) + 4 * w)


def sizes(config):
    """Numbers of the towers, which full fine-tuning trains, and of the frozen projections and logit scale."""
    text, vision, d = config["text_config"], config["vision_config"], config["projection_dim"]
    t, v, patch = text["hidden_size"], vision["hidden_size"], vision["patch_size"]
    positions = (vision["image_size"] // patch) ** 2 + 1
    towers = (text["vocab_size"] * t + text["max_position_embeddings"] * t + tower_numbers(text) + 2 * t +
              3 * patch * patch * v + v + positions * v + 2 * v + tower_numbers(vision) + 2 * v)
    return towers, t * d + v * d + 1


def lora_numbers(config, rank):
    """r x (in + out) for k, v, out, fc1, fc2 of each block, and the patch embedding."""
    total = rank * (3 * config["vision_config"]["patch_size"] ** 2 + config["vision_config"]["hidden_size"])
    for tower in (config["text_config"], config["vision_config"]):
        w, m = tower["hidden_size"], tower["intermediate_size"]
        total += tower["num_hidden_layers"] * rank * (3 * (w + w) + 2 * (w + m))
    return total


def sent(trained, processes, rows, width):
    """Bytes of gradients and of embeddings that each process sends in a step."""
    ring = (processes - 1) / processes
    return 2 * ring * BYTES * trained, ring * BYTES * rows * processes * COLUMNS * width


def milliseconds(found, rate, reached):
    return 1e3 * sum(found) / (rate * reached)


def table(a):
    lines = [f"**An estimate, not measured**: {a.rows} rows a GPU, fp32, {a.reached:.0%} of the links' rates; milliseconds a step.", "",
             "| model, method | numbers trained | sent by a GPU of 64: gradients, embeddings | 8 GPUs, NVLink 4 | 64 GPUs, NDR, one ring | "
             "64 GPUs, NDR, 8 rings |", "|---|---|---|---|---|---|"]
    for model in a.models:
        config = json.loads((FOLDER / f"{model}.json").read_text())
        towers, projections = sizes(config)
        if model in KNOWN and abs(towers + projections - KNOWN[model]) > 1e-3 * KNOWN[model]:
            raise SystemExit(f"{model}: {towers + projections:,} parameters by the formula, {KNOWN[model]:,.0f} published")
        for method, trained in (("lora", lora_numbers(config, a.rank)), ("full", towers)):
            few, many = (sent(trained, n, a.rows, config["projection_dim"]) for n in (PER_MACHINE, 64))
            times = (milliseconds(few, NVLINK, a.reached), milliseconds(many, INFINIBAND, a.reached),
                     milliseconds(many, PER_MACHINE * INFINIBAND, a.reached))
            lines.append(f"| {model}, {method} | {trained / 1e6:.2f} M | {many[0] / 1e6:,.1f} MB, {many[1] / 1e6:.1f} MB | " +
                         " | ".join(f"{time:.2f}" for time in times) + " |")
    totals = [f"{model} {sum(sizes(json.loads((FOLDER / f'{model}.json').read_text()))) / 1e6:.2f} M" for model in a.models]
    return "\n".join([*lines, "", f"Parameters by the formula: {', '.join(totals)}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(KNOWN))
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--reached", type=float, default=1.0)
    a = parser.parse_args()
    print(table(a))


if __name__ == "__main__":
    main()
