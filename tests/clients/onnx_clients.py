"""onnxruntime computes our embeddings from exported graphs, which ONNX's checker accepts.

    onnx_clients.py --program build/release/saferclip

Runs in .venv-open-clip. CLIP with each activation and each rule for the pooled token, SigLIP, a tuned run, a tower of more
than 2 GiB; fp32, fp16; batches of 1, 3 and 5; graphs as they are and as onnxruntime optimizes them.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from world import World
import numpy as np
import onnx
import onnxruntime
import torch
from client_world import train_sentencepiece
from PIL import Image
from safetensors.numpy import load_file
from transformers import (AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel, SiglipConfig,
                          SiglipImageProcessor, SiglipModel)

TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3}
TEXTS = ["Red CAR", "a blue tree, isn't it?", "", "caf\u00e9 \u65e5\u672c 42", "dog " * 90]
PICTURES = [f"images/safe{i}.png" for i in range(5)]
# Odd MLP widths, grids that do not cover the picture, numbers of layers and heads that differ.
VISION = dict(hidden_size=24, intermediate_size=101, num_hidden_layers=5, num_attention_heads=3, image_size=23, patch_size=7)
TEXT = dict(hidden_size=32, intermediate_size=51, num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=16)
LARGEST = {}


def noisy(model):
    """Random weights large enough that every step shows in the embeddings, biases and norms included."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 0:
                weight.add_(torch.randn_like(weight) * 0.15)
    return model


def make_clip(world, name, act, vocab_size, eos):
    """The tokenizer's end mark is 513: the largest id of a model with 514 tokens, else the first of its kind is pooled."""
    text = TEXT | dict(hidden_act=act, vocab_size=vocab_size, bos_token_id=512, eos_token_id=eos)
    config = CLIPConfig(text_config=text, vision_config=VISION | dict(hidden_act=act), projection_dim=20)
    noisy(CLIPModel(config)).save_pretrained(world.root / name)
    side = VISION["image_size"]
    CLIPImageProcessor(size=dict(shortest_edge=side), crop_size=dict(height=side, width=side)).save_pretrained(world.root / name)
    shutil.copytree(world.root / "tokenizer", world.root / name, dirs_exist_ok=True)


def make_siglip(world, name, context, width):
    vocabulary = train_sentencepiece(world.root / name)
    act = dict(hidden_act="gelu_pytorch_tanh")
    text = TEXT | act | dict(hidden_size=width, vocab_size=vocabulary, max_position_embeddings=context, projection_size=24)
    noisy(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION | act))).save_pretrained(world.root / name)
    SiglipImageProcessor(size=dict(height=23, width=23)).save_pretrained(world.root / name)


