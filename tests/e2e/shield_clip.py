"""ShieldCLIP through the real program: labels from the manifest to the loss, what is refused, what is said.

    shield_clip.py --program build/release/saferclip [unittest arguments]
"""
import csv
import io
import json
import math
import shutil
import struct
import tarfile

from world import ROWS, WorldCase, file_hash, main, read_safetensors, sets

CAPTIONS, IMAGES = "unsafe_caption_label", "unsafe_image_label"
SHIELD = ("objective={name: shield_clip}", "schedule={name: constant, warmup_steps: 0}", "checkpoint.every_steps=3")
WHOLE = (*SHIELD, "adapter.dropout=0", f"train.batch_size={ROWS}", "train.micro_batch_size=null", "train.max_steps=2",
         "objective.infonce_scale=10")


def unit(row):
    size = math.sqrt(sum(x * x for x in row))
    return [x / size for x in row]


def cosine(a, b):
    return sum(x * y for x, y in zip(unit(a), unit(b)))


def two_infonce(a, b, scale=10):
    """Both directions of InfoNCE among these rows."""
    if not a:
        return 0
    logits = [[scale * cosine(x, y) for y in b] for x in a]
    columns = list(zip(*logits))
    return sum(math.log(sum(map(math.exp, line))) - line[i] for table in (logits, columns) for i, line in enumerate(table)) / len(a)


