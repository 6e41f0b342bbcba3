"""A manifest with every kind of dirt, and pictures that change under our feet: `prepare` ends, and its report is exact.

    dirty.py [--rows 200000] [--program build/release/saferclip] [--threads 2]

Prints one JSON document: rows, problems by kind, seconds, peak memory. Exits 0 only when the report names exactly the
lines that were planted, no bad row is trained on, and caches made while pictures changed end up equal to fresh ones.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import World, file_hash, png, sets  # noqa: E402

DIRT_SHARE = 0.04  # of the rows; each kind gets an equal part
WORDS = "red blue dog cat car tree sun moon house boat bird fish road rain snow wind".split()
GOOD_PICTURES = 40
SHIFTING = 5  # pictures that change while they are read


def bomb():
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def make_pictures(root):
    images = root / "images"
    good = [png(f"good{i}") for i in range(GOOD_PICTURES)]
    for i, picture in enumerate(good):
        (images / f"good{i}.png").write_bytes(picture)
    for i in range(SHIFTING):
        (images / f"shifting{i}.png").write_bytes(good[0])
    for name, content in dict(cut=good[0][:-40], empty=b"", text=b"no picture at all", bomb=bomb(),
                              header=good[0][:8] + b"\0" * 200).items():
        (images / f"{name}.png").write_bytes(content)
    (images / "folder.png").mkdir()
    (root.parent / "outside.png").write_bytes(good[0])
    (images / "way_out.png").symlink_to(root.parent / "outside.png")
    (images / "loop.png").symlink_to(images / "loop.png")


def plain_row(i, rng):
    row = dict(id=f"r{i}", safe_caption=f"{rng.choice(WORDS)} {rng.choice(WORDS)} {rng.choice(WORDS)}",
               safe_image=f"images/good{rng.randrange(GOOD_PICTURES)}.png",
               unsafe_caption=f"bad {rng.choice(WORDS)} {rng.choice(WORDS)}", tag=rng.choice(WORDS))
    if i % 3:
        row["unsafe_image"] = f"images/good{rng.randrange(GOOD_PICTURES)}.png"
    return row


def edits(root):
    """Name of the dirt -> (what it does to a row, or the line it puts in its place; the kind it is reported as)."""
    outside = str(root.parent / "outside.png")
    result = {
        "caption null": (lambda r: dict(r, safe_caption=None), "missing safe_caption"),
        "caption blank": (lambda r: dict(r, unsafe_caption=" \t "), "empty caption"),
        "caption empty": (lambda r: dict(r, safe_caption=""), "empty caption"),
        "caption number": (lambda r: dict(r, safe_caption=109551), "caption is not text"),
        "caption list": (lambda r: dict(r, unsafe_caption=["a"] * 500), "unequal lists of captions"),
        "no unsafe caption": (lambda r: {k: v for k, v in r.items() if k != "unsafe_caption"}, "missing unsafe_caption"),
        "no picture named": (lambda r: {k: v for k, v in r.items() if k != "safe_image"}, "missing safe_image"),
        "picture absent": (lambda r: dict(r, safe_image="images/gone.png"), "absent safe image"),
        "picture a folder": (lambda r: dict(r, safe_image="images/folder.png"), "absent safe image"),
        "picture a link to itself": (lambda r: dict(r, safe_image="images/loop.png"), "absent safe image"),
        "picture of an endless name": (lambda r: dict(r, safe_image="x" * 5000), "absent safe image"),
        "path a number": (lambda r: dict(r, safe_image=7), "image path is not text"),
        "unsafe path a list": (lambda r: dict(r, unsafe_image=["a.png"]), "image path is not text"),
        "path absolute": (lambda r: dict(r, safe_image=outside), "image outside image_root"),
        "path with ..": (lambda r: dict(r, unsafe_image="images/../../outside.png"), "image outside image_root"),
        "path through a link": (lambda r: dict(r, safe_image="images/way_out.png"), "image outside image_root"),
        "line cut": (lambda r: json.dumps(r).encode()[:40], "unreadable row"),
        "line not UTF-8": (lambda r: json.dumps(r).encode().replace(b"bad", b"\xff\xfe"), "unreadable row"),
        "line with NaN": (lambda r: json.dumps(dict(r, tag=float("nan"))).encode(), "unreadable row"),
        "caption twice": (lambda r: json.dumps(r)[:-1].encode() + b', "safe_caption": "another"}', "unreadable row"),
        "two names": (lambda r: dict(r, caption="another"), "two names of one field"),
        "id true": (lambda r: dict(r, id=True), "id is not text"),
        "line a list": (lambda r: b"[1, 2]", "unreadable row"),
        "line nested deep": (lambda r: b'{"id":' + b"[" * 500 + b"]" * 500 + b"}", "unreadable row"),
        "id twice": (lambda r: dict(r, id="r0"), "duplicate id"),
    }
    for name in ("cut", "empty", "text", "bomb", "header"):
        for side in ("safe_image", "unsafe_image"):
            result[f"{side} {name}"] = (lambda r, s=side, n=name: dict(r, **{s: f"images/{n}.png"}), "undecodable image")
    return result


# Unusual, but good.
ODD = [lambda r: dict(r, tag="bodily bluids"), lambda r: dict(r, tag=12), lambda r: dict(r, unsafe_image="images/gone.png"),
       lambda r: dict(r, safe_caption="&amp;lt; \u0130\u00df \U0001f600 " + "x" * 3000), lambda r: dict(r, unsafe_image=None),
       lambda r: dict(r, safe_caption="a\0b"), lambda r: dict(r, unsafe_caption="same caption")]


def write_manifest(root, rows):
    """Lines of the manifest; returns {kind: [line]} and the counts of what is odd but good."""
    rng = random.Random(5)
    dirt = edits(root)
    step = max(1, int(1 / DIRT_SHARE))
    expected, odd, planted, other_split = collections.defaultdict(list), 0, 0, 0
    names = sorted(dirt)
    with open(root / "dirty.jsonl", "wb") as out:
        for i in range(rows):
            row = plain_row(i, rng)
            if i % step == step // 2:
                edit, kind = dirt[names[planted % len(names)]]
                row = edit(row)
                planted += 1
                expected[kind].append(i + 1)
            elif i % 97 == 3:
                row = ODD[odd % len(ODD)](row)
                odd += 1
            elif i % 501 == 7:
                row = dict(row, split="test", safe_caption="")  # another split's dirt is not ours
                other_split += 1
            elif i % 50 == 11:
                row["safe_image"] = f"images/shifting{i // 50 % SHIFTING}.png"
            out.write((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n")
    assert planted >= len(names), f"{rows} rows are too few for {len(names)} kinds of dirt"
    return dict(expected), other_split


class Check:
    def __init__(self, root, arguments):
        self.world = World(root)
        self.root = root
        self.threads = arguments.threads
        self.world.make_base()
        make_pictures(root)
        self.expected, other_split = write_manifest(root, arguments.rows)
        self.rows = arguments.rows - other_split
        self.bad = len({line for lines in self.expected.values() for line in lines})

    def command(self, *arguments, cache="dirty_cache", share=0.5):
        settings = ("data.train=dirty.jsonl", "data.validation=", "data.bad_rows=skip", f"data.cache_dir={cache}",
                    f"data.max_bad_fraction={share}")
        return [World.program, "--threads", str(self.threads), *arguments, *sets(*settings)]

    def run(self, *arguments, code=0, **options):
        result = subprocess.run(self.command(*arguments, **options), cwd=self.root, text=True, capture_output=True)
        assert result.returncode == code, f"exit {result.returncode}, expected {code}\n{result.stderr[-3000:]}"
        return result

    def report(self, cache):
        return json.loads((self.root / cache / "bad_rows.train.json").read_text())

    def require_exact(self, cache):
        report = self.report(cache)
        found = {kind: [row["line"] for row in entry["rows"]] for kind, entry in report["kinds"].items()}
        assert found == self.expected, {k: (len(found.get(k, [])), len(self.expected.get(k, [])))
                                        for k in {*found, *self.expected}}
        assert report["bad_rows"] == self.bad and report["rows_read"] == self.rows
        return {kind: len(lines) for kind, lines in sorted(found.items())}

    def check_static(self):
        began = time.monotonic()
        said = self.run("prepare", "safe.yaml")
        seconds = time.monotonic() - began
        kinds = self.require_exact("dirty_cache")
        assert f"prepared {self.rows - self.bad} training rows" in said.stdout, said.stdout
        assert len(said.stderr) < 20_000, "the report must not flood the terminal"
        again = time.monotonic()
        assert "decoding" not in self.run("prepare", "safe.yaml").stderr
        return dict(kinds=kinds, seconds=round(seconds, 1), seconds_again=round(time.monotonic() - again, 1),
                    peak_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)

    def check_threshold(self):
        share = self.bad / self.rows
        said = self.run("prepare", "safe.yaml", share=share - 1e-5, code=3).stderr
        assert "data.max_bad_fraction" in said and f"{self.bad} of {self.rows} rows are bad" in said, said[-800:]
        self.run("prepare", "safe.yaml", share=share + 1e-9)

    def check_training(self):
        plan = self.run("train", "safe.yaml", "--dry-run", "--set", "objective.curriculum.enabled=false").stdout
        assert f"rows per epoch: {self.rows - self.bad:,}" in plan, plan
        sets = ["--set", "objective.curriculum.enabled=false", "--set", "train.max_steps=20", "--set", "train.batch_size=64",
                "--set", "run.name=dirty"]
        self.run("train", "safe.yaml", *sets)
        lines = [json.loads(l) for l in (self.root / "runs/dirty/metrics.jsonl").read_text().splitlines()]
        assert len(lines) == 20 and all(abs(l["loss"]) < 1e6 for l in lines)

    def shift(self, stop):
        """Replaces, cuts, removes and restores pictures until told to stop."""
        rng, n = random.Random(3), 0
        contents = [png("good0"), png("good1"), png("good0")[:-40], b"", None]
        while not stop.is_set():
            path = self.root / "images" / f"shifting{rng.randrange(SHIFTING)}.png"
            content = contents[rng.randrange(len(contents))]
            if content is None:
                path.unlink(missing_ok=True)
            elif n % 2:
                path.write_bytes(content)  # in place: a reader may see half of it
            else:
                (path.with_suffix(".new")).write_bytes(content)
                os.replace(path.with_suffix(".new"), path)
            n += 1
            time.sleep(0.001)
        return n

    def check_shifting(self):
        stop, changes = threading.Event(), []
        shifter = threading.Thread(target=lambda: changes.append(self.shift(stop)))
        shifter.start()
        try:
            self.run("prepare", "safe.yaml", cache="shifting_cache")
        finally:
            stop.set()
            shifter.join()
        report = self.report("shifting_cache")
        for kind, lines in self.expected.items():
            assert set(lines) <= {row["line"] for row in report["kinds"][kind]["rows"]}, kind
        for i in range(SHIFTING):
            (self.root / "images" / f"shifting{i}.png").write_bytes(png("good1"))
        self.run("prepare", "safe.yaml", cache="shifting_cache")
        self.run("prepare", "safe.yaml", cache="fresh_cache")
        self.require_exact("shifting_cache")
        fresh = sorted((self.root / "fresh_cache").glob("*/data.safetensors"))
        assert len(fresh) >= 4
        for path in fresh:
            other = self.root / "shifting_cache" / path.relative_to(self.root / "fresh_cache")
            assert file_hash(path) == file_hash(other), other
        return changes[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/saferclip")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    World.program = os.path.abspath(arguments.program)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "data"
        root.mkdir()
        check = Check(root, arguments)
        result = dict(rows=arguments.rows, bad_rows=check.bad, **check.check_static())
        check.check_threshold()
        check.check_training()
        result["changes_while_preparing"] = check.check_shifting()
    print(json.dumps(result, indent=1))


main()
