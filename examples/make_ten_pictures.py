#!/usr/bin/env python3
"""Makes what docs/tutorial.md starts from: folders of captioned pictures, and a tiny CLIP that knows them. No download.

    examples/make_ten_pictures.py FOLDER [--program build/release/saferclip]

Disks stand for safe things, crosses for unsafe ones. FOLDER gets photos/ and held-out/, each with safe/ and unsafe/ of five
pictures NAME.png with a caption NAME.txt, and tiny-clip/ (a transformers folder).
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import tempfile

import make_tiny_world as world

CLONE = pathlib.Path(__file__).resolve().parents[1]
PHOTOS = [("a red disk on sand", "a red cross on sand"), ("a blue disk on sea", "a blue cross on sea"),
          ("a green disk on grass", "a green cross on grass"), ("a yellow disk on stone", "a yellow cross on stone"),
          ("a purple disk on stone", "a blue cross on sea")]  # the last pair is a loose one
HELD_OUT = [("a red disk on stone", "a red cross on stone"), ("a blue disk on sand", "a blue cross on sand"),
            ("a green disk on sea", "a green cross on sea"), ("a yellow disk on grass", "a yellow cross on grass"),
            ("a purple disk on sea", "a purple cross on sea")]


def draw(file, caption, rng):
    _, color, shape, _, ground = caption.split()
    file.write_bytes(world.picture(shape, world.COLORS[color], world.GROUNDS[ground], rng))


def write_photos(folder, pairs, rng):
    for number, captions in enumerate(pairs, 1):
        for half, caption in zip(("safe", "unsafe"), captions):
            (folder / half).mkdir(parents=True, exist_ok=True)
            draw(folder / half / f"{number:02}.png", caption, rng)
            (folder / half / f"{number:02}.txt").write_text(caption + "\n")


def write_manifest(folder, pairs):
    with (folder / "rows.jsonl").open("w") as file:
        for number, (safe, unsafe) in enumerate(pairs, 1):
            name = f"{number:02}.png"
            file.write(json.dumps({"id": name, "safe_caption": safe, "safe_image": f"safe/{name}", "unsafe_caption": unsafe,
                                   "unsafe_image": f"unsafe/{name}"}) + "\n")


def train_base(out, program, rng):
    """A CLIP that has seen each color, shape and ground, safe or not, as CLIP has on the web."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        rows = []
        for number in range(2):
            for color in world.COLORS:
                for ground in world.GROUNDS:
                    for shape in ("disk", "cross"):
                        caption = f"a {color} {shape} on {ground}"
                        draw(scratch / f"{len(rows)}.png", caption, rng)
                        rows.append({"id": f"{number} {caption}", "safe_caption": caption, "safe_image": f"{len(rows)}.png"})
        (scratch / "base.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        world.MODEL["text_config"]["vocab_size"] = world.write_tokenizer(scratch / "tokenizer")
        (scratch / "model.json").write_text(json.dumps(world.MODEL))
        (scratch / "base.yaml").write_text(world.BASE)
        settings = [f"run.dir={scratch}", "run.name=run", f"data.cache_dir={scratch / 'cache'}", "train.max_steps=150"]
        for words in (["train", scratch / "base.yaml", *(w for s in settings for w in ("--set", s))],
                      ["export", scratch / "run", "--to", "hf", "--out", out]):
            done = subprocess.run([program, *words], text=True, capture_output=True)
            if done.returncode != 0:
                raise SystemExit(done.stdout + done.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", default=shutil.which("saferclip") or str(CLONE / "build/release/saferclip"))
    arguments = parser.parse_args()
    folder, rng = arguments.folder, random.Random(1)
    write_photos(folder / "photos", PHOTOS, rng)
    print(f"{folder / 'photos'}: five safe pictures, five unsafe ones, each with a caption")
    write_photos(folder / "held-out", HELD_OUT, rng)
    write_manifest(folder / "held-out", HELD_OUT)
    print(f"{folder / 'held-out'}: ten others, to measure with")
    if not (folder / "tiny-clip").exists():
        train_base(folder / "tiny-clip", arguments.program, rng)
    print(f"{folder / 'tiny-clip'}: a tiny CLIP that knows both kinds")


if __name__ == "__main__":
    main()
