"""One step of mask tuning with gradient dropout against PyTorch in float64, and an export in transformers.

    mask_clients.py --program build/release/saferclip

The step begins from a checkpoint in which some weights are off, so that the student differs from the reference.
"""
import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import json

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch.func import functional_call
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from client_world import program_argument
from world import World, sets

STEPS = 6
SEED = 42
THRESHOLD = np.float32(0.005)
WORD = (1 << 64) - 1
INCREMENT = 0x9E3779B97F4A7C15
STREAM = 0x3A5C
CONFIG = """model: {weights: base}
data: {train: train.jsonl, cache_dir: cache}
objective: {weights: {cross_img: 0, cross_txt: 0, pres_uni_img: 0, pres_uni_txt: 0}, targets: {mode: fixed},
  curriculum: {enabled: false}}
adapter: {method: mask}
optimizer: {lr: 2.0e-3}
train: {max_steps: 6, batch_size: 24, precision: fp32}
checkpoint: {every_steps: 1, keep_last: 9}
"""


def shuffled(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def mixed(seed, *indices):
    state = shuffled(seed + INCREMENT & WORD)
    for index in indices:
        state = shuffled((state ^ shuffled(index + INCREMENT & WORD)) + INCREMENT & WORD)
    return state


def draws(step, name, shape):
    """U of each element of a tensor."""
    key = mixed(mixed(SEED, STREAM, step), len(name))
    for letter in name.encode():
        key = mixed(key, letter)
    count = int(np.prod(shape))
    return np.array([(shuffled(key + (i + 1) * INCREMENT & WORD) >> 40) / 2 ** 24 for i in range(count)]).reshape(shape)


class Oracle:
    def __init__(self, root):
        self.root = root
        self.model = CLIPModel.from_pretrained(root / "base").eval().double()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.tokenizer = AutoTokenizer.from_pretrained(root / "base")
        self.processor = CLIPImageProcessor.from_pretrained(root / "base")
        self.rows = [json.loads(line) for line in (root / "train.jsonl").read_text().splitlines()]
        self.pictured = [i for i, row in enumerate(self.rows) if "unsafe_image" in row]
        self.scale = self.model.logit_scale.exp()
        with torch.no_grad():
            self.text0, self.image0 = self.texts({}, "safe"), self.images({}, "safe")

    def unit(self, weights, inputs, tower):
        model, projection = getattr(self.model, f"{tower}_model"), "text_projection" if tower == "text" else "visual_projection"
        own = {name[len(tower) + 7:]: value for name, value in weights.items() if name.startswith(f"{tower}_model.")}
        embedded = getattr(self.model, projection)(functional_call(model, own, (), inputs).pooler_output)
        return embedded / embedded.norm(dim=1, keepdim=True)

    def texts(self, weights, kind):
        return self.unit(weights, dict(self.tokenizer([row[f"{kind}_caption"] for row in self.rows], padding=True, return_tensors="pt")), "text")

    def images(self, weights, kind):
        files = [Image.open(self.root / row[f"{kind}_image"]) for row in self.rows if f"{kind}_image" in row]
        return self.unit(weights, {"pixel_values": self.processor(images=files, return_tensors="pt")["pixel_values"].double()}, "vision")

    def contrast(self, a, b):
        """C: symmetric InfoNCE with the factor ½."""
        logits, own = self.scale * a @ b.T, torch.arange(len(a))
        return (torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)) / 2

    def divergence(self, text, image):
        cross_entropy = lambda student, teacher, classes: torch.nn.functional.cross_entropy(
            self.scale * student @ classes.T, torch.softmax(self.scale * teacher @ classes.T, 1))
        return (cross_entropy(image, self.image0, self.text0) + cross_entropy(text, self.text0, self.image0)) / 2

    def gradients(self, scores, general, off_value):
        """{name: (a, b)} of the scores, straight-through."""
        base = dict(self.model.named_parameters())
        masks = {name: torch.from_numpy((value > THRESHOLD).astype(float)).requires_grad_() for name, value in scores.items()}
        weights = {name: base[name] * (off_value + (1 - off_value) * mask) for name, mask in masks.items()}
        text, image = self.texts(weights, "safe"), self.images(weights, "safe")
        preservation = self.contrast(text, self.image0) + self.contrast(self.text0, image)
        to_target = (1 - (self.texts(weights, "unsafe") * self.text0).sum(1)).mean()
        to_target = to_target + (1 - (self.images(weights, "unsafe") * self.image0[self.pictured]).sum(1)).mean()
        known = self.divergence(text, image) if general == "kl" else preservation
        a = torch.autograd.grad(preservation + to_target, list(masks.values()), retain_graph=True)
        b = torch.autograd.grad(known, list(masks.values()))
        return {name: (x.numpy(), y.numpy()) for name, x, y in zip(masks, a, b)}


def of_step(world, run, step):
    folder = world.root / "runs" / run / "checkpoints" / f"step_{step:08}"
    scores = {name.removeprefix("mask."): value for name, value in load_file(folder / "weights.safetensors").items()}
    moments = load_file(folder / "optimizer.safetensors")
    return scores, {name: np.float64(moments[f"mask.{name}.exp_avg"]) for name in scores}


def check_step(world, oracle, general, off_value, lam):
    run = f"{general}{off_value}"
    world.run("train", "mask.yaml", *sets(f"run.name={run}", f"adapter.off_value={off_value}", f"adapter.gradient_dropout={{general: {general}, lambda: {lam}}}"))
    scores, before = of_step(world, run, STEPS - 1)
    _, after = of_step(world, run, STEPS)
    off, count, otherwise, dropped, largest = 0, 0, 0, 0, 0.0
    for name, (a, b) in oracle.gradients(scores, general, off_value).items():
        keep = 0.5 * (1 + np.sign(a) * (a + b) / (np.abs(a) + np.abs(b) + 1e-8)) > draws(STEPS - 1, name, a.shape)
        expected = ((1 - lam) + lam * keep) * a
        found = (after[name] - 0.9 * before[name]) / 0.1
        apart = np.abs(found - expected) / np.abs(a).max()
        is_same = apart < 2e-4
        otherwise += int((~is_same).sum())
        largest = max(largest, apart[is_same].max())
        dropped += int((~keep).sum())
        off += int((scores[name] <= THRESHOLD).sum())
        count += a.size
    print(f"{run}: {off} of {count} off, {dropped} dropped, {otherwise} otherwise than in PyTorch, the others within {largest:.1e}")
    # Where P is as large as U, rounding decides.
    if not (off > 50 and dropped > 50 and otherwise <= 0.005 * count):
        raise SystemExit(f"{run}: differs")
    return run


def check_export(world, oracle, run):
    world.run("export", f"runs/{run}", "--to", "hf", "--out", "out")
    found = CLIPModel.from_pretrained(world.root / "out").eval().double().state_dict()
    bits = load_file(world.root / "out" / "masks.safetensors")
    for name, value in oracle.model.state_dict().items():
        if name in bits:
            on = np.unpackbits(bits[name])[:value.numel()].reshape(value.shape)
            value = value * torch.from_numpy(on)
        if not torch.equal(found[name], value):
            raise SystemExit(f"{name}: the export is not the masked source")


def main():
    World.program = program_argument()
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder).resolve())
        world.make_base("train.max_steps=40")
        (world.root / "mask.yaml").write_text(CONFIG)
        oracle = Oracle(world.root)
        check_step(world, oracle, "preserve", -1, 0.3)
        check_export(world, oracle, check_step(world, oracle, "kl", 0, 1))


main()
