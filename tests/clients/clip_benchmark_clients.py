"""Retrieval and zero-shot figures beside clip_benchmark's on the same model and pictures.

    clip_benchmark_clients.py --program build/release/saferclip

Runs in .venv-open-clip. One caption and five captions a picture (rows in order, rows shuffled, captions as a list), and
zero-shot sets of uneven classes as folders and as a list with numbers.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import numpy
import open_clip
import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from open_clip.model import CLIP
from PIL import Image
from client_world import program_argument
from safetensors.torch import save_file

CONFIG = dict(embed_dim=32, quick_gelu=True, vision_cfg=dict(image_size=32, layers=2, width=128, patch_size=8),
              text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=2))
THINGS = "kettle apple ladder basket candle mirror blanket pencil suitcase umbrella trumpet lantern".split()
PLACES = ["on a shelf", "by the window", "in a garden", "on a red bench", "under a tree"]
PICTURES, K = 60, [1, 5, 10]
RESULTS = []


def picture(seed):
    rng = numpy.random.default_rng(seed)
    pixels = numpy.empty((48, 60, 3), numpy.uint8)
    pixels[:] = rng.integers(0, 255, 3)
    for _ in range(5):
        x, y = rng.integers(0, 60), rng.integers(0, 48)
        pixels[y:y + 24, x:x + 20] = rng.integers(0, 255, 3)
    return Image.fromarray(pixels)


class World:
    def __init__(self, program, root):
        self.program, self.root = program, root
        torch.manual_seed(1)
        model = CLIP(**CONFIG)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = root / "base"
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=CONFIG, preprocess_cfg={})))
        save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}, folder / "open_clip_model.safetensors")
        self.model, _, self.transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        (root / "pictures").mkdir()
        self.pictures = [f"pictures/{i}.png" for i in range(PICTURES)]
        for i, file in enumerate(self.pictures):
            picture(i).save(root / file)

    def evaluate(self, name, rows, zero_shot=()):
        """before of the manifest `rows`"""
        (self.root / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        config = {"model": {"weights": "base"}, "data": {"train": f"{name}.jsonl", "cache_dir": "cache"}, "train": {"precision": "fp32"},
                  "evaluate": {"bootstrap": 0, "k": K, "zero_shot": list(zero_shot)}, "run": {"dir": "runs", "name": name}}
        (self.root / f"{name}.yaml").write_text(json.dumps(config))
        done = subprocess.run([self.program, "evaluate", f"{name}.yaml", "--split", "train", "--json"], cwd=self.root, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{name}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)["before"]

    def load(self, items, batch=16):
        """Batches of (pixels, what belongs to each), as clip_benchmark's loaders give them."""
        for begin in range(0, len(items), batch):
            some = items[begin:begin + batch]
            yield torch.stack([self.transform(Image.open(self.root / file)) for file, _ in some]), [of for _, of in some]


def check(name, ours, theirs, tolerance=1e-4):
    RESULTS.append(abs(ours - theirs))
    print(f"  {name}: {ours:.4f}, clip_benchmark {theirs:.4f}")
    if not abs(ours - theirs) <= tolerance:
        raise SystemExit(f"{name}: more than {tolerance} apart")


def check_retrieval(world, captions_a_picture):
    captions = {file: [f"a {THINGS[i % 12]} {PLACES[i // 12]}, version {k}" for k in range(captions_a_picture)]
                for i, file in enumerate(world.pictures)}
    theirs = zeroshot_retrieval.evaluate(world.model, world.load(list(captions.items())), world.tokenizer, "cpu", amp=False, recall_k_list=K)
    rows = [dict(id=f"{i}.{k}", safe_image=file, safe_caption=text)
            for i, (file, texts) in enumerate(captions.items()) for k, text in enumerate(texts)]
    shuffled = random.Random(3).sample(rows, len(rows))
    lists = [dict(id=i, safe_image=file, safe_caption=texts) for i, (file, texts) in enumerate(captions.items())]
    # The same bytes under other names are the same pictures.
    copies = []
    for i, row in enumerate(rows):
        copies.append(dict(row, safe_image=f"pictures/copy{i}.png"))
        shutil.copy(world.root / row["safe_image"], world.root / copies[-1]["safe_image"])
    for form, manifest in (("rows", rows), ("shuffled", shuffled), ("lists", lists), ("copies", copies)):
        found = world.evaluate(f"{form}{captions_a_picture}", manifest)["retrieval"]
        for task, queries, items, name in (("text_to_image", len(rows), PICTURES, "image"), ("image_to_text", PICTURES, len(rows), "text")):
            if (found[task]["n"], found[task]["gallery"]) != (queries, items):
                raise SystemExit(f"{form}: {task} has {found[task]}, expected {queries} queries among {items}")
            for k in K:
                check(f"{captions_a_picture} a picture, {form}, {task} R@{k}", found[task][f"r@{k}"], 100 * theirs[f"{name}_retrieval_recall@{k}"])