class ShieldClip(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        cls.rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        cls.labels = [(i % 4 != 0, i % 3 != 0) for i in range(ROWS)]
        cls.labeled = [{**row, CAPTIONS: int(c), IMAGES: int(v)} for row, (c, v) in zip(cls.rows, cls.labels)]
        w.write_rows("labeled.jsonl", cls.labeled)

    def manifest(self, name, rows):
        self.world.write_rows(name, rows)
        return f"data.train={name}"

    def train(self, name, *settings, code=0, arguments=()):
        return self.world.train(name, *sets(*settings), *arguments, code=code)

    def first_terms(self, name):
        return next(line["terms"] for line in self.world.metrics(name) if line["kind"] == "train")

    def reference(self):
        """The frozen embeddings by column, read from the cache."""
        tensors = read_safetensors(next((self.world.root / "cache").glob("reference-*")) / "data.safetensors")
        return {name: [struct.unpack_from(f"<{shape[1]}f", data, 4 * shape[1] * i) for i in range(shape[0])]
                for name, (dtype, shape, data) in tensors.items() if len(shape) == 2 and dtype == "F32"}

    def expected(self, labels):
        """The terms of a model that has not moved, over all rows as one batch."""
        r = self.reference()
        t, v, u, w = (r[name] for name in ("safe_text", "safe_image", "unsafe_text", "unsafe_image"))
        shown = ["unsafe_image" in row for row in self.rows]

        def of(caption, image):
            return [i for i in range(ROWS) if shown[i] and labels[i] == (caption, image)]

        def contrast(a, b, index):
            return two_infonce([a[i] for i in index], [b[i] for i in index])

        def kept(a, b, index):
            return -sum(cosine(a[i], b[i]) for i in index) / max(len(index), 1)

        every = range(ROWS)
        texts, images = [i for i in every if labels[i][0]], [i for i in every if shown[i] and labels[i][1]]
        both = of(False, False)
        return {"real": -2 + contrast(v, t, every) + contrast(t, v, every),
                "safe": -float(any(shown[i] and not labels[i][1] for i in every)) - float(len(texts) < ROWS) +
                contrast(w, u, both) + contrast(u, w, both),
                "redir": kept(w, v, images) + kept(u, t, texts),
                "mix": contrast(w, u, of(False, True)) + contrast(u, w, of(True, False)),
                "coh": contrast(u, w, of(True, True))}

    def assert_terms(self, found, expected):
        self.assertEqual(set(found), set(expected))
        for name, value in expected.items():
            self.assertAlmostEqual(found[name], value, delta=2e-4, msg=name)

    def test_first_terms_are_those_of_the_frozen_model(self):
        self.train("labeled", *WHOLE, "data.train=labeled.jsonl", "data.validation=labeled.jsonl",
                   f"evaluate.batch_size={ROWS}", "evaluate.every_epochs=1", "optimizer.lr=1e-9")
        expected = self.expected(self.labels)
        self.assert_terms(self.first_terms("labeled"), expected)
        loss = [line for line in self.world.metrics("labeled") if line["kind"] == "evaluation"][-1]["after"]["loss"]
        self.assert_terms(loss["terms"], expected)
        weights = {"real": 0.1, "safe": 0.1, "redir": 0.1, "mix": 0.25, "coh": 0.25}
        self.assertAlmostEqual(loss["total"], sum(weights[n] * expected[n] for n in weights), delta=1e-4)
        said = self.train("bare", *WHOLE, "optimizer.lr=1e-9").stderr
        self.assert_terms(self.first_terms("bare"), self.expected([(True, True)] * ROWS))
        self.assertIn("so all of the unsafe half counts as unsafe: safe, mix are not trained", said)
        self.assertNotIn("are not trained", self.train("ablation", *WHOLE, "objective.weights.safe=0", "objective.weights.mix=0").stderr)

    def test_labels_of_tables_and_shards(self):
        w = self.world
        self.train("lines", *WHOLE, "data.train=labeled.jsonl", "data.validation=null")
        columns = list(dict.fromkeys(key for row in self.labeled for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows(self.labeled)
        (w.root / "labeled.csv").write_text(table.getvalue())
        folder = w.root / "folder"
        shutil.copytree(w.root / "images", folder / "images")
        shutil.copy(w.root / "labeled.csv", folder / "metadata.csv")
        with tarfile.open(w.root / "labeled.tar", "w") as tar:
            for row in self.labeled:
                record = {k: x for k, x in row.items() if not k.endswith("_image")}
                (w.root / "record.json").write_text(json.dumps(record))
                tar.add(w.root / "record.json", f"{row['id']}.json")
                tar.add(w.root / row["safe_image"], f"{row['id']}.png")
                if "unsafe_image" in row:
                    tar.add(w.root / row["unsafe_image"], f"{row['id']}.unsafe.png")
        for name in ("labeled.csv", "folder", "labeled.tar"):
            run = name.replace(".", "-")
            self.train(run, *WHOLE, f"data.train={name}", "data.validation=null")
            for term, value in self.first_terms("lines").items():
                self.assertAlmostEqual(self.first_terms(run)[term], value, delta=1e-5, msg=f"{name}: {term}")

    def test_resumes_to_the_bit_and_refuses_other_labels(self):
        w = self.world
        plain = (*SHIELD, "data.train=labeled.jsonl", "train.batch_size=12", "train.micro_batch_size=null",
                 "objective.weights.pres_spread_txt=2", "objective.weights.pres_local_img=0.1")
        self.train("halves", *plain, "train.max_steps=7", arguments=("--resume", "auto"))
        changed = [dict(row) for row in self.labeled]
        changed[3][IMAGES] = 1 - changed[3][IMAGES]
        w.write_rows("labeled.jsonl", changed)
        said = self.train("halves", *plain, "train.max_steps=12", arguments=("--resume", "auto"), code=2).stderr
        self.assertIn("labels: its content has changed since the run started", said)
        w.write_rows("labeled.jsonl", self.labeled)
        self.train("halves", *plain, "train.max_steps=12", arguments=("--resume", "auto"))
        self.train("straight", *plain, "train.max_steps=12")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint("halves") / file), file_hash(w.checkpoint("straight") / file))
        self.assertIn("pres_spread_txt", self.first_terms("halves"))

    def test_micro_batches_with_a_gradient_cache_are_one_batch(self):
        plain = (*SHIELD, "adapter.dropout=0", "data.train=labeled.jsonl", "train.batch_size=12", "train.max_steps=6", "optimizer.lr=1e-3",
                 "objective.weights.pres_spread_txt=2", "objective.weights.pres_local_img=0.1")
        self.train("one", *plain, "train.micro_batch_size=null")
        self.train("cached", *plain, "train.micro_batch_size=3", "train.gradient_cache=true")
        steps = lambda name: [line for line in self.world.metrics(name) if line["kind"] == "train"]
        for a, b in zip(steps("one"), steps("cached"), strict=True):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=2e-5)
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=2e-4 * a["grad_norm"])

    def test_bad_labels_name_their_lines(self):
        rows = [dict(row) for row in self.labeled]
        rows[4][CAPTIONS], rows[6][IMAGES] = 2, "no"
        bad = self.manifest("bad.jsonl", rows)
        said = self.train("bad", *SHIELD, bad, code=3).stderr
        self.assertIn("unsafe_caption_label is 2, expected 0 or 1", said)
        self.assertIn('unsafe_image_label is "no", expected 0 or 1', said)
        check = self.world.run("config", "check", "safe.yaml", *sets(*SHIELD, bad), code=2).stderr
        for word in ("bad.jsonl:5 ", "bad.jsonl:7 "):
            self.assertIn(word, check)

    def test_terms_that_the_labels_leave_untrained(self):
        one = self.manifest("one.jsonl", [{**row, CAPTIONS: 1, IMAGES: int(i != 1)} for i, row in enumerate(self.rows)])
        for code, *command in ((2, "train", "safe.yaml"), (3, "prepare", "safe.yaml"), (2, "config", "check", "safe.yaml")):
            said = self.world.run(*command, *sets(*SHIELD, one), code=code).stderr
            self.assertIn("objective.weights.mix: ", said)
            self.assertIn("no batch has two rows with unsafe_image_label 1 and unsafe_caption_label 0", said)
            self.assertNotIn("objective.weights.safe", said)  # its cosine trains on the one row
        said = self.train("sparse", *SHIELD, one, "objective.weights.mix=0", "train.max_steps=5").stderr
        self.assertIn("objective.weights.safe: a part of it is never trained: no batch has two rows with both labels 0", said)
        # Enough rows in all, but never two in a batch.
        said = self.train("alone", *SHIELD, "data.train=labeled.jsonl", "train.batch_size=1", "train.micro_batch_size=null", code=3).stderr
        self.assertIn("objective.weights.coh: ", said)
        self.assertIn("raise train.batch_size", said)

    def test_what_is_refused(self):
        for settings, words in (
                (["objective.weights.mutual_txt=1"], "apart, and coh holds them together"),
                (["objective.weights={real: 0, safe: 0, mix: 0, coh: 0}"], "with cosines alone shield_clip collapses")):
            said = self.world.run("config", "check", "safe.yaml", *sets("objective.name=shield_clip", *settings), code=2).stderr
            self.assertIn(words, said)
        bare = self.manifest("bare.jsonl", [{k: v for k, v in row.items() if k != "unsafe_image"} for row in self.labeled])
        said = self.train("pictures", *SHIELD, bare, "data.validation=null", "train.max_steps=1").stderr
        self.assertIn("mix, coh are never trained, unsafe images are not redirected, and this is not ShieldCLIP", said)

    def test_nearest_targets_compose(self):
        self.train("nearest", *WHOLE, "data.train=labeled.jsonl", "objective.targets.mode=nearest")
        self.train("fixed", *WHOLE, "data.train=labeled.jsonl")
        nearest, fixed = self.first_terms("nearest"), self.first_terms("fixed")
        self.assertLess(nearest["redir"], fixed["redir"])
        for name in ("real", "safe", "mix", "coh"):
            self.assertAlmostEqual(nearest[name], fixed[name], delta=1e-5)


if __name__ == "__main__":
    main()
