"""Closed forms against NumPy in float64 on embeddings and layer inputs that transformers computes.

    closed_form_clients.py --program build/release/saferclip
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
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from client_world import program_argument
from world import World, sets

TOLERANCE = 2e-4
VOCABULARY = 400  # of the fixture


def norm(x):
    return np.sqrt((x ** 2).sum(0))


def steady(x):
    return norm(x) / x.std(0, ddof=1)


def least_squares(safe, unsafe, target, weight, ridge):
    """The map of form ridge."""
    pull = np.sqrt(ridge * np.sum(safe ** 2) / safe.shape[1]) * np.eye(safe.shape[1])
    given = np.vstack([safe, np.sqrt(weight) * unsafe, pull])
    wanted = np.vstack([safe, np.sqrt(weight) * target, pull])
    return np.linalg.lstsq(given, wanted, rcond=None)[0].T


class Oracle:
    """Un-normalized float64 embeddings of the toy world's pairs, and what the forms make of them."""

    def __init__(self, root):
        self.root = root
        self.model = CLIPModel.from_pretrained(root / "base").eval().double()
        self.tokenizer = AutoTokenizer.from_pretrained(root / "base")
        self.processor = CLIPImageProcessor.from_pretrained(root / "base")
        self.rows = [json.loads(line) for line in (root / "train.jsonl").read_text().splitlines()]
        self.pictured = [i for i, row in enumerate(self.rows) if "unsafe_image" in row]
        self.safe_text = self.texts([row["safe_caption"] for row in self.rows])
        self.unsafe_text = self.texts([row["unsafe_caption"] for row in self.rows])
        self.safe_image = self.images([row["safe_image"] for row in self.rows])
        self.unsafe_image = self.images([self.rows[i]["unsafe_image"] for i in self.pictured])
        unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
        self.nearest = np.argmax(unit(self.unsafe_text) @ unit(self.safe_text).T, axis=1)

    def tokens(self, captions):
        return self.tokenizer(captions, padding=True, return_tensors="pt")

    def pixels(self, files):
        return self.processor(images=[Image.open(self.root / f) for f in files], return_tensors="pt")["pixel_values"].double()

    def texts(self, captions, model=None):
        model = model or self.model
        with torch.no_grad():
            return model.text_projection(model.text_model(**self.tokens(captions)).pooler_output).numpy()

    def images(self, files, model=None):
        model = model or self.model
        with torch.no_grad():
            return model.visual_projection(model.vision_model(pixel_values=self.pixels(files)).pooler_output).numpy()

    def pairs(self, tower):
        """safe, unsafe, target"""
        if tower == "text":
            return self.safe_text, self.unsafe_text, self.safe_text[self.nearest]
        return self.safe_image[self.pictured], self.unsafe_image, self.safe_image[self.nearest[self.pictured]]

    def project(self, tower, rank, strength):
        safe, unsafe, _ = self.pairs(tower)
        u = np.linalg.svd(unsafe - safe, full_matrices=False)[2][:rank].T
        return np.eye(len(u)) - strength * u @ u.T

    def leace(self, tower):
        safe, unsafe, _ = self.pairs(tower)
        x = np.vstack([safe, unsafe])
        values, vectors = np.linalg.eigh(np.cov(x.T))
        whiten, color = (vectors * values ** p @ vectors.T for p in (-.5, .5))
        direction = whiten @ (unsafe.mean(0) - safe.mean(0))
        direction /= np.linalg.norm(direction)
        return np.eye(x.shape[1]) - color @ np.outer(direction, direction) @ whiten

    def ridge(self, tower, weight, ridge):
        return least_squares(*self.pairs(tower), weight, ridge)

    def layers(self, tower):
        encoder = (self.model.text_model if tower == "text" else self.model.vision_model).encoder
        return [layer.self_attn.out_proj if tower == "text" else layer.mlp.fc2 for layer in encoder.layers]

    def inputs(self, tower, row, kind):
        """What each layer reads of one item, [tokens, inputs]."""
        seen = []
        hooks = [layer.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].numpy())) for layer in self.layers(tower)]
        with torch.no_grad():
            if tower == "text":
                self.model.text_model(**self.tokens([self.rows[row][f"{kind}_caption"]]))
            else:
                self.model.vision_model(pixel_values=self.pixels([self.rows[row][f"{kind}_image"]]))
        for hook in hooks:
            hook.remove()
        return seen

    def uwm(self, tower, fraction):
        """Which weights of each layer flip."""
        rows = range(len(self.rows)) if tower == "text" else self.pictured
        weights = [layer.weight.detach().numpy() for layer in self.layers(tower)]
        sums = [0.0] * len(weights)
        for row in rows:
            for i, (safe, unsafe) in enumerate(zip(self.inputs(tower, row, "safe"), self.inputs(tower, row, "unsafe"))):
                size = np.abs(weights[i])
                sums[i] = sums[i] + np.outer(size @ norm(unsafe) / (size @ norm(safe)), steady(unsafe) / steady(safe))
        masks = []
        for total, weight in zip(sums, weights):
            scores = (total * np.abs(weight) if tower == "text" else total).ravel()
            order = np.argsort(scores, kind="stable")
            held = np.cumsum(scores[order])
            mask = np.zeros(scores.size, bool)
            mask[order] = held > (1 - fraction) * held[-1]
            masks.append(mask.reshape(weight.shape))
        return masks


def solved(world, form, *settings, run=None):
    """The model that transformers loads after the run."""
    run = run or form
    world.run("train", "closed.yaml", *sets(f"adapter.form={form}", f"run.name={run}", *settings))
    world.run("export", f"runs/{run}", "--to", "hf", "--out", f"out_{run}")
    return CLIPModel.from_pretrained(world.root / f"out_{run}").eval().double()


