#!/usr/bin/env python3
"""Searches a folder of images by text, with embeddings from `saferclip embed`.

    .venv/bin/python examples/embed_and_search.py MODEL --images FOLDER --text "a red disk" [--top 5]

MODEL is anything that `saferclip embed` accepts: an export, a run, weights. Needs numpy. The safetensors file is read by
hand to show how simple it is: eight bytes of length, a JSON header, then the numbers.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import numpy

PROGRAM = os.environ.get("SAFERCLIP", str(pathlib.Path(__file__).resolve().parents[1] / "build/release/saferclip"))


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        found[name] = numpy.frombuffer(data[8 + length + begin:8 + length + end], numpy.float32).reshape(entry["shape"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--top", type=int, default=5)
    arguments = parser.parse_args()
    pictures = sorted(p for p in arguments.images.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "rows.safetensors"
        subprocess.run([PROGRAM, "--log-level", "warn", "embed", arguments.model, "--images", *pictures,
                        "--texts", arguments.text, "--out", out], check=True, stdout=subprocess.DEVNULL)
        rows = read_safetensors(out)
    scores = rows["image"] @ rows["text"][0]  # rows are L2-normalized: the product is the cosine
    for place in numpy.argsort(-scores, kind="stable")[:arguments.top]:
        print(f"{scores[place]:.3f}  {pictures[place]}")


if __name__ == "__main__":
    main()
