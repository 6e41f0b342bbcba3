"""What the tests with the real program share: a tiny world, and ways to run the program in it."""
import hashlib
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROWS = 24


def png(seed, side=20):
    rng = random.Random(seed)
    colour = [rng.randrange(256) for _ in range(3)]
    raw = b"".join(b"\0" + bytes((c + rng.randrange(40)) % 256 for _ in range(side) for c in colour) for _ in range(side))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def write_tokenizer(folder):
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printed] + [chr(256 + i) for i in range(256 - len(printed))]
    entries = symbols + [s + "</w>" for s in symbols] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def tower(**extra):
    return dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, hidden_act="quick_gelu", **extra)


def file_hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sets(*settings):
    """Arguments that set each of "key=value"."""
    return [word for setting in settings for word in ("--set", setting)]


def seal(checkpoint):
    """Makes the manifest of a checkpoint right again after its files were changed."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        manifest["files"][name] = {"size": (checkpoint / name).stat().st_size, "sha256": file_hash(checkpoint / name)}
    path.write_text(json.dumps(manifest))


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    content = path.read_bytes()
    size, = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    cut = lambda offsets: content[8 + size + offsets[0]:8 + size + offsets[1]]
    return {name: (entry["dtype"], entry["shape"], cut(entry["data_offsets"])) for name, entry in header.items()}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = dict(dtype=dtype, shape=shape, data_offsets=[at, at + len(data)])
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


class Workspace:
    """A folder that the program runs in."""
    program = ""  # the path of the program under test

    def __init__(self, root):
        self.root = root

    def write_rows(self, name, rows):
        (self.root / name).write_text("".join(json.dumps(r) + "\n" for r in rows))

    def run(self, *arguments, code=0, **options):
        result = subprocess.run([self.program, "--threads", "1", *map(str, arguments)], cwd=self.root, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        if code is not None and result.returncode != code:
            raise AssertionError(f"{arguments}: exit {result.returncode}, expected {code}\n{result.stdout}{result.stderr}")
        return result

    def start(self, *arguments):
        return subprocess.Popen([self.program, "--threads", "1", *map(str, arguments)], cwd=self.root,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def train(self, name, *extra, code=0):
        return self.run("train", "safe.yaml", "--set", f"run.name={name}", *extra, code=code)

    def checkpoint(self, name):
        folder = self.root / "runs" / name / "checkpoints"
        return folder / (folder / "latest").read_text().strip()

    def metrics(self, name):
        return [json.loads(line) for line in (self.root / "runs" / name / "metrics.jsonl").read_text().splitlines()]


class World(Workspace):
    """A workspace with data, a base model, and configurations."""

    def __init__(self, root):
        super().__init__(root)
        write_tokenizer(root / "tokenizer")
        (root / "model.json").write_text(json.dumps(dict(
            model_type="clip", projection_dim=8, text_config=tower(max_position_embeddings=16, vocab_size=514),
            vision_config=tower(image_size=16, patch_size=8))))
        (root / "images").mkdir()
        rows = []
        words = "red blue dog cat car tree sun moon".split()
        for i in range(ROWS):
            for kind in ("safe", "unsafe"):
                (root / "images" / f"{kind}{i}.png").write_bytes(png(f"{kind}{i}"))
            rows.append(dict(id=str(i), safe_caption=f"{words[i % 8]} {words[i // 8]}", safe_image=f"images/safe{i}.png",
                             unsafe_caption=f"bad {words[i % 8]}", tag=words[i % 3]))
            if i % 5:
                rows[-1]["unsafe_image"] = f"images/unsafe{i}.png"
        self.write_rows("train.jsonl", rows)
        (root / "classes.tsv").write_text("red\tr\tsafe\nblue\tb\tunsafe\n")
        (root / "zero.csv").write_text("file,label\nimages/safe0.png,r\nimages/safe1.png,b\n")
        (root / "base.yaml").write_text(
            "model: {init: model.json, tokenizer: tokenizer, train_logit_scale: true, train_projections: true}\n"
            "data: {train: train.jsonl, cache_dir: cache}\nobjective: {name: clip}\nadapter: {method: full}\n"
            "train: {max_steps: 4, batch_size: 8, precision: fp32}\nrun: {name: base}\n")
        (root / "safe.yaml").write_text(
            "model: {weights: base}\ndata: {train: train.jsonl, validation: train.jsonl, cache_dir: cache}\n"
            "adapter: {rank: 2, dropout: 0.2, targets: [q_proj, v_proj, fc1, patch_embedding]}\n"
            "objective: {weights: {mutual_txt: 1, anchor_txt: 1}, anchors: {prompts: prompts.txt, batch_size: 4},\n"
            "  curriculum: {start_epochs: [0, 1, 3]}}\n"
            "optimizer: {lr: 1.0e-2}\nschedule: {name: cosine, warmup_steps: 2}\n"
            "train: {max_steps: 40, batch_size: 5, micro_batch_size: 2, precision: fp32}\n"
            "checkpoint: {every_steps: 3, keep_last: 2}\n"
            "evaluate: {every_epochs: 2, zero_shot: [{name: z, images: zero.csv, classes: classes.tsv}]}\n"
            "run: {name: safe}\n")
        (root / "prompts.txt").write_text("a red car\na blue tree\nthe moon\nthe sun\na dog\n")

    def make_base(self, *settings):
        """Trains the base of safe.yaml and exports it to the folder base."""
        self.run("train", "base.yaml", *sets(*settings))
        self.run("export", "runs/base", "--to", "hf", "--out", "base")


class WorldCase(unittest.TestCase):
    """Tests that share one world with a base."""
    prefix = None  # of the folder's name
    base_settings = ()

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix=cls.prefix)
        cls.addClassCleanup(folder.cleanup)
        cls.world = World(pathlib.Path(folder.name).resolve())
        cls.world.make_base(*cls.base_settings)

    def assert_same_run(self, name, other="whole"):
        w = self.world
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint(name) / file), file_hash(w.checkpoint(other) / file), file)
        strip = lambda lines: [{k: v for k, v in line.items() if k not in ("quadruplets_per_s", "device_peak_bytes", "waited_s")} for line in lines]
        self.assertEqual(strip(w.metrics(name)), strip(w.metrics(other)))

    def assert_same_artifacts(self, cache, fresh, least=4):
        """Every artifact of the cache `fresh` is in the other one, to the bit."""
        paths = sorted((self.world.root / fresh).glob("*/data.safetensors"))
        self.assertGreaterEqual(len(paths), least)
        for path in paths:
            other = self.world.root / cache / path.relative_to(self.world.root / fresh)
            self.assertEqual(file_hash(path), file_hash(other), other)


def main():
    """Runs the tests of the script: --program PATH [unittest arguments]."""
    index = sys.argv.index("--program")
    Workspace.program = os.path.abspath(sys.argv[index + 1])
    del sys.argv[index:index + 2]
    unittest.main(verbosity=2)
