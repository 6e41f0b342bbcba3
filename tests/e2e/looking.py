"""The quickest look at a model: embeddings for other tools, the images of a folder that fit a text, and their labels.

    looking.py --program build/release/saferclip [unittest arguments]
"""
import ast
import base64
import csv
import html.parser
import json
import math
import shutil
import struct

from world import WorldCase, main, read_safetensors

PICTURES = [f"images/safe{i}.png" for i in range(4)]
TEXTS = ['a "red" car, parked', "blue tree"]


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def rows_of(path):
    """{name: rows} of a safetensors file."""
    result = {}
    for name, (dtype, shape, data) in read_safetensors(path).items():
        assert dtype == "F32"
        values = floats(data)
        result[name] = [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]
    return result


def read_npy(path):
    """The shape and values of an .npy file of version 1.0, by the format's own description."""
    content = path.read_bytes()
    assert content[:8] == b"\x93NUMPY\x01\x00"
    length, = struct.unpack_from("<H", content, 8)
    assert (10 + length) % 64 == 0 and content[9 + length] == ord("\n")
    header = ast.literal_eval(content[10:10 + length].decode("ascii"))
    assert header["descr"] == "<f4" and not header["fortran_order"] and len(header) == 3
    return header["shape"], floats(content[10 + length:])


class Page(html.parser.HTMLParser):
    """What a page shows: headings of its queries, images, and check boxes that lift a veil."""

    def __init__(self):
        super().__init__()
        self.headings, self.images, self.boxes = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        self.boxes += tag == "input"
        if tag == "h3":
            self.headings.append("")
        self.in_heading = tag == "h3"

    def handle_endtag(self, tag):
        self.in_heading = False

    def handle_data(self, data):
        if self.headings and self.in_heading:
            self.headings[-1] += data


