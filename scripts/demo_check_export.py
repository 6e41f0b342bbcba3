"""Opens an export in transformers and PEFT and compares embeddings with `saferclip embed`."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

TOLERANCE = 1e-5


def client_embeddings(model, folder, texts, pictures):
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
    pixels = CLIPImageProcessor.from_pretrained(folder)([Image.open(p) for p in pictures], return_tensors="pt")
    core = model.base_model.model if isinstance(model, PeftModel) else model
    with torch.no_grad():
        text = core.text_projection(core.text_model(**tokens).pooler_output)
        image = core.visual_projection(core.vision_model(**pixels).pooler_output)
    return {"text": torch.nn.functional.normalize(text), "image": torch.nn.functional.normalize(image)}


def own_embeddings(program, folder, texts, pictures):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "rows.safetensors")
        subprocess.run([program, "--log-level", "warn", "embed", folder, "--texts", *texts, "--images", *pictures,
                        "--out", out], check=True, stdout=subprocess.DEVNULL)
        return load_file(out)


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "data", "base", "export", "peft"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    data = pathlib.Path(arguments.data)
    rows = [json.loads(line) for line in (data / "trained.jsonl").open()][:8]
    texts = [r["safe_caption"] for r in rows] + [r["unsafe_caption"] for r in rows]
    pictures = [str(data / r[key]) for r in rows for key in ("safe_image", "unsafe_image")]
    own = own_embeddings(arguments.program, arguments.export, texts, pictures)
    clients = {"transformers": CLIPModel.from_pretrained(arguments.export),
               "PEFT on the base": PeftModel.from_pretrained(CLIPModel.from_pretrained(arguments.base), arguments.peft)}
    failed = False
    for name, model in clients.items():
        found = client_embeddings(model.eval(), arguments.export, texts, pictures)
        for kind, values in found.items():
            difference = (values - own[kind]).abs().max().item()
            failed |= not difference <= TOLERANCE
            print(f"{name}: {kind} embeddings of {len(values)} items differ by at most {difference:.1e}")
    sys.exit("the export does not give the same embeddings" if failed else 0)


main()
