"""A SaFeR-CLIP training step beside PyTorch: same weights, same batch, same loss, one process a measurement.

    .venv/bin/python tests/bench/step.py [--models demo b32 l14] [--methods lora full] [--threads 1 2] [--steps 7]

`published`: transformers + PEFT in fp32, the frozen teacher every step, captions padded to the context, one forward a
picture and a caption. `best`: the best PyTorch known here: teacher cached, captions cut at the longest, safe and unsafe
together through a tower, autocast where the CPU has bf16, frozen weights without gradient, eager attention (faster than SDPA here), fused Adam; with
--compile also torch.compile. Medians over the steps after the first two; the losses of all three must agree. JSON on
stdout.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import pytorch_step
from pytorch_step import KINDS, embed, normalised

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {  # transformers' configuration, batch, longest caption
    "demo": (dict(text_config=dict(hidden_size=128, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, vocab_size=1000,
                                   max_position_embeddings=16, bos_token_id=998, eos_token_id=999),
                  vision_config=dict(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, image_size=48,
                                     patch_size=12), projection_dim=128), 48, 16),
    "b32": (dict(text_config={}, vision_config={}, projection_dim=512), 8, 24),
    "b16": (dict(text_config={}, vision_config=dict(patch_size=16), projection_dim=512), 4, 24),
    "l14": (dict(text_config=dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12),
                 vision_config=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14),
                 projection_dim=768), 2, 24),
}


def config_of(model):
    from transformers import CLIPConfig
    values, _, _ = MODELS[model]
    text = dict(bos_token_id=49406, eos_token_id=49407) | values["text_config"]
    return CLIPConfig(**(values | dict(text_config=text)))


def make(model, folder, batches=None):
    """Weights, and a batch with what the frozen reference says of it; `batches`: of these sizes, in folder/batch_SIZE.safetensors."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPModel
    torch.manual_seed(0)
    clip = CLIPModel(config_of(model)).eval()
    clip.save_pretrained(folder / "weights")
    for size in batches or [MODELS[model][1]]:
        save_file(make_batch(clip, size, MODELS[model][2]), folder / (f"batch_{size}.safetensors" if batches else "batch.safetensors"))


def make_batch(clip, batch, longest):
    import torch
    text, vision = clip.config.text_config, clip.config.vision_config
    out = {}
    for kind in KINDS:
        out[f"{kind}_pixels"] = torch.randint(0, 256, (batch, vision.image_size, vision.image_size, 3), dtype=torch.uint8)
        ids = torch.zeros(batch, text.max_position_embeddings, dtype=torch.int32)
        for row in range(batch):
            length = longest - row % 5
            ids[row, 0] = text.bos_token_id
            ids[row, 1:length - 1] = torch.randint(0, text.bos_token_id, (length - 2,))
            ids[row, length - 1] = text.eos_token_id
        out[f"{kind}_ids"] = ids
        with torch.no_grad():
            out[f"reference_{kind}_text"], out[f"reference_{kind}_image"] = embed(clip, ids.long(), normalised(out[f"{kind}_pixels"]))
    order = torch.arange(batch).roll(1)
    out["target_text"], out["target_image"] = out["reference_safe_text"][order], out["reference_safe_image"][order]
    return {k: v.contiguous() for k, v in out.items()}


def measure(command):
    try:
        return pytorch_step.measure(command)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error.cmd}\n{error.stderr[-2000:]}") from None


def compare(folder, model, method, threads, arguments):
    precision = "fp32" if model == "demo" else arguments.precision
    own = [arguments.program.parent / "tests" / "step_bench", folder / "weights", folder / "batch.safetensors", method, precision, arguments.steps,
           threads]

    def this(way, precision, *more):
        return measure([sys.executable, pytorch_step.__file__, folder / "weights", folder / "batch.safetensors", method, precision, "--way", way,
                        "--windows", arguments.steps, "--threads", threads, *more])
    row = dict(model=model, method=method, threads=threads, precision=precision, batch=MODELS[model][1], saferclip=measure(own))
    row["best"] = this("best", precision)
    if arguments.compile:
        row["best, torch.compile"] = this("best", precision, "--compile")
    if "published" in arguments.ways:
        row["published"] = this("published", "fp32")
    for other in [k for k in ("best", "best, torch.compile", "published") if k in row]:
        row[f"{other}: time ratio"] = round(row[other]["median_s"] / row["saferclip"]["median_s"], 2)
        row[f"{other}: memory share"] = round(row["saferclip"]["peak_mib"] / row[other]["peak_mib"], 2)
        difference = abs(row[other]["first_loss"] - row["saferclip"]["first_loss"]) / abs(row[other]["first_loss"])
        if difference > (2e-2 if precision == "bf16" else 1e-5):
            raise SystemExit(f"{model}, {method}: the losses of saferclip and {other} differ by {difference:.1e}")
    return row


def markdown(rows):
    """The table of docs/lab/performance.md: seconds a step (median, least … most), ratios, peak memory."""
    def cell(of):
        return f"{of['median_s']:.3f} ({of['min_s']:.3f} … {of['max_s']:.3f})"
    others = [k for k in ("best", "best, torch.compile", "published") if k in rows[0]]
    lines = ["| model, method | batch | threads | precision | saferclip, s | " + " | ".join(f"{k}, s | ratio | memory share" for k in others) + " |",
             "|---|" + "---|" * (4 + 3 * len(others))]
    for row in rows:
        cells = [f"{row['model']}, {row['method']}", str(row["batch"]), str(row["threads"]), row["precision"], cell(row["saferclip"])]
        for k in others:
            cells += [cell(row[k]), f"{row[f'{k}: time ratio']:.2f}", f"{row[f'{k}: memory share']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build" / "release" / "saferclip")
    parser.add_argument("--models", nargs="+", default=["demo", "b32"])
    parser.add_argument("--methods", nargs="+", default=["lora", "full"])
    parser.add_argument("--ways", nargs="+", default=["best", "published"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.inside)
        return
    rows = []
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, "--make", model, "--inside", folder], check=True, stderr=subprocess.DEVNULL)
            for method in arguments.methods:
                for threads in arguments.threads:
                    rows.append(compare(pathlib.Path(folder), model, method, threads, arguments))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1))
    print(markdown(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
