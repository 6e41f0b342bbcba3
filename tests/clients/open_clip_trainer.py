"""open_clip's own trainer goes on from our exports: at its first step it has our embeddings and their loss.

    open_clip_trainer.py --program build/release/saferclip

Runs in .venv-open-clip. `open_clip_train.main` gets an export in each way it takes weights: as a model (local-dir:), with
--pretrained, and with --resume. What it then saves is read back.
"""
import csv
import json
import os
import pathlib
import pickle
import sys
import tempfile
import unittest.mock
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import numpy
import open_clip
import torch
from client_world import ClientWorld, normal, program_argument
from open_clip.model import CLIP
from open_clip_train import main as trainer
from safetensors.torch import save_file
from world import png

TOLERANCE = 1e-5
CONFIG = dict(embed_dim=32, quick_gelu=True, vision_cfg=dict(image_size=32, layers=2, width=128, patch_size=8),
              text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=2))
BATCH = 8
WORDS = "red blue green dog cat car tree sun".split()
RESULTS = []


class World(ClientWorld):
    texts = [f"a {word} {WORDS[(i + 3) % 8]}" for i, word in enumerate(WORDS)] + [f"the {word}" for word in WORDS]

    def __init__(self, program, root):
        super().__init__(program, root)
        for i in range(len(self.texts)):
            (root / f"{i}.png").write_bytes(png(f"picture {i}", side=40))  # square, so that their crop is the whole picture
            self.pictures.append(root / f"{i}.png")
        rows = [dict(id=str(i), safe_caption=text, safe_image=f"{i}.png", unsafe_caption=f"bad {text}", unsafe_image=f"{15 - i}.png")
                for i, text in enumerate(self.texts)]
        (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with open(root / "rows.tsv", "w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([["filepath", "title"], *zip(self.pictures, self.texts)])
        self.make_exports()

    def make_exports(self):
        """A run of three steps that moved the weights well away from the base's, in the two forms of open_clip."""
        torch.manual_seed(3)
        model = CLIP(**CONFIG)
        base = self.root / "base"
        base.mkdir()
        (base / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=CONFIG, preprocess_cfg={})))
        save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}, base / "open_clip_model.safetensors")
        (self.root / "run.yaml").write_text(
            "model: {weights: base}\ndata: {train: rows.jsonl}\nadapter: {rank: 4, alpha: 8}\noptimizer: {lr: 1.0e-2}\n"
            "train: {max_steps: 3, batch_size: 8, precision: fp32}\nrun: {name: tuned}\n")
        self.run("train", "run.yaml")
        for form in ("open_clip", "openai"):
            self.run("export", "runs/tuned", "--to", form, "--out", form)
        config = json.loads((self.root / "open_clip/open_clip_config.json").read_text())["model_cfg"]
        (self.root / "saferclip-toy.json").write_text(json.dumps(config))
        open_clip.add_model_config(self.root / "saferclip-toy.json")


class FirstStep:
    """Stands before the trainer's loss and keeps what it got first."""

    def __init__(self, loss):
        self.loss, self.features, self.value, self.scale = loss, None, None, None

    def __call__(self, **arguments):
        found = self.loss(**arguments)
        if self.features is None:
            self.features = {kind: arguments[f"{kind}_features"].detach().clone() for kind in ("image", "text")}
            self.scale, self.value = arguments["logit_scale"].item(), sum(found.values()).item()
        return found


def train(world, name, *words):
    """The trainer's first step; the checkpoint that it saved."""
    seen = []
    real = trainer.create_loss

    def kept(arguments):
        seen.append(FirstStep(real(arguments)))
        return seen[0]
    arguments = ["--train-data", world.root / "rows.tsv", "--dataset-type", "csv", "--batch-size", BATCH, "--epochs", 1, "--workers", 0,
                 "--precision", "fp32", "--device", "cpu", "--lr", "1e-3", "--warmup", 1, "--logs", world.root / "logs", "--name", name,
                 "--aug-cfg", "scale=(1.0,1.0)", "ratio=(1.0,1.0)", *words]
    with unittest.mock.patch.object(trainer, "create_loss", kept):
        trainer.main([str(word) for word in arguments])
    return seen[0], world.root / "logs" / name / "checkpoints" / "epoch_1.pt"


def compare(title, own, first):
    """Their first batch against our rows, which its texts tell; and the loss that NumPy makes of our rows."""
    rows = (normal(first.features["text"]) @ own["text"].T).argmax(dim=1)
    if len(set(rows.tolist())) != BATCH:
        raise SystemExit(f"{title}: the batch's texts are not {BATCH} of ours")
    worst = max((own[kind][rows] - normal(first.features[kind])).abs().max().item() for kind in ("image", "text"))
    logits = first.scale * own["image"][rows].double().numpy() @ own["text"][rows].double().numpy().T
    loss = numpy.mean([numpy.log(numpy.exp(m - m.max(1, keepdims=True)).sum(1)) + m.max(1) - m.diagonal() for m in (logits, logits.T)])
    difference = abs(loss - first.value)
    RESULTS.append(max(worst, difference))
    print(f"  {title}: largest difference of embeddings {worst:.1e}, of the loss {difference:.1e} (of {loss:.4f})")
    if not worst <= TOLERANCE or not difference <= 1e-4:
        raise SystemExit(f"{title}: too far apart")


def check_saved(world, title, saved, own):
    """A checkpoint that the trainer wrote is read, and its training moved the model."""
    content = torch.load(saved, weights_only=True)
    if content["epoch"] != 1:
        raise SystemExit(f"{title}: epoch {content['epoch']}")
    client, _, _ = open_clip.create_model_and_transforms("saferclip-toy", pretrained=str(saved))
    with torch.no_grad():
        expected = normal(client.eval().encode_text(open_clip.get_tokenizer("saferclip-toy")(world.texts)))
    read = world.embed(saved, "--activation", "quick_gelu")["text"]
    if not (read - expected).abs().max() <= TOLERANCE or not (read - own["text"]).abs().max() > 1e-3:
        raise SystemExit(f"{title}: what the trainer saved is not what we read")


def main():
    program = program_argument()
    with tempfile.TemporaryDirectory() as folder:
        world = World(program, pathlib.Path(folder))
        own, base = world.embed("open_clip"), world.embed("base")
        if not (own["image"] - base["image"]).abs().max() > 1e-2:
            raise SystemExit("the run did not change the model")
        for title, *words in (("the folder as a model", "--model", f"local-dir:{world.root / 'open_clip'}"),
                              ("--pretrained, safetensors", "--model", "saferclip-toy", "--pretrained", world.root / "open_clip/open_clip_model.safetensors"),
                              ("--pretrained, model.pt", "--model", "saferclip-toy", "--pretrained", world.root / "openai/model.pt"),
                              ("--resume, model.pt", "--model", "saferclip-toy", "--resume", world.root / "openai/model.pt")):
            first, saved = train(world, f"logs{len(RESULTS)}", *words)
            compare(title, own, first)
            check_saved(world, title, saved, own)
        try:
            train(world, "refused", "--model", "saferclip-toy", "--resume", world.root / "open_clip/open_clip_model.safetensors")
        except pickle.UnpicklingError:
            print("  --resume refuses safetensors")
        else:
            raise SystemExit("--resume reads safetensors now: docs/formats.md says that it does not")
    print(f"{len(RESULTS)} comparisons, largest difference {max(RESULTS):.1e}")


main()
