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
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ["k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"]
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
KINDS = ("safe", "unsafe")


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


def normalised(pixels):
    import torch
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def embed(clip, ids, pixels):
    return (clip.text_projection(clip.text_model(input_ids=ids).pooler_output),
            clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output))


def saferclip_loss(t, r, target_text, target_image, scale):
    """The published eight terms, weight 1 each. t, r: tuned and reference rows by name."""
    import torch
    from torch.nn.functional import cosine_similarity as cos
    from torch.nn.functional import cross_entropy, normalize, softplus

    def contrast(a, b):
        logits = scale * normalize(a) @ normalize(b).T
        own = torch.arange(len(a))
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    t = {k: v.float() for k, v in t.items()}
    return (softplus(cos(t["unsafe_image"], r["unsafe_text"]) - cos(t["unsafe_image"], target_text)).mean() +
            softplus(cos(t["unsafe_text"], r["unsafe_image"]) - cos(t["unsafe_text"], target_image)).mean() +
            (1 - cos(t["unsafe_image"], target_image)).mean() + (1 - cos(t["unsafe_text"], target_text)).mean() +
            (1 - cos(t["safe_image"], r["safe_image"])).mean() + (1 - cos(t["safe_text"], r["safe_text"])).mean() +
            contrast(t["safe_image"], r["safe_text"]) + contrast(t["safe_text"], r["safe_image"]))


def tuned_model(folder, method):
    import peft
    import torch
    from transformers import CLIPModel
    # Not SDPA: on a CPU its backward pass makes a step of these lengths a quarter slower.
    clip = CLIPModel.from_pretrained(folder / "weights", attn_implementation="eager")
    if method == "lora":
        torch.manual_seed(1)
        peft.inject_adapter_in_model(peft.LoraConfig(r=16, lora_alpha=1, target_modules=TARGETS), clip)
        for name, p in clip.named_parameters():
            p.requires_grad_("lora_" in name)
    else:
        clip.logit_scale.requires_grad_(False)
        for projection in (clip.text_projection, clip.visual_projection):
            projection.requires_grad_(False)
    return clip


def run_pytorch(folder, way, method, precision, steps, threads, compiled):
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPModel
    torch.set_num_threads(threads)
    data = load_file(folder / "batch.safetensors")
    clip = tuned_model(folder, method)
    optimizer = torch.optim.Adam([p for p in clip.parameters() if p.requires_grad], lr=1e-4, fused=way == "best")
    scale = float(clip.logit_scale.exp())
    longest = max(int((data[f"{k}_ids"].argmax(1)).max()) + 1 for k in KINDS)
    ids = {k: data[f"{k}_ids"].long() for k in KINDS}
    if way == "best":
        ids = {k: v[:, :-(-longest // 8) * 8].contiguous() for k, v in ids.items()}
    teacher = CLIPModel.from_pretrained(folder / "weights").eval() if way == "published" else None
    forward = torch.compile(embed) if compiled else embed

    def once():
        optimizer.zero_grad()
        rows = {}
        if way == "published":
            reference = {}
            for k in KINDS:
                pixels = normalised(data[f"{k}_pixels"])
                rows[f"{k}_text"], rows[f"{k}_image"] = embed(clip, ids[k], pixels)
                with torch.no_grad():
                    reference[f"{k}_text"], reference[f"{k}_image"] = embed(teacher, ids[k], pixels)
        else:
            reference = {f"{k}_{side}": data[f"reference_{k}_{side}"] for k in KINDS for side in ("text", "image")}
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                text, image = forward(clip, torch.cat([ids[k] for k in KINDS]), normalised(torch.cat([data[f"{k}_pixels"] for k in KINDS])))
            for side, both in (("text", text), ("image", image)):
                rows[f"safe_{side}"], rows[f"unsafe_{side}"] = both.chunk(2)
        loss = saferclip_loss(rows, reference, data["target_text"], data["target_image"], scale)
        loss.backward()
        optimizer.step()
        return float(loss)
    seconds, losses = [], []
    for _ in range(steps):
        began = time.perf_counter()
        losses.append(once())
        seconds.append(time.perf_counter() - began)
    print(json.dumps(dict(seconds=seconds, losses=losses, peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def measure(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    warm = found["seconds"][2:]
    return dict(median_s=statistics.median(warm), min_s=min(warm), max_s=max(warm), peak_mib=round(found["peak_mib"]),
                first_loss=found["losses"][0], last_loss=found["losses"][-1])


def compare(folder, model, method, threads, arguments):
    precision = "fp32" if model == "demo" else arguments.precision
    own = [arguments.program.parent / "tests" / "step_bench", folder / "weights", folder / "batch.safetensors", method, precision, arguments.steps,
           threads]
    this = [sys.executable, __file__, "--inside", folder, "--methods", method, "--steps", arguments.steps, "--threads", threads]
    row = dict(model=model, method=method, threads=threads, precision=precision, batch=MODELS[model][1], saferclip=measure(own))
    row["best"] = measure([*this, "--way", "best", "--precision", precision])
    if arguments.compile:
        row["best, torch.compile"] = measure([*this, "--way", "best", "--precision", precision, "--compile"])
    if "published" in arguments.ways:
        row["published"] = measure([*this, "--way", "published", "--precision", "fp32"])
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
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.inside)
        return
    if arguments.inside:
        run_pytorch(arguments.inside, arguments.way, arguments.methods[0], arguments.precision, arguments.steps, arguments.threads[0],
                    arguments.compile)
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
