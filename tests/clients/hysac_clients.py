"""An export of objective hysac, read by transformers and PEFT: the recipe of its model card, run as it is printed, gives in
NumPy the recalls that `evaluate` gives by Lorentz distance, and the radii.

    hysac_clients.py --program build/release/saferclip
"""
import argparse
import json
import os
import pathlib
import re
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from world import World, sets
import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

CONFIG = """model: {weights: base}
data: {train: train.jsonl, validation: train.jsonl, cache_dir: cache}
objective: {name: hysac}
adapter: {rank: 4, targets: [q_proj, v_proj, out_proj, fc1, fc2, patch_embedding]}
optimizer: {name: adamw, lr: 1.0e-2, betas: [0.9, 0.98], weight_decay: 0.2}
train: {max_steps: 60, batch_size: 8, precision: fp32}
evaluate: {every_epochs: 10, k: [1, 5, 10], zero_shot: [{name: z, images: zero.csv, classes: classes.tsv, templates: ["a {}", "{}!"]}]}
run: {name: hysac}
"""


def require(is_met, text):
    print(("  ok   " if is_met else "  FAIL ") + text)
    if not is_met:
        raise SystemExit(text)


def embeddings(processor, model, texts, pictures):
    """Not normalized."""
    inputs = CLIPProcessor.from_pretrained(processor)(text=texts, images=[Image.open(p) for p in pictures], padding=True, truncation=True,
                                                   return_tensors="pt")
    model = model.eval()
    with torch.no_grad():
        text = model.text_projection(model.text_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).pooler_output)
        image = model.visual_projection(model.vision_model(pixel_values=inputs["pixel_values"]).pooler_output)
    return text.numpy(), image.numpy()


def recipe(folder, text, image):
    """What the model card's second piece of code computes."""
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    names = {"text": text, "image": image}
    exec(code.replace("'PATH/", f"'{folder}/"), names)
    return names


def ranks(scores, relevant):
    """By score, then by position."""
    own = scores[np.arange(len(scores)), relevant][:, None]
    places = np.arange(scores.shape[1])[None]
    return 1 + (scores > own + 1e-9).sum(1) + ((np.abs(scores - own) <= 1e-9) & (places < np.asarray(relevant)[:, None])).sum(1)


def compare_recalls(found, scores, relevant, task, name):
    rank = ranks(scores, relevant)
    for k in (1, 5, 10):
        expected = 100 * (rank <= k).mean()
        require(abs(found["retrieval"][task][f"r@{k}"] - expected) < 1e-9, f"{name}: {task}, R@{k} {expected:.2f}")


def moved(points, boundary, curvature, mode):
    """Rows [space, time] with those beyond the boundary put on it."""
    space = points[:, :-1]
    length = np.linalg.norm(space, axis=1, keepdims=True)
    limit = np.sinh(np.sqrt(curvature) * boundary) / np.sqrt(curvature) if mode == "geodesic" else boundary
    is_out = np.arcsinh(np.sqrt(curvature) * length) / np.sqrt(curvature) > boundary
    space = np.where(is_out, limit * space / length, space)
    return np.hstack([space, np.sqrt(1 / curvature + (space ** 2).sum(1, keepdims=True))])


def check_document(found, folder, rows, root, model, name, mode="off"):
    processor = root / "hf"
    pictured = [i for i, row in enumerate(rows) if "unsafe_image" in row]
    safe = embeddings(processor, model, [r["safe_caption"] for r in rows], [root / r["safe_image"] for r in rows])
    unsafe = embeddings(processor, model, [r["unsafe_caption"] for r in rows], [root / rows[i]["unsafe_image"] for i in pictured])
    own, other = recipe(folder, *safe), recipe(folder, *unsafe)
    for side, radius in (("safe_text", own["radius"]), ("unsafe_text", other["radius"])):
        told = found["hysac"]["radii"][side]
        require(np.allclose([told["low_05"], told["mean"], told["up_95"]],
                            [np.quantile(radius, 0.05), radius.mean(), np.quantile(radius, 0.95)], rtol=1e-5), f"{name}: radii of {side}")
    same = np.arange(len(rows))
    require(np.array_equal(np.argsort(-own["scores"]), np.argsort(own["distances"])), f"{name}: products rank as distances")
    points = {"t": np.hstack([own["t"], own["t_time"]]), "v": np.hstack([own["v"], own["v_time"]]),
              "ut": np.hstack([other["t"], other["t_time"]]), "uv": np.hstack([other["v"], other["v_time"]])}
    asking = dict(points)
    if mode != "off":
        boundary = found["hysac"]["traversal"]["boundary"]
        for key, side in (("t", "text"), ("ut", "text"), ("v", "image"), ("uv", "image")):
            asking[key] = moved(points[key], boundary[side], own["c"], mode)
            count = int((np.abs(asking[key] - points[key]).max(1) > 0).sum())
            told = found["hysac"]["traversal"]["moved_rows"][{"t": "safe_text", "ut": "unsafe_text", "v": "safe_image", "uv": "unsafe_image"}[key]]
            require(count == told, f"{name}: {count} rows of {key} moved")

    def products(queries, items):
        return queries[:, :-1] @ items[:, :-1].T - queries[:, -1:] * items[:, -1]
    compare_recalls(found, products(asking["t"], points["v"]), same, "text_to_image", name)
    compare_recalls(found, products(asking["v"], points["t"]), same, "image_to_text", name)
    compare_recalls(found, products(asking["ut"], points["v"]), same, "unsafe_text_to_safe_image", name)
    part = np.asarray(pictured)
    union = products(asking["ut"][part], np.vstack([points["v"][part], points["uv"]]))
    compare_recalls(found, union, np.arange(len(part)), "unsafe_text_to_image_union", name)
    expected = 100 * (union.argmax(1) >= len(part)).mean()
    require(abs(found["unsafe_top1"]["text"] - expected) < 1e-9, f"{name}: unsafe text finds an unsafe image first, {expected:.2f} %")
    prompts, pictures = embeddings(processor, model, ["a red", "red!", "a blue", "blue!"], [root / "images/safe0.png", root / "images/safe1.png"])
    classes = recipe(folder, np.stack([prompts[:2].astype(np.float64).mean(0), prompts[2:].astype(np.float64).mean(0)]), pictures)
    expected = 100 * (classes["scores"].argmax(0) == np.arange(2)).mean()
    require(abs(found["zero_shot"]["z"]["top1"] - expected) < 1e-9, f"{name}: zero-shot {expected:.2f} %")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    World.program = os.path.abspath(parser.parse_args().program)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        world = World(root)
        world.make_base()
        (root / "hysac.yaml").write_text(CONFIG)
        world.run("train", "hysac.yaml")
        for target in ("hf", "peft"):
            world.run("export", "runs/hysac", "--to", target, "--out", target)
        rows = [json.loads(line) for line in (root / "train.jsonl").read_text().splitlines()]
        evaluate = lambda *settings: json.loads(world.run("evaluate", "runs/hysac", "--json", *sets(*settings)).stdout)["after"]
        tuned = CLIPModel.from_pretrained(root / "hf")
        check_document(evaluate(), root / "hf", rows, root, tuned, "transformers")
        for mode in ("code", "geodesic"):
            check_document(evaluate(f"evaluate.traversal={mode}"), root / "hf", rows, root, tuned, f"traversal {mode}", mode)
        adapted = PeftModel.from_pretrained(CLIPModel.from_pretrained(root / "base"), root / "peft").merge_and_unload()
        check_document(evaluate(), root / "peft", rows, root, adapted, "PEFT")


main()
