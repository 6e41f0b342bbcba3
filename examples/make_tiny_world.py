#!/usr/bin/env python3
"""Makes a folder for trying saferclip: images, rows, and a tiny CLIP trained on them from scratch. Takes seconds, no download.

    examples/make_tiny_world.py FOLDER [--program build/release/saferclip]

Disks stand for safe things, crosses for unsafe ones. FOLDER gets images/, train.jsonl, validation.jsonl, base/
(a transformers folder) and tune.yaml.
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import zlib

COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (235, 205, 40), "purple": (150, 60, 190),
          "orange": (240, 140, 30), "white": (245, 245, 245), "black": (20, 20, 20)}
GROUNDS = {"sand": (222, 200, 160), "sea": (120, 180, 205), "grass": (150, 200, 120), "stone": (150, 150, 155)}
SIDE = 24
MODEL = {
    "model_type": "clip", "projection_dim": 32,
    "text_config": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "hidden_act": "quick_gelu", "max_position_embeddings": 16},
    "vision_config": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                      "hidden_act": "quick_gelu", "image_size": SIDE, "patch_size": 8},
}
BASE = """\
model: {init: model.json, tokenizer: tokenizer, train_logit_scale: true, train_projections: true}
data: {train: base.jsonl}
objective: {name: clip}
adapter: {method: full}
optimizer: {name: adamw, lr: 3.0e-3}
schedule: {name: cosine, warmup_steps: 20}
train: {max_steps: 250, batch_size: 64, precision: fp32}
"""
TUNE = """\
model: {weights: base}
data: {train: train.jsonl, validation: validation.jsonl}
# In a model this small the published terms alone leave redirected pairs matching each other: docs/evaluation.md.
objective:
  weights: {mutual_txt: 3, mutual_img: 3, pres_uni_txt: 4, pres_uni_img: 4}
  mutual_negatives: batch
  curriculum: {enabled: false}
adapter: {alpha: 16, targets: [q_proj, k_proj, v_proj, out_proj, fc1, fc2, patch_embedding]}
optimizer: {lr: 1.0e-2}
train: {max_steps: 300, precision: fp32}
evaluate: {every_epochs: 50}
"""


def png(pixels):
    """An RGB picture of rows of (r, g, b)."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    raw = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def picture(shape, color, ground, rng):
    x0, y0, size = rng.randrange(9, 15), rng.randrange(9, 15), rng.randrange(6, 9)
    rows = []
    for y in range(SIDE):
        row = []
        for x in range(SIDE):
            dx, dy = abs(x - x0), abs(y - y0)
            inside = dx * dx + dy * dy <= size * size if shape == "disk" else max(dx, dy) <= size and abs(dx - dy) <= 2
            row.append(tuple(min(255, max(0, v + rng.randrange(-8, 9))) for v in (color if inside else ground)))
        rows.append(row)
    return png(rows)


def write_rows(folder, name, copies, seed):
    rng = random.Random(seed)
    with (folder / f"{name}.jsonl").open("w") as file:
        for color, ground, copy in [(c, g, i) for c in COLORS for g in GROUNDS for i in range(copies)]:
            row = {"id": f"{name}-{color}-{ground}-{copy}"}
            for kind, shape in (("safe", "disk"), ("unsafe", "cross")):
                path = f"images/{name}/{color}_{shape}_{ground}_{copy}.png"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(picture(shape, COLORS[color], GROUNDS[ground], rng))
                row |= {f"{kind}_caption": f"a {color} {shape} on {ground}", f"{kind}_image": path}
            file.write(json.dumps(row) + "\n")


def write_tokenizer(folder):
    """A vocabulary of CLIP's kind: the bytes, then merges that build the words of the captions. Returns its size."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printed] + [chr(256 + i) for i in range(256 - len(printed))]
    entries = symbols + [s + "</w>" for s in symbols]
    merges = []
    for word in ["disk", "cross", "on", *COLORS, *GROUNDS]:
        letters = [*word[:-1], word[-1] + "</w>"]
        for i in range(1, len(letters)):
            pair = ("".join(letters[:i]), letters[i])
            if pair not in merges:
                merges.append(pair)
    entries = list(dict.fromkeys(entries + [a + b for a, b in merges])) + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(entries)}))
    (folder / "merges.txt").write_text("".join(line + "\n" for line in ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]))
    return len(entries)


def both_kinds(folder):
    """What the base learns from: safe and unsafe pictures alike, as CLIP did on the web."""
    with (folder / "base.jsonl").open("w") as file:
        for line in (folder / "train.jsonl").open():
            row = json.loads(line)
            for kind in ("safe", "unsafe"):
                file.write(json.dumps({"id": f"{row['id']}-{kind}", "safe_caption": row[f"{kind}_caption"],
                                       "safe_image": row[f"{kind}_image"]}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", default=str(pathlib.Path(__file__).resolve().parents[1] / "build/release/saferclip"))
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder, "train", 4, 1)
    write_rows(folder, "validation", 1, 2)
    both_kinds(folder)
    MODEL["text_config"]["vocab_size"] = write_tokenizer(folder / "tokenizer")
    (folder / "model.json").write_text(json.dumps(MODEL, indent=2))
    (folder / "base.yaml").write_text(BASE)
    (folder / "tune.yaml").write_text(TUNE)
    if not (folder / "base").exists():
        settings = ["--set", f"run.dir={folder}", "--set", "run.name=base-run", "--set", f"data.cache_dir={folder / 'cache'}"]
        subprocess.run([arguments.program, "train", folder / "base.yaml", *settings, "--resume", "auto"], check=True)
        subprocess.run([arguments.program, "export", folder / "base-run", "--to", "hf", "--out", folder / "base"], check=True)
    print(f"base model: {folder / 'base'}; next: examples/tune_own_model.sh {folder / 'tune.yaml'} {folder / 'safe'}")


if __name__ == "__main__":
    main()