def same(title, found, expected, tolerance=TOLERANCE):
    off = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{title}: off by {off:.1e}")
    if not off <= tolerance:
        raise SystemExit(f"{title}: off by {off:.1e}, more than {tolerance}")


def check_projections(world, oracle):
    projections = lambda model: dict(text=model.text_projection.weight.detach().numpy(), vision=model.visual_projection.weight.detach().numpy())
    base = projections(oracle.model)
    forms = dict(project=(["adapter.rank=3", "adapter.strength=0.7"], lambda t: oracle.project(t, 3, 0.7)),
                 ridge=(["adapter.weight=2", "adapter.ridge=0.05"], lambda t: oracle.ridge(t, 2, 0.05)),
                 leace=([], oracle.leace))
    for form, (settings, expected) in forms.items():
        model = solved(world, form, *settings)
        found = projections(model)
        for tower in found:
            same(f"{form}, {tower}", found[tower], expected(tower) @ base[tower])
        if form == "leace":
            moved = oracle.texts([r["unsafe_caption"] for r in oracle.rows], model).mean(0) - oracle.texts([r["safe_caption"] for r in oracle.rows], model).mean(0)
            before = oracle.unsafe_text.mean(0) - oracle.safe_text.mean(0)
            if np.linalg.norm(moved) > 1e-4 * np.linalg.norm(before):
                raise SystemExit("leace: the means of safe and unsafe texts still differ")


def check_extra_captions(world, oracle):
    """Targets that are no rows of the list."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    pool = oracle.texts((world.root / "prompts.txt").read_text().splitlines())
    target = pool[np.argmax(unit(oracle.unsafe_text) @ unit(pool).T, axis=1)]
    model = solved(world, "ridge", "objective.targets={pool: file, extra_captions: prompts.txt}", "adapter.towers=text", run="extra")
    base = oracle.model.text_projection.weight.detach().numpy()
    expected = least_squares(oracle.safe_text, oracle.unsafe_text, target, 1, 1e-3) @ base
    same("ridge, extra captions as targets", model.text_projection.weight.detach().numpy(), expected)


def check_flips(world, oracle):
    model = solved(world, "uwm", "adapter.flip_fraction=0.1")
    state, base = model.state_dict(), oracle.model.state_dict()
    changed = {name for name in base if not torch.equal(state[name], base[name])}
    targets = {f"text_model.encoder.layers.{i}.self_attn.out_proj.weight" for i in range(2)} | {f"vision_model.encoder.layers.{i}.mlp.fc2.weight" for i in range(2)}
    if changed != targets:
        raise SystemExit(f"uwm: changed {sorted(changed)}")
    for tower in ("text", "vision"):
        for i, mask in enumerate(oracle.uwm(tower, 0.1)):
            name = f"text_model.encoder.layers.{i}.self_attn.out_proj.weight" if tower == "text" else f"vision_model.encoder.layers.{i}.mlp.fc2.weight"
            expected = np.where(mask, -1, 1) * base[name].numpy()
            wrong = int((state[name].numpy() != expected).sum())
            print(f"uwm, {name}: {int(mask.sum())} of {mask.size} flipped, {wrong} otherwise than NumPy's")
            if wrong > 1 or not mask.any():  # one at the border may be rounded over it
                raise SystemExit(f"uwm: {name} differs")


def check_siglip(world):
    """The head of SigLIP's text tower has a bias: one map takes both."""
    tokenizer = pathlib.Path(__file__).parents[1] / "fixtures" / "text" / "siglip"
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, hidden_act="gelu_pytorch_tanh")
    (world.root / "siglip.json").write_text(json.dumps(dict(
        model_type="siglip", text_config=dict(shape, max_position_embeddings=16, vocab_size=VOCABULARY, projection_size=16),
        vision_config=dict(shape, image_size=16, patch_size=8))))
    world.run("train", "base.yaml", *sets("model.init=siglip.json", f"model.tokenizer={tokenizer}", "objective.name=siglip", "run.name=siglip_base"))
    world.run("export", "runs/siglip_base", "--to", "hf", "--out", "siglip_base")
    own = ["model.weights=siglip_base", "adapter.form=project", "adapter.rank=3", "run.name=siglip"]
    said = world.run("train", "closed.yaml", *sets(*own), code=2).stderr
    if "attention pool" not in said:
        raise SystemExit(f"siglip: the vision tower is not refused: {said}")
    world.run("train", "closed.yaml", *sets(*own, "adapter.towers=text"))
    world.run("export", "runs/siglip", "--to", "hf", "--out", "siglip_out")
    before, after = (load_file(world.root / folder / "model.safetensors") for folder in ("siglip_base", "siglip_out"))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    if changed != {"text_model.head.weight", "text_model.head.bias"}:
        raise SystemExit(f"siglip: changed {sorted(changed)}")
    weight, bias = (np.float64(before[f"text_model.head.{part}"]) for part in ("weight", "bias"))
    found = after["text_model.head.weight"] @ np.linalg.inv(weight)
    same("siglip, the map of the bias", after["text_model.head.bias"], found @ bias)
    same("siglip, a projection", found @ found, found)
    same("siglip, its rank", np.trace(found), np.float64(13))


def main():
    World.program = program_argument()
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder).resolve())
        world.make_base("train.max_steps=40")
        (world.root / "closed.yaml").write_text("model: {weights: base}\ndata: {train: train.jsonl, cache_dir: cache}\nadapter: {method: closed_form}\n")
        oracle = Oracle(world.root)
        check_projections(world, oracle)
        check_extra_captions(world, oracle)
        check_flips(world, oracle)
        check_siglip(world)


main()
