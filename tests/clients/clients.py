"""transformers and PEFT read our exports and give our embeddings.

    clients.py --program build/release/saferclip

Models of awkward shape: 3 and 5 layers, patch 7, a grid that does not cover the picture, a short context.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import e2e
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import (AutoTokenizer, CLIPImageProcessor, CLIPModel, CLIPTextModelWithProjection,
                          CLIPVisionModelWithProjection)

TOLERANCE = 1e-5
TEXTS = ["Red CAR", "a blue tree, isn't it?", "", "caf\u00e9 \u65e5\u672c 42", "dog " * 40]


def compare(name, found, expected):
    difference = (torch.nn.functional.normalize(found) - expected).abs().max().item()
    print(f"  {name}: largest difference {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name}: more than {TOLERANCE}")


def check(world, activation):
    root = world.root
    model = json.loads((root / "model.json").read_text())
    for part in ("text_config", "vision_config"):
        model[part]["hidden_act"] = activation
    model["vision_config"] |= dict(num_hidden_layers=5, hidden_size=24, num_attention_heads=3, image_size=23, patch_size=7)
    model["text_config"] |= dict(num_hidden_layers=3, max_position_embeddings=11)
    (root / f"{activation}.json").write_text(json.dumps(model))
    world.run("train", "base.yaml", "--set", f"model.init={activation}.json", "--set", f"run.name=base_{activation}")
    base = f"base_{activation}"
    world.run("export", f"runs/{base}", "--to", "hf", "--out", base)
    run = f"safe_{activation}"
    world.run("train", "safe.yaml", "--set", f"model.weights={base}", "--set", f"run.name={run}", "--set", "train.max_steps=8")
    world.run("export", f"runs/{run}", "--to", "hf", "--out", f"{run}_hf")
    world.run("export", f"runs/{run}", "--to", "peft", "--out", f"{run}_peft")
    pictures = [f"images/safe{i}.png" for i in range(4)]
    world.run("embed", f"{run}_hf", "--texts", *TEXTS, "--images", *pictures, "--out", "own.safetensors")
    own = load_file(root / "own.safetensors")
    folder = root / f"{run}_hf"
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    pixels = CLIPImageProcessor.from_pretrained(folder)([Image.open(root / p) for p in pictures], return_tensors="pt")
    with torch.no_grad():
        for name, core in (("CLIPModel", CLIPModel.from_pretrained(folder)),
                           ("PEFT on the base", PeftModel.from_pretrained(CLIPModel.from_pretrained(root / base),
                                                                          root / f"{run}_peft").base_model.model),
                           ("PEFT merged", PeftModel.from_pretrained(CLIPModel.from_pretrained(root / base),
                                                                     root / f"{run}_peft").merge_and_unload())):
            core = core.eval()
            compare(f"{name}, text", core.text_projection(core.text_model(**tokens).pooler_output), own["text"])
            compare(f"{name}, image", core.visual_projection(core.vision_model(**pixels).pooler_output), own["image"])
        text = CLIPTextModelWithProjection.from_pretrained(folder).eval()
        compare("CLIPTextModelWithProjection", text(**tokens).text_embeds, own["text"])
        vision = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
        compare("CLIPVisionModelWithProjection", vision(**pixels).image_embeds, own["image"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    e2e.PROGRAM = os.path.abspath(parser.parse_args().program)
    for activation in ("quick_gelu", "gelu"):
        with tempfile.TemporaryDirectory() as folder:
            print(activation)
            check(e2e.World(pathlib.Path(folder)), activation)


main()
