"""From the start of the program to the end of the first training step, ViT-B/32, LoRA, beside transformers + PEFT.

    .venv/bin/python tests/bench/start.py [--program build/release/saferclip] [--threads 1 2] [--rows 200]

Everything is prepared before: saferclip's caches are warm (decoded pictures, ids, reference embeddings, targets), the other
side reads one batch of pixels, ids and frozen reference embeddings from a safetensors file. That script imports torch,
transformers and PEFT, loads the same weights, and makes one step of the published eight terms with autocast and fused Adam.
Both do bf16 where the CPU has it. JSON on stdout, a table on stderr.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 8
WORDS = "red green blue small large old new wooden cat dog bird horse house street table river on under beside behind".split()
CLIENT = """
import sys
import peft, torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity as cos, cross_entropy, normalize, softplus
from transformers import CLIPModel
weights, batch, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
clip = CLIPModel.from_pretrained(weights)
targets = ["k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"]
peft.inject_adapter_in_model(peft.LoraConfig(r=16, lora_alpha=1, target_modules=targets), clip)
for name, parameter in clip.named_parameters():
    parameter.requires_grad_("lora_" in name)
optimizer = torch.optim.Adam([p for p in clip.parameters() if p.requires_grad], lr=1e-4, fused=True)
b = load_file(batch)
mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
with torch.autocast("cpu", torch.bfloat16):
    pixels = ((b["pixels"].float() / 255 - mean) / std).permute(0, 3, 1, 2)
    image = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
    text = clip.text_projection(clip.text_model(input_ids=b["ids"]).pooler_output)
(si, ui), (st, ut) = image.float().chunk(2), text.float().chunk(2)
def contrast(x, y):
    logits = 100 * normalize(x) @ normalize(y).T
    own = torch.arange(len(x))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
loss = (softplus(cos(ui, b["unsafe_text"]) - cos(ui, b["target_text"])).mean() + softplus(cos(ut, b["unsafe_image"]) - cos(ut, b["target_image"])).mean() +
        (1 - cos(ui, b["target_image"])).mean() + (1 - cos(ut, b["target_text"])).mean() + (1 - cos(si, b["safe_image"])).mean() +
        (1 - cos(st, b["safe_text"])).mean() + contrast(si, b["safe_text"]) + contrast(st, b["safe_image"]))
loss.backward()
optimizer.step()
print(float(loss))
"""


def make(folder, rows, model="b32"):
    import random

    import torch
    from PIL import Image
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel
    torch.manual_seed(0)
    text = dict(bos_token_id=49406, eos_token_id=49407)
    if model == "l14":
        text |= dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
    vision = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14) if model == "l14" else {}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768 if model == "l14" else 512)).save_pretrained(folder / "weights")
    rng = random.Random(1)
    (folder / "images").mkdir()
    with open(folder / "train.jsonl", "w") as manifest:
        for i in range(rows):
            row = {"id": str(i)}
            for kind in ("safe", "unsafe"):
                row |= {f"{kind}_caption": f"{i} " + " ".join(rng.choices(WORDS, k=12)), f"{kind}_image": f"images/{kind}{i}.png"}
                Image.frombytes("RGB", (32, 32), rng.randbytes(32 * 32 * 3)).save(folder / row[f"{kind}_image"])
            manifest.write(json.dumps(row) + "\n")
    (folder / "run.yaml").write_text(
        "model: {weights: weights, activation: quick_gelu}\ndata: {train: train.jsonl, cache_dir: cache}\nobjective: {name: saferclip}\n"
        "adapter: {method: lora, rank: 16, alpha: 1, targets: [k_proj, v_proj, out_proj, fc1, fc2, patch_embedding]}\n"
        f"train: {{batch_size: {BATCH}, precision: bf16, max_steps: 1}}\nrun: {{dir: runs, name: start}}\n")
    embeddings = {f"{kind}_{what}": torch.randn(BATCH, 512) for kind in ("safe", "unsafe", "target") for what in ("text", "image")}
    ids = torch.randint(0, 49406, (2 * BATCH, 24))
    ids[:, 0], ids[:, -1] = 49406, 49407
    save_file({"pixels": torch.randint(0, 256, (2 * BATCH, 224, 224, 3), dtype=torch.uint8), "ids": ids, **embeddings}, folder / "batch.safetensors")


def first_step(program, threads, folder):
    """Seconds until metrics.jsonl holds the first step, which is written as soon as the step has ended."""
    metrics = folder / "runs/start/metrics.jsonl"
    metrics.unlink(missing_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen([program, "--threads", str(threads), "train", folder / "run.yaml", "--overwrite"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.001)
    seconds = time.perf_counter() - began
    errors = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(errors)
    return seconds


def client_step(threads, folder):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", CLIENT, folder / "weights", folder / "batch.safetensors", str(threads)], check=True, capture_output=True,
                   env=dict(os.environ, OMP_NUM_THREADS=str(threads)))
    return time.perf_counter() - began


def spread(seconds):
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}


def text(s):
    return f"{s['median']:.2f} ({s['least']:.2f} … {s['most']:.2f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "build/release/saferclip"))
    parser.add_argument("--before", help="another saferclip to measure beside it")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", help="keep what is prepared here")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--model", choices=["b32", "l14"], default="b32", help="that --make makes")
    arguments = parser.parse_args()
    if arguments.make:
        return make(pathlib.Path(arguments.make), arguments.rows, arguments.model)
    results = []
    print("| threads | saferclip, s | transformers + PEFT, s | ratio |\n|---|---|---|---|", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.folder or temporary).resolve()
        if not (folder / "batch.safetensors").exists():
            folder.mkdir(exist_ok=True)
            subprocess.run([sys.executable, __file__, "--make", folder, "--rows", str(arguments.rows)], check=True)
        for threads in arguments.threads:
            sides = {"saferclip": lambda n=threads: first_step(os.path.abspath(arguments.program), n, folder),
                     "client": lambda n=threads: client_step(n, folder)}
            if arguments.before:
                sides["before"] = lambda n=threads: first_step(os.path.abspath(arguments.before), n, folder)
            result = {"threads": threads} | {name: spread([run() for _ in range(arguments.repeat + 1)][1:]) for name, run in sides.items()}
            result["ratio"] = result["client"]["median"] / result["saferclip"]["median"]
            results.append(result)
            print(f"| {threads} | {text(result['saferclip'])} | {text(result['client'])} | {result['ratio']:.1f} |", file=sys.stderr)
            if "before" in result:
                print(f"| {threads}, before | {text(result['before'])} | | |", file=sys.stderr)
    print(json.dumps(results, indent=1))


main()
