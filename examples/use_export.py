#!/usr/bin/env python3
"""Loads an export (--to hf) with transformers and prints which text fits each image best.

    .venv/bin/python examples/use_export.py MODEL --images a.png b.png --texts "a red disk" "a blue disk"

Needs transformers, torch and pillow; nothing from saferclip.
"""
import argparse

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--images", nargs="+", required=True)
    parser.add_argument("--texts", nargs="+", required=True)
    arguments = parser.parse_args()
    model = AutoModel.from_pretrained(arguments.model).eval()
    # SigLIP wants captions filled up to the context; CLIP does not care.
    context = model.config.text_config.max_position_embeddings
    tokens = AutoTokenizer.from_pretrained(arguments.model)(
        arguments.texts, padding="max_length", max_length=context, truncation=True, return_tensors="pt")
    pixels = AutoImageProcessor.from_pretrained(arguments.model)(
        [Image.open(path).convert("RGB") for path in arguments.images], return_tensors="pt")
    with torch.no_grad():
        cosines = model(input_ids=tokens["input_ids"], pixel_values=pixels["pixel_values"])
    similarity = (cosines.image_embeds @ cosines.text_embeds.T).tolist()
    for path, row in zip(arguments.images, similarity):
        best = max(range(len(row)), key=row.__getitem__)
        print(f"{path}: {arguments.texts[best]} (cosine {row[best]:.3f})")


if __name__ == "__main__":
    main()
