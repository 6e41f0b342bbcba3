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
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

TOLERANCE = 1e-5


def client_embeddings(model, folder, texts, pictures):
    core = model.base_model.model if isinstance(model, PeftModel) else model
    context = core.config.text_config.max_position_embeddings
    # SigLIP attends to the padding and wants it up to the context; CLIP does not care.
    ids = AutoTokenizer.from_pretrained(folder)(texts, padding="max_length", max_length=context, truncation=True,
                                                return_tensors="pt")["input_ids"]
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")([Image.open(p) for p in pictures], return_tensors="pt")
    with torch.no_grad():
        text = core.text_model(input_ids=ids).pooler_output
        image = core.vision_model(pixel_values=pixels["pixel_values"]).pooler_output
        if hasattr(core, "visual_projection"):
            text, image = core.text_projection(text), core.visual_projection(image)
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
    clients = {"transformers": AutoModel.from_pretrained(arguments.export),
               "PEFT on the base": PeftModel.from_pretrained(AutoModel.from_pretrained(arguments.base), arguments.peft)}
    failed = False
    for name, model in clients.items():
        found = client_embeddings(model.eval(), arguments.export, texts, pictures)
        for kind, values in found.items():
            difference = (values - own[kind]).abs().max().item()
            failed |= not difference <= TOLERANCE
            print(f"{name}: {kind} embeddings of {len(values)} items differ by at most {difference:.1e}")
    sys.exit(f"the export's embeddings differ from those of `saferclip embed` by more than {TOLERANCE:.0e}" if failed else 0)


main()