class Looking(WorldCase):
    prefix = "saferclip-looking-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.train("tuned", "--set", "train.max_steps=6")
        photos = cls.world.root / "photos"
        (photos / "more").mkdir(parents=True)
        for i in range(12):
            shutil.copy(cls.world.root / f"images/safe{i}.png", photos / ("more" if i % 3 == 0 else ".") / f"{i:02d}.png")
        (photos / "notes.txt").write_text("no picture")
        (photos / "torn.png").write_bytes((photos / "01.png").read_bytes()[:60])
        cls.names = sorted(str(p.relative_to(photos)) for p in photos.rglob("[0-9]*.png"))

    def said(self, *words, code=2):
        return self.world.run(*words, code=code).stderr

    # --- embed

    def test_forms_of_embeddings(self):
        w = self.world
        both = ("--images", *PICTURES, "--texts", *TEXTS)
        w.run("embed", "base", *both, "--out", "rows.safetensors")
        right = rows_of(w.root / "rows.safetensors")
        for kind, words in (("image", ("--images", *PICTURES)), ("text", ("--texts", *TEXTS))):
            w.run("embed", "base", *words, "--out", f"{kind}.npy")
            shape, values = read_npy(w.root / f"{kind}.npy")
            self.assertEqual(shape, (len(right[kind]), 8))
            self.assertEqual(values, tuple(v for row in right[kind] for v in row))
            try:
                import numpy
            except ImportError:
                continue
            self.assertEqual(numpy.load(w.root / f"{kind}.npy").tolist(), [list(row) for row in right[kind]])
        w.run("embed", "base", *both, "--out", "rows.CSV")
        with open(w.root / "rows.CSV", newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        self.assertEqual(header, ["kind", "item", *(f"d{i}" for i in range(8))])
        self.assertEqual([line[:2] for line in lines], [["image", p] for p in PICTURES] + [["text", t] for t in TEXTS])
        for line, row in zip(lines, right["image"] + right["text"], strict=True):
            self.assertEqual(struct.pack("<8f", *map(float, line[2:])), struct.pack("<8f", *row))
            self.assertTrue(math.isclose(sum(v * v for v in row), 1, rel_tol=1e-5))

    def test_forms_that_are_refused(self):
        w = self.world
        for out in ("rows.parquet", "rows", "rows.csv.gz"):
            said = self.said("embed", "base", "--texts", "a", "--out", out)
            self.assertIn("expected .safetensors, .npy or .csv", said)
            self.assertNotIn("loading", said)
            self.assertFalse((w.root / out).exists())
        said = self.said("embed", "base", "--texts", "a", "--images", PICTURES[0], "--out", "both.npy")
        self.assertIn("in two calls", said)
        self.assertFalse((w.root / "both.npy").exists())

    # --- search

    def cosines(self, model, texts, *options):
        """{text: {image: cosine}} of the embeddings that `embed` writes."""
        w = self.world
        w.run("embed", model, *options, "--images", *(f"photos/{n}" for n in self.names), "--texts", *texts, "--out", "right.safetensors")
        rows = rows_of(w.root / "right.safetensors")
        return {t: {n: math.fsum(a * b for a, b in zip(x, y)) for n, y in zip(self.names, rows["image"], strict=True)}
                for t, x in zip(texts, rows["text"], strict=True)}

    def search(self, model, *words, cache="look_cache"):
        done = self.world.run("search", model, "--images", "photos", "--cache", cache, "--json", *words)
        return json.loads(done.stdout), done.stderr

    def assert_ranked(self, found, right, top):
        self.assertEqual(len(found), top)
        for match in found:
            self.assertAlmostEqual(match["cosine"], right[match["image"]], delta=2e-6)
        self.assertEqual(len({m["image"] for m in found}), top)
        best = sorted(right.values(), reverse=True)[:top]
        for match, cosine in zip(found, best, strict=True):
            self.assertAlmostEqual(match["cosine"], cosine, delta=2e-6)

    def test_search_finds_what_the_embeddings_say(self):
        right = {"before": self.cosines("base", TEXTS), "after": self.cosines("runs/tuned", TEXTS)}
        self.assertNotEqual(right["before"], right["after"])
        document, said = self.search("runs/tuned", *TEXTS)
        self.assertEqual((document["images"], document["other_files"], document["unusable_images"]), (12, 1, 1))
        for words in ("skipped 1 file that is not an image (.txt 1)", "1 of 13 images cannot be used", "torn.png"):
            self.assertIn(words, said)
        self.assertEqual([q["query"] for q in document["queries"]], TEXTS)
        for query in document["queries"]:
            for side in ("before", "after"):
                self.assert_ranked(query[side], right[side][query["query"]], 5)
        document, _ = self.search("base", "--top", "50", *TEXTS)
        for query in document["queries"]:
            self.assert_ranked(query["model"], right["before"][query["query"]], 12)
        first = str(sorted((self.world.root / "runs/tuned/checkpoints").glob("step_*"))[0])
        right = self.cosines(first, TEXTS)
        document, _ = self.search(first, *TEXTS)
        for query in document["queries"]:
            self.assert_ranked(query["after"], right[query["query"]], 5)

    def test_the_table_of_a_search(self):
        long = self.world.root / "photos" / ("long" * 30)
        long.mkdir()
        self.addCleanup(shutil.rmtree, long)
        shutil.copy(self.world.root / "images/safe20.png", long / "at_its_end.png")
        done = self.world.run("search", "runs/tuned", "--images", "photos", "--top", "13", "red " * 60, "blue")
        lines = done.stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(len(lines), 2 * 15 + 1)
        self.assertRegex(lines[1], r"^ +before +cosine +after +cosine$")
        self.assertEqual(done.stdout.count("at_its_end.png"), 4)
        self.assertIn("next: saferclip evaluate runs/tuned", done.stderr)
        self.assertTrue((self.world.root / "cache").is_dir())  # the run's own
        self.assertIn("next: saferclip init --weights base", self.world.run("search", "base", "--images", "photos", "red").stderr)

    def test_nothing_is_embedded_twice(self):
        w = self.world
        first, said = self.search("runs/tuned", *TEXTS, cache="kept")
        for side in ("before", "after"):
            self.assertIn(f"images, {side}: 12 embedded, 0 from the cache", said)
        again, said = self.search("runs/tuned", *TEXTS, cache="kept")
        self.assertEqual(first, again)
        for side in ("before", "after"):
            self.assertIn(f"images, {side}: 0 embedded, 12 from the cache", said)
        _, said = self.search("base", "sun", cache="kept")  # the run's base
        self.assertIn("images: 0 embedded, 12 from the cache", said)
        # One new image, one renamed, one with new content under its name.
        photos = w.root / "photos"
        shutil.copy(w.root / "images/safe20.png", photos / "new.png")
        self.addCleanup((photos / "new.png").unlink)
        (photos / "01.png").rename(photos / "renamed.png")
        self.addCleanup((photos / "renamed.png").rename, photos / "01.png")
        _, said = self.search("base", "sun", cache="kept")
        self.assertIn("images: 1 embedded, 12 from the cache", said)
        shutil.copy(w.root / "images/safe21.png", photos / "new.png")
        _, said = self.search("base", "sun", cache="kept")
        self.assertIn("images: 1 embedded, 12 from the cache", said)
        _, said = self.search("base", "--image-size", "24", "sun", cache="kept")
        self.assertIn("images: 13 embedded, 0 from the cache", said)
        # What `prepare` has embedded with the base counts as well.
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=prepared")
        _, said = self.search("base", "sun", cache="prepared")
        self.assertIn("images: 0 embedded, 13 from the cache", said)

    def test_searches_that_are_refused(self):
        w = self.world
        (w.root / "empty").mkdir(exist_ok=True)
        (w.root / "empty/notes.txt").write_text("no picture")
        (w.root / "torn").mkdir(exist_ok=True)
        shutil.copy(w.root / "photos/torn.png", w.root / "torn/torn.png")
        for words, code, why in (
                (("base", "--images", "empty", "red"), 3, "empty: contains no images; skipped 1 file"),
                (("base", "--images", "torn", "red"), 3, "1 of 1 images cannot be used"),
                (("base", "--images", "gone", "red"), 3, "gone: no such folder"),
                (("base", "--images", "photos", " "), 2, "a query is empty"),
                (("base", "--images", "photos"), 2, "QUERY is required"),
                (("base", "red"), 2, "--images is required"),
                (("base", "--images", "photos", "--top", "0", "red"), 2, "--top"),
                (("base", "--images", "photos", "--set", "train.lr=1", "red"), 2, "--set: works only with a run"),
                (("runs/tuned", "--images", "photos", "--activation", "gelu", "red"), 2, "--activation: works only with plain weights"),
                (("runs/tuned", "--images", "photos", "--checkpoint", "7777", "red"), 4, "7777"),
                (("gone", "--images", "photos", "red"), 4, "gone")):
            said = self.said("search", *words, code=code)
            self.assertIn(why, said, words)
    def test_searches_as_pictures(self):
        w = self.world
        words = ["runs/tuned", "--images", "photos", "--cache", "look_cache", "--top", "3"]
        queries = ["red <b>&", "größe 木"]
        done = w.run("search", *words, *queries, "--sheet", "sheet.png", "--html", "found.html", "--json")
        document = json.loads(done.stdout)
        header = (w.root / "sheet.png").read_bytes()[:24]
        self.assertEqual(header[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", header[16:]), (2 * 8 + 64 + 3 * (128 + 8), 8 + 2 * (22 + 8 + 2 * (128 + 22 + 8))))
        page = (w.root / "found.html").read_text(encoding="utf-8")
        shown = Page()
        shown.feed(page)
        self.assertEqual(shown.headings, queries)
        expected = [m["image"] for q in document["queries"] for side in ("before", "after") for m in q[side]]
        self.assertEqual([image["alt"] for image in shown.images], expected)
        for image in shown.images:
            kind, _, data = image["src"].partition(",")
            self.assertEqual(kind, "data:image/jpeg;base64")
            self.assertEqual(base64.b64decode(data, validate=True)[:3], b"\xff\xd8\xff")
        self.assertNotRegex(page, r"https?://|<script")
        again = w.run("search", *words, *queries, "--html", "veiled.html", "--blur", "all")
        self.assertIn("wrote veiled.html", again.stderr)
        veiled = Page()
        veiled.feed((w.root / "veiled.html").read_text(encoding="utf-8"))
        self.assertEqual((veiled.boxes, veiled.images), (12, shown.images))
        w.run("search", *words, *queries, "--html", "bare.html", "--blur", "none")
        bare = Page()
        bare.feed((w.root / "bare.html").read_text(encoding="utf-8"))
        self.assertEqual((bare.boxes, bare.images), (0, shown.images))
        w.run("search", "base", *words[1:], "red", "--sheet", "narrow.png")
        self.assertEqual(struct.unpack(">II", (w.root / "narrow.png").read_bytes()[16:24]), (488, 8 + 22 + 8 + 128 + 22 + 8))

    def test_images_that_look_unsafe_are_blurred(self):
        """An image looks unsafe if its nearest caption, of both captions of the training rows, is an unsafe one."""
        w = self.world
        rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        safe, unsafe = ([row[f"{kind}_caption"] for row in rows] for kind in ("safe", "unsafe"))
        cosines = self.cosines("base", safe + unsafe)
        right = {n: max(cosines[t][n] for t in unsafe) > max(cosines[t][n] for t in safe) for n in self.names}
        words = ["search", "runs/tuned", "--images", "photos", "--cache", "look_cache", "--top", "12", "sun"]
        done = w.run(*words, "--json", "--html", "judged.html", "--sheet", "judged.png")
        self.assertIn(f"{sum(right.values())} of 12 images look unsafe", done.stderr)
        query = json.loads(done.stdout)["queries"][0]
        for side in ("before", "after"):
            self.assertEqual({m["image"]: m["looks_unsafe"] for m in query[side]}, right)
        page = Page()
        page.feed((w.root / "judged.html").read_text(encoding="utf-8"))
        self.assertEqual(page.boxes, 2 * sum(right.values()))
        w.run(*words, "--sheet", "plain.png", "--blur", "none")
        self.assertEqual((w.root / "plain.png").read_bytes() == (w.root / "judged.png").read_bytes(), not any(right.values()))
        self.assertNotIn("looks_unsafe", w.run(*words, "--json").stdout)
        told = json.loads(w.run(*words, "--json", "--blur", "unsafe").stdout)["queries"][0]["before"]
        self.assertEqual({m["image"]: m["looks_unsafe"] for m in told}, right)
        # Without the training rows nothing is known, so everything is blurred.
        said = w.run(*words, "--set", "data.train=gone.jsonl", "--html", "unknown.html").stderr
        self.assertIn("which images look unsafe is unknown: ", said)
        page = Page()
        page.feed((w.root / "unknown.html").read_text(encoding="utf-8"))
        self.assertEqual(page.boxes, 24)

    def test_pictures_of_a_search_that_are_refused(self):
        for words, why in ((("--sheet", "photos/sheet.png"), "where the next search would find it"),
                           (("--sheet", "gone/sheet.png"), "there is no folder"), (("--html", "photos"), "names a folder"),
                           (("--html", "photos/02.png"), "which this command reads"), (("--blur", "all"), "only with --html or --sheet"), (("--blur", "all", "--json"), "only with --html or --sheet"),
                           (("--html", "x.html", "--blur", "unsafe"), "works only with a run"),
                           (("--sheet", "x.png", "--top", "41"), "at most 40 images")):
            self.assertIn(why, self.said("search", "base", "--images", "photos", "--cache", "look_cache", "red", *words), words)
        self.assertTrue((self.world.root / "photos/02.png").read_bytes().startswith(b"\x89PNG"))

    # --- classify

    def classify(self, model, *words, cache="look_cache"):
        return self.world.run("classify", model, "--images", "photos", "--cache", cache, *words)

    def probabilities(self, model, weights, labels, template):
        """{image: softmax over the labels} of the embeddings that `embed` writes."""
        prompts = [template.replace("{}", label) for label in labels]
        scale = math.exp(floats(read_safetensors(self.world.root / weights / "model.safetensors")["logit_scale"][2])[0])
        cosines = self.cosines(model, prompts)
        result = {}
        for name in self.names:
            powers = [math.exp(scale * cosines[p][name]) for p in prompts]
            result[name] = [x / math.fsum(powers) for x in powers]
        return result

    def test_classify_gives_what_the_embeddings_say(self):
        w = self.world
        labels = ["red", "blue car, old", "sun"]
        (w.root / "labels.txt").write_text("".join(f"{x}\n\n" for x in labels))
        w.run("export", "runs/tuned", "--to", "hf", "--out", "tuned_export")
        right = {"before": self.probabilities("base", "base", labels, "a photo of a {}"),
                 "after": self.probabilities("runs/tuned", "tuned_export", labels, "a photo of a {}")}
        done = self.classify("runs/tuned", "--labels", "labels.txt", "--csv", "labels.csv", "--json")
        document = json.loads(done.stdout)
        self.assertEqual((document["labels"], document["images"], document["unusable_images"]), (labels, 12, 1))
        self.assertEqual([r["image"] for r in document["results"]], self.names)
        with open(w.root / "labels.csv", newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        for result, line in zip(document["results"], lines, strict=True):
            self.assertEqual(line["image"], result["image"])
            for side in ("before", "after"):
                found, expected = result[side]["probabilities"], right[side][result["image"]]
                for a, b in zip(found, expected, strict=True):
                    self.assertAlmostEqual(a, b, delta=2e-5)
                best = labels[found.index(max(found))]
                self.assertEqual((result[side]["label"], line[f"label_{side}"]), (best, best))
                self.assertAlmostEqual(float(line[f"probability_{side}"]), max(found), delta=1e-5)
        plain = json.loads(self.classify("base", "--labels", "red, sun", "--template", "{} here", "--json").stdout)
        right = self.probabilities("base", "base", ["red", "sun"], "{} here")
        for result in plain["results"]:
            for a, b in zip(result["model"]["probabilities"], right[result["image"]], strict=True):
                self.assertAlmostEqual(a, b, delta=2e-5)

    def test_the_table_of_labels(self):
        done = self.classify("runs/tuned", "--labels", "red, " + "very " * 20 + "blue", cache="labelled")
        lines = done.stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(len(lines), 1 + 12 + 1 + 3 + 2)
        self.assertRegex(lines[-1], r"^\d+ of 12 images have another label after$")
        counts = [list(map(int, line.split()[-2:])) for line in lines[15:17]]
        self.assertEqual([sum(column) for column in zip(*counts)], [12, 12])
        self.assertIn("next: saferclip evaluate runs/tuned", done.stderr)
        self.assertIn("images, after: 12 embedded", done.stderr)
        again = self.classify("runs/tuned", "--labels", "red,sun", cache="labelled").stderr
        self.assertIn("images, after: 0 embedded, 12 from the cache", again)

    def test_labels_that_are_refused(self):
        w = self.world
        (w.root / "none.txt").write_text("\n\n")
        for words, code, why in (
                (("--labels", "red"), 2, 'expected at least two labels, or a file with one per line, found "red"'),
                (("--labels", "gone.txt"), 2, "or a file with one per line"),
                (("--labels", "red,,red"), 2, "a label is empty\n.*\"red\" appears twice"),
                (("--labels", "none.txt"), 3, "none.txt"),
                (("--labels", "red,sun", "--template", "a photo"), 2, "has no {} for the label"),
                (("--labels", "red,sun", "--csv", "gone/x.csv"), 2, "--csv gone/x.csv: there is no folder"),
                ((), 2, "--labels is required")):
            said = self.said("classify", "base", "--images", "photos", *words, code=code)
            self.assertRegex(said, why.replace("{}", r"\{\}"), words)
            self.assertNotIn("loading", said)


if __name__ == "__main__":
    main()