def inputs_of(folder, root):
    """Forms of the input and the rows that they are for, from the exported folder alone: its tokenizer, its processor."""
    config = json.loads((folder / "config.json").read_text())
    context = config["text_config"]["max_position_embeddings"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    full = tokenizer(TEXTS, padding="max_length", max_length=context, truncation=True, return_tensors="np")["input_ids"]
    tokens = {"full": (range(len(TEXTS)), full)}
    if config["model_type"] == "clip":
        cut = tokenizer([TEXTS[0], TEXTS[2]], padding=True, return_tensors="np")["input_ids"]
        if cut.shape[1] == context:
            raise SystemExit("nothing is cut")
        tokens["cut"] = [0, 2], cut
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor([Image.open(root / p) for p in PICTURES], return_tensors="np")["pixel_values"]
    return tokens, {"full": (range(len(PICTURES)), pixels)}


def session(path, optimized=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(title, found, expected, dtype):
    if found.dtype != np.float32:
        raise SystemExit(f"{title}: {found.dtype}")
    difference = float(np.abs(found / np.linalg.norm(found, axis=1, keepdims=True) - expected).max())
    LARGEST[dtype] = max(LARGEST.get(dtype, 0), difference)
    if not difference <= TOLERANCE[dtype]:
        raise SystemExit(f"{title}: differs by {difference:.1e}, more than {TOLERANCE[dtype]}")
    return difference


def check_graph(path, name, output):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path, load_external_data=False)
    declared = [model.graph.input[0].name, model.graph.output[0].name, model.opset_import[0].version]
    if declared != [name, output, 17] or model.graph.input[0].type.tensor_type.shape.dim[0].dim_param != "batch_size":
        raise SystemExit(f"{path}: {declared}")
    return model


def check_folder(world, title, folder, own, dtype):
    tokens, pixels = inputs_of(folder, world.root)
    largest = []
    for kind, file, name, output, inputs in (("text", "text_model.onnx", "input_ids", "text_embeds", tokens),
                                             ("image", "vision_model.onnx", "pixel_values", "image_embeds", pixels)):
        check_graph(folder / file, name, output)
        for optimized in (True, False):
            graph = session(folder / file, optimized)
            for form, (numbers, rows) in inputs.items():
                for batch in {1, min(3, len(rows)), len(rows)}:
                    for start in range(0, len(rows) - batch + 1, batch):
                        found, = graph.run([output], {name: rows[start:start + batch]})
                        expected = own[kind][list(numbers)[start:start + batch]]
                        largest.append(compare(f"{title}, {kind}, {form}, {batch} rows", found, expected, dtype))
    print(f"  {title}, {dtype}: {len(largest)} comparisons, largest difference {max(largest):.1e}", flush=True)


def embed(world, weights):
    world.run("embed", weights, "--texts", *TEXTS, "--images", *PICTURES, "--out", "own.safetensors")
    return load_file(world.root / "own.safetensors")


def check_model(world, name):
    own = embed(world, name)
    for dtype in TOLERANCE:
        out = world.root / f"{name}_{dtype}"
        world.run("export", name, "--to", "onnx", "--dtype", dtype, "--out", out)
        check_folder(world, name, out, own, dtype)
        needed = {"README.md", "config.json", "preprocessor_config.json", "text_model.onnx", "vision_model.onnx"}
        if missing := needed - {p.name for p in out.iterdir()}:
            raise SystemExit(f"{out}: without {missing}")
    sizes = [sum(p.stat().st_size for p in (world.root / f"{name}_{d}").glob("*.onnx")) for d in TOLERANCE]
    if not sizes[1] < 0.6 * sizes[0]:
        raise SystemExit(f"fp16 is no smaller: {sizes}")


def check_other_ids(world, name):
    """Ids that no tokenizer here gives: an end mark before larger ids, several marks. Outputs are not normalized."""
    context = TEXT["max_position_embeddings"]
    model = CLIPModel.from_pretrained(world.root / name).eval()
    ids = torch.randint(0, model.config.text_config.vocab_size, (7, context), generator=torch.Generator().manual_seed(1))
    ids[:, 7] = 513
    ids[0, 3], ids[1, 2], ids[2, 11] = 513, ids.max(), ids.max()
    with torch.no_grad():
        expected = model.text_projection(model.text_model(input_ids=ids).pooler_output).numpy()
    found, = session(world.root / f"{name}_fp32" / "text_model.onnx").run(None, {"input_ids": ids.numpy()})
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"  {name}, other ids: largest relative difference {difference:.1e}")
    if not difference <= TOLERANCE["fp32"] or abs(np.linalg.norm(expected[0]) - 1) < 0.1:
        raise SystemExit(f"{name}: other ids")


def check_run(world):
    """LoRA is merged, --strength applies, and a single tower is the same file."""
    world.make_base()
    world.train("safe", "--set", "train.max_steps=8")
    for strength in ("1", "0.5"):
        world.run("export", "runs/safe", "--to", "onnx", "--strength", strength, "--out", f"run_{strength}")
        world.run("export", "runs/safe", "--to", "hf", "--strength", strength, "--out", f"run_hf_{strength}")
        check_folder(world, f"run at strength {strength}", world.root / f"run_{strength}", embed(world, f"run_hf_{strength}"), "fp32")
    base, tuned = (embed(world, name)["text"] for name in ("base", "run_hf_1"))
    if np.abs(base - tuned).max() < 1e-3:
        raise SystemExit("the run changed nothing")
    for tower, other in (("text", "vision"), ("vision", "text")):
        out = world.root / f"run_{tower}"
        world.run("export", "runs/safe", "--to", "onnx", "--tower", tower, "--out", out)
        if (out / f"{tower}_model.onnx").read_bytes() != (world.root / "run_1" / f"{tower}_model.onnx").read_bytes():
            raise SystemExit(f"{tower} tower alone: another file")
        if (out / f"{other}_model.onnx").exists() or (out / "preprocessor_config.json").exists() != (tower == "vision"):
            raise SystemExit(f"{tower} tower alone: {sorted(p.name for p in out.iterdir())}")