def accuracy(output, target, topk=(1,)):
    """clip_benchmark's own, but that it makes a float of an array, which NumPy has come to refuse."""
    correct = output.topk(max(topk), 1, True, True)[1].t().eq(target.view(1, -1))
    return [correct[:k].float().sum().item() / len(target) for k in topk]


class Loader(list):
    """What clip_benchmark asks of a DataLoader: batches, and the classes of its data set."""
    def __init__(self, batches, classes):
        super().__init__((pixels, torch.tensor(labels)) for pixels, labels in batches)
        self.dataset = argparse.Namespace(classes=classes)


def check_zero_shot(world, classes, templates):
    # Uneven: class c has c + 1 pictures, so that the mean over classes is another than over pictures.
    zeroshot_classification.accuracy = accuracy
    labels = [c for c in range(len(classes)) for _ in range(c + 1)]
    files = world.pictures[:len(labels)]
    theirs = zeroshot_classification.evaluate(world.model, Loader(world.load(list(zip(files, labels))), classes), world.tokenizer, classes,
                                              [t.replace("{}", "{c}") for t in templates], "cpu", amp=False)
    root = world.root / f"set{len(classes)}"
    for file, label in zip(files, labels):
        folder = root / "folders" / f"n{len(classes) - label:02d}"  # the folders' order is not the classes'
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(world.root / file, folder / pathlib.Path(file).name)
        (folder / (pathlib.Path(file).stem + ".txt")).write_text("a caption beside it")
    (root / "classes.tsv").write_text("".join(f"{name}\tn{len(classes) - c:02d}\n" for c, name in enumerate(classes)))
    (root / "names.tsv").write_text("".join(f"{name}\n" for name in classes))
    (root / "list.jsonl").write_text("".join(json.dumps({"filepath": f"../{f}", "label": c}) + "\n" for f, c in zip(files, labels)))
    (root / "list.csv").write_text("image,class\n" + "".join(f"../{f},{c}\n" for f, c in zip(files, labels)))
    forms = [("folders", "classes.tsv"), ("list.jsonl", "names.tsv"), ("list.csv", "names.tsv")]
    sets = [dict(name=images.split(".")[0] + images[-1], images=f"{root.name}/{images}", classes=f"{root.name}/{names}", templates=templates,
                 headline="mean_per_class_recall") for images, names in forms]
    rows = [dict(id=i, safe_image=f, safe_caption="a thing") for i, f in enumerate(world.pictures[:3])]
    found = world.evaluate(root.name, rows, sets)["zero_shot"]
    for name, result in found.items():
        if result["headline"] != "mean_per_class_recall" or result["n"] != len(labels):
            raise SystemExit(f"{name}: {result}")
        for ours, key in (("top1", "acc1"), ("top5", "acc5"), ("mean_per_class_recall", "mean_per_class_recall")):
            if numpy.isnan(theirs[key]):  # fewer than five classes
                if ours in result:
                    raise SystemExit(f"{name}: has {ours}, clip_benchmark has none")
                continue
            check(f"{len(classes)} classes, {name}, {ours}", result[ours], 100 * theirs[key])


def main():
    program = program_argument()
    with tempfile.TemporaryDirectory() as folder:
        world = World(program, pathlib.Path(folder))
        for captions_a_picture in (1, 5):
            check_retrieval(world, captions_a_picture)
        check_zero_shot(world, THINGS[:8], ["a photo of a {}.", "a drawing of a {}."])
        check_zero_shot(world, THINGS[:3], ["a photo of a {}."])
    print(f"{len(RESULTS)} figures, largest difference {max(RESULTS):.1e}")


main()