def make_large(world, name):
    """A text tower of more than 2 GiB: most of the token embedding is a hole in a sparse file."""
    config = CLIPConfig(text_config=TEXT | dict(hidden_size=256, num_attention_heads=4, vocab_size=600, bos_token_id=512, eos_token_id=513),
                        vision_config=VISION, projection_dim=20)
    folder = world.root / name
    model = noisy(CLIPModel(config))
    model.save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    saved["text_config"]["vocab_size"] = rows = 2**21 + 9
    (folder / "config.json").write_text(json.dumps(saved))
    embedding = "text_model.embeddings.token_embedding.weight"
    tensors = {k: v.numpy() for k, v in model.state_dict().items() if k != embedding} | {embedding: model.state_dict()[embedding].numpy()}
    header, end = {}, 0
    for key, value in tensors.items():
        shape = [rows, 256] if key == embedding else list(value.shape)
        begin, end = end, end + 4 * math.prod(shape)
        header[key] = dict(dtype="F32", shape=shape, data_offsets=[begin, end])
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(value.tobytes() for value in tensors.values()))
        file.truncate(8 + len(text) + end)
    shutil.copytree(world.root / "tokenizer", folder, dirs_exist_ok=True)


def check_large(world):
    """Protocol buffers end at 2 GiB: the tensors of a larger tower are in a file beside its graph."""
    make_large(world, "large")
    world.run("embed", "large", "--texts", *TEXTS, "--out", "own.safetensors")
    own = load_file(world.root / "own.safetensors")["text"]
    out = world.root / "large_onnx"
    world.run("export", "large", "--to", "onnx", "--tower", "text", "--out", out)
    graph, data = out / "text_model.onnx", out / "text_model.onnx.data"
    if not graph.stat().st_size < 100_000 < 2**31 < data.stat().st_size:
        raise SystemExit(f"sizes: {graph.stat().st_size}, {data.stat().st_size}")
    check_graph(graph, "input_ids", "text_embeds")
    ids = AutoTokenizer.from_pretrained(out)(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="np")["input_ids"]
    found, = session(graph).run(None, {"input_ids": ids})
    difference = compare("large", found, own, "fp32")
    print(f"  a text tower of {data.stat().st_size / 2**30:.2f} GiB, fp32: largest difference {difference:.1e}")


def check_snippet(world):
    """The Python of docs/formats.md as it stands there, but for the context of the tiny model."""
    page = (pathlib.Path(__file__).parents[2] / "docs/formats.md").read_text()
    code, = re.findall(r"^```python\n(import onnxruntime.*?)^```$", page, re.S | re.M)
    world.run("export", "runs/safe", "--to", "onnx", "--out", "safe-onnx")
    shutil.copy(world.root / PICTURES[0], world.root / "photo.png")
    lines = f"import onnxruntime; onnxruntime.set_default_logger_severity(3)\n{code.replace('context = 77', 'context = 16')}"
    said = subprocess.run([sys.executable, "-c", lines], cwd=world.root, capture_output=True, text=True, check=True).stdout
    world.run("embed", "run_hf_1", "--texts", "a red car", "a blue dog", "--images", "photo.png", "--out", "own.safetensors")
    own = load_file(world.root / "own.safetensors")
    found = np.array([float(number) for number in said.strip(" []\n").split()])
    if not np.allclose(found, (own["image"] @ own["text"].T)[0], atol=1e-5):
        raise SystemExit(f"the page's code says {said}")


def check_refusals(world):
    for words, sentence in ((["--dtype", "bf16"], "--dtype bf16"), (["--timm-model", "x"], "works only with --to open_clip, not --to onnx"),
                            (["--strength", "0.5"], "is not a run")):
        said = world.run("export", "base", "--to", "onnx", *words, "--out", "refused", code=2).stderr
        if sentence not in said or (world.root / "refused").exists():
            raise SystemExit(f"{words}: {said}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    World.program = os.path.abspath(parser.parse_args().program)
    torch.manual_seed(5)
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder))
        for name, act, vocab_size, eos in (("quick", "quick_gelu", 514, 513), ("exact", "gelu", 530, 513), ("legacy", "gelu_pytorch_tanh", 514, 2)):
            make_clip(world, name, act, vocab_size, eos)
            check_model(world, name)
            check_other_ids(world, name)
        for name, context, width in (("short", 16, 32), ("long", 64, 40)):
            make_siglip(world, name, context, width)
            check_model(world, name)
            # A shorter text would give another embedding, so the graph takes none.
            if session(world.root / f"{name}_fp32" / "text_model.onnx").get_inputs()[0].shape != ["batch_size", context]:
                raise SystemExit(f"{name}: texts of any length")
        check_run(world)
        check_refusals(world)
        check_snippet(world)
        check_large(world)
    print("largest differences: " + ", ".join(f"{dtype} {value:.1e}" for dtype, value in LARGEST.items()))


main()
