"""What evaluation makes of the data that people bring: captions that share a picture, splits with the safe half alone,
pictures that lie elsewhere, zero-shot sets of many layouts, a second data set under the name of the first.

    evaluation.py --program build/release/saferclip
"""
import json
import pathlib
import shutil
import struct

from world import ROWS, WorldCase, main, read_safetensors


class Evaluation(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        cls.rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        cls.plain = [{k: r[k] for k in ("id", "safe_caption", "safe_image")} for r in cls.rows]
        w.write_rows("plain.jsonl", cls.plain)
        config = (w.root / "safe.yaml").read_text().replace("cache_dir: cache}", "cache_dir: cache, evaluation: {plain: plain.jsonl}}")
        (w.root / "safe.yaml").write_text(config)
        w.train("whole", "--set", "train.max_steps=4")

    def evaluate(self, *arguments, code=0):
        done = self.world.run("evaluate", *arguments, "--set", "evaluate.bootstrap=50", "--json", code=code)
        return json.loads(done.stdout) if code == 0 else done.stderr

    # --- splits
    def test_a_split_with_the_safe_half_alone(self):
        """before, after, drift and change as of the same rows with their unsafe half, of a run and of a configuration."""
        w = self.world
        whole = self.evaluate("runs/whole", "--split", "train")
        plain = self.evaluate("runs/whole", "--split", "plain", "--strengths", "0,1", "--against", "runs/whole")
        for side in ("before", "after"):
            for task in ("text_to_image", "image_to_text"):
                self.assertEqual(plain[side]["retrieval"][task], whole[side]["retrieval"][task])
            self.assertEqual(set(plain[side]["retrieval"]), {"text_to_image", "image_to_text"})
            self.assertNotIn("safeground", plain[side])
        self.assertEqual(plain["after"]["drift"], whole["after"]["drift"])
        self.assertEqual(set(plain["after"]["drift"]), {"text", "vision"})
        for path in plain["change"]:
            self.assertEqual(plain["change"][path]["difference"], whole["change"][path]["difference"], path)
        self.assertIn("retrieval.text_to_image.r@1", plain["change"])
        self.assertEqual(plain["strengths"][0]["after"]["retrieval"], plain["before"]["retrieval"])
        self.assertEqual(plain["against"]["difference"]["retrieval.text_to_image.r@1"]["difference"], 0)
        self.assertEqual(self.evaluate("safe.yaml", "--split", "plain")["before"]["retrieval"], plain["before"]["retrieval"])
        w.run("report", "runs/whole", "--split", "plain", "--out", "plain.html")
        page = (w.root / "plain.html").read_text()
        for words in ("safe text → image, R@1", "By strength: 0 unchanged, 1 tuned", "How far the towers moved"):
            self.assertIn(words, page)

    def test_how_far_the_safe_rows_stay_as_they_were(self):
        """Spread and neighbors against a calculation from what `embed` writes; nothing has moved at strength 0."""
        w = self.world
        document = self.evaluate("runs/whole", "--split", "plain", "--strengths", "0,1")
        for rows in ("safe_text", "safe_image"):
            start = document["strengths"][0]["after"]["space"][rows]
            self.assertAlmostEqual(start["spread_ratio"], 1, delta=1e-5)
            self.assertGreater(start["neighbour_jaccard"], 0.999)
            self.assertNotIn("spread_ratio", document["before"]["space"][rows])
        self.assertEqual(set(document["after"]["drift"]), {"text", "vision"})
        w.run("export", "runs/whole", "--to", "hf", "--out", "whole")
        texts = [row["safe_caption"] for row in self.plain]
        sets = {}
        for model in ("base", "whole"):
            w.run("embed", model, "--texts", *texts, "--out", f"{model}.safetensors")
            (_, (count, width), data), = read_safetensors(w.root / f"{model}.safetensors").values()
            sets[model] = [struct.unpack_from(f"<{width}f", data, 4 * width * i) for i in range(count)]

        def spread(rows):
            middle = [sum(column) / len(rows) for column in zip(*rows)]
            return sum((x - m) ** 2 for row in rows for x, m in zip(row, middle)) / (len(rows) - 1)

        def nearest(rows, i):
            return set(sorted((j for j in range(len(rows)) if j != i), key=lambda j: (-sum(a * b for a, b in zip(rows[i], rows[j])), j))[:15])

        before, after = sets["base"], sets["whole"]
        overlap = [len(nearest(before, i) & nearest(after, i)) / len(nearest(before, i) | nearest(after, i)) for i in range(len(texts))]
        found = document["after"]["space"]["safe_text"]
        self.assertAlmostEqual(found["spread_ratio"], spread(after) / spread(before), delta=1e-4)
        self.assertAlmostEqual(found["neighbour_jaccard"], sum(overlap) / len(texts), delta=0.01)
        table = w.run("evaluate", "runs/whole", "--split", "plain", "--set", "evaluate.bootstrap=0").stdout
        w.run("report", "runs/whole", "--split", "plain", "--out", "kept.html")
        for label in ("spread of safe texts, times before", "neighbors that safe images keep, Jaccard"):
            self.assertIn(label, table)
            self.assertIn(label, (w.root / "kept.html").read_text())
        self.assertIn("space.safe_text.spread_ratio", (w.run("config", "check", "safe.yaml", "--set",
                      "checkpoint.best_metric=space.safe_text.spread_ratios", code=2).stderr))
        w.run("config", "check", "safe.yaml", "--set", "checkpoint.best_metric=space.safe_image.neighbour_jaccard")

    def test_validation_with_the_safe_half_alone(self):
        w = self.world
        w.train("plain-validation", "--set", "data.validation=plain.jsonl", "--set", "train.max_steps=8", "--set", "evaluate.every_epochs=1")
        kept = json.loads(sorted((w.root / "runs/plain-validation/evaluations").glob("step_*.json"))[-1].read_text())
        self.assertIn("embedding_cos", kept["after"]["drift"]["text"])
        for side in ("before", "after"):
            self.assertEqual(kept[side]["retrieval"]["text_to_image"]["n"], ROWS)

    def test_what_a_split_has_is_decided_by_all_its_rows(self):
        """Pictures outside the root, and a first row without an unsafe caption: every figure is there."""
        w = self.world
        far = [{k: str(w.root / v) if k.endswith("image") else v for k, v in r.items()} for r in self.rows]
        (w.root / "lists").mkdir()
        w.write_rows("lists/far.jsonl", far)
        inside = self.evaluate("safe.yaml", "--split", "train")["before"]
        options = ["--set", "data.train=lists/far.jsonl", "--set", "data.images_outside_root=true"]
        outside = self.evaluate("safe.yaml", "--split", "train", *options)["before"]
        for part in ("retrieval", "safeground", "unsafe_top1", "by_tag"):
            self.assertEqual(outside[part], inside[part], part)
        self.assertIn("image_root", self.evaluate("safe.yaml", "--split", "train", *options[:2], code=3))
        del far[0]["unsafe_caption"]
        w.write_rows("lists/gap.jsonl", far)
        options = ["--set", "data.train=lists/gap.jsonl", "--set", "data.images_outside_root=true"]
        self.assertIn("has no unsafe_caption", self.evaluate("safe.yaml", "--split", "train", *options, code=3))
        gap = self.evaluate("safe.yaml", "--split", "train", *options, "--set", "data.bad_rows=skip", "--set", "data.max_bad_fraction=0.5")
        self.assertEqual(gap["n"], ROWS - 1)
        self.assertEqual(gap["before"]["safeground"]["n"], inside["safeground"]["n"])  # row 0 has no unsafe picture either

    def test_a_split_whose_pictures_lie_elsewhere(self):
        w = self.world
        for row in self.rows:
            for side in ("safe", "unsafe"):
                if f"{side}_image" not in row:
                    continue
                target = w.root / "elsewhere" / (f"{row['id']}.png" if side == "safe" else f"bad/there/{row['id']}.png")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(w.root / row[f"{side}_image"], target)
        w.write_rows("lists2.jsonl", [{k: v for k, v in dict(r, safe_image=f"{r['id']}.png").items() if k != "unsafe_image"} for r in self.rows])
        there = "{file: lists2.jsonl, image_root: elsewhere, unsafe_image_template: '{image_root}/bad/{split}/{id}.png'}"
        found = self.evaluate("safe.yaml", "--split", "there", "--set", f"data.evaluation.there={there}")["before"]
        inside = self.evaluate("safe.yaml", "--split", "train")["before"]
        for part in ("retrieval", "safeground", "unsafe_top1"):
            self.assertEqual(found[part], inside[part], part)
        shown = w.run("config", "show", "safe.yaml", "--set", f"data.evaluation.there={there}").stdout
        (w.root / "shown.yaml").write_text(shown)
        self.assertEqual(w.run("config", "show", "shown.yaml").stdout, shown)

    # --- captions
    def test_captions_of_one_picture(self):
        """Five captions a picture, as rows and as a list: the same figures; the table tells queries and items."""
        w = self.world
        many = [dict(r, id=f"{r['id']}.{k}", safe_caption=f"{r['safe_caption']} {word}") for r in self.rows for k, word in enumerate("sun moon tree".split())]
        w.write_rows("many.jsonl", many)
        w.write_rows("lists.jsonl", [dict(r, safe_caption=[f"{r['safe_caption']} {word}" for word in "sun moon tree".split()]) for r in self.rows])
        figures = {}
        for name in ("many", "lists"):
            document = self.evaluate("safe.yaml", "--split", "train", "--set", f"data.train={name}.jsonl")
            figures[name] = document["before"]
            self.assertEqual(document["n"], 3 * ROWS)
        self.assertEqual(figures["many"], figures["lists"])
        whole = sum("unsafe_image" in r for r in self.rows)
        shown = figures["many"]
        counts = {task: (v["n"], v["gallery"]) for task, v in shown["retrieval"].items()}
        self.assertEqual(counts["text_to_image"], (3 * ROWS, ROWS))
        self.assertEqual(counts["image_to_text"], (ROWS, 3 * ROWS))
        self.assertEqual(counts["unsafe_text_to_image_union"], (3 * whole, 2 * whole))
        self.assertEqual(counts["unsafe_image_to_text_union"], (whole, 6 * whole))
        self.assertEqual((shown["unsafe_top1"]["n"], shown["unsafe_top1"]["n_image"]), (3 * whole, whole))
        self.assertEqual(sum(t["n_image"] for t in shown["by_tag"].values()), whole)
        table = w.run("evaluate", "safe.yaml", "--split", "train", "--set", "data.train=lists.jsonl").stdout
        self.assertIn(f"{3 * ROWS} queries in {ROWS} items\n  safe text → image", table)
        self.assertLessEqual(max(map(len, table.splitlines())), 100)
        # A list trains as its rows do.
        for name in ("many", "lists"):
            w.train(name, "--set", f"data.train={name}.jsonl", "--set", "train.max_steps=2", "--set", "data.validation=null")
        self.assertEqual([m["loss"] for m in w.metrics("many")], [m["loss"] for m in w.metrics("lists")])
        bad = [dict(self.rows[0], safe_caption=["red", 3]), dict(self.rows[1], safe_caption=[]), dict(self.rows[2], safe_caption=["red", " "]),
               dict(self.rows[3], safe_caption=["red", "blue"], unsafe_caption=["a", "b", "c"])]
        w.write_rows("bad.jsonl", bad)
        said = self.evaluate("safe.yaml", "--split", "train", "--set", "data.train=bad.jsonl", code=3)
        for words in ("expected text or a list of texts", "is an empty list", "contains an empty caption", "has 2 safe captions and 3 unsafe captions"):
            self.assertIn(words, said)

    # --- zero-shot sets
    def zero_shot(self, images, classes="name.tsv", code=0, extra=""):
        entry = f"evaluate.zero_shot=[{{name: s, images: {images}, classes: {classes}{extra}}}]"
        done = self.world.run("evaluate", "safe.yaml", "--split", "plain", "--set", "evaluate.bootstrap=0", "--set", entry, "--json", code=code)
        return (json.loads(done.stdout)["before"]["zero_shot"]["s"] if code == 0 else None), done.stderr

    def test_zero_shot_layouts(self):
        w = self.world
        names = "red blue dog".split()
        (w.root / "name.tsv").write_text("red\nblue\ndog\n")
        (w.root / "folder.tsv").write_text("name\tfolder\nred\tn3\nblue\tn1\ndog\tn2\n")
        (w.root / "swapped.tsv").write_text("n3\tred\nn1\tblue\nn2\tdog\n")
        pictures = [(f"images/safe{i}.png", i % 3) for i in range(8)]
        for folder, of in (("by_folder", "n3 n1 n2".split()), ("by_name", names), ("by_index", "012"), ("nested", [f"{n}/more" for n in names])):
            for file, label in pictures:
                target = w.root / folder / of[label] / pathlib.Path(file).name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(w.root / file, target)
        for beside in ("by_folder/Thumbs.db", "by_folder/n1/desktop.ini", "by_folder/n1/safe0.txt", "by_folder/n2/safe1.json", "by_folder/.DS_Store",
                       "by_folder/__MACOSX/n1/._safe1.png", "by_folder/n2/.hidden.png"):
            (w.root / beside).parent.mkdir(parents=True, exist_ok=True)
            (w.root / beside).write_bytes(b"no picture")
        w.write_rows("numbers.jsonl", [dict(file=f, label=l) for f, l in pictures])
        w.write_rows("floats.jsonl", [dict(image_path=f, category=float(l)) for f, l in pictures])
        (w.root / "list.json").write_text(json.dumps([dict(path=f, class_name=names[l]) for f, l in pictures]))
        (w.root / "pairs.tsv").write_text("filepath\tlabel\n" + "".join(f"{f}\t{names[l]}\n" for f, l in pictures))
        right, _ = self.zero_shot("by_name")
        self.assertEqual((right["n"], right["classes"], right["headline"]), (8, 3, "top1"))
        self.assertNotIn("top5", right)
        for images, classes in (("by_folder", "folder.tsv"), ("by_index", "name.tsv"), ("nested", "name.tsv"), ("numbers.jsonl", "name.tsv"),
                                ("floats.jsonl", "name.tsv"), ("list.json", "name.tsv"), ("pairs.tsv", "name.tsv")):
            found, said = self.zero_shot(images, classes)
            for figure, value in right.items():
                if isinstance(value, float):  # the sum may be taken in another order
                    self.assertAlmostEqual(found[figure], value, places=9, msg=f"{images} {figure}")
                else:
                    self.assertEqual(found[figure], value, f"{images} {figure}")
            if images == "by_folder":
                self.assertIn("skipped 7 files that are not images", said)
                self.assertIn("first line is read as a header, not as a class", said)
            self.assertEqual("positions" in said, images in ("by_index", "numbers.jsonl", "floats.jsonl"), said)
        _, said = self.zero_shot("by_folder", "swapped.tsv", code=3)
        self.assertIn("NAME, a tab, FOLDER", said)
        _, said = self.zero_shot("by_name", "name.tsv", extra=", headline: top7", code=2)
        self.assertIn("mean_per_class_recall", said)

    def test_zero_shot_lists_that_cannot_be_read(self):
        w = self.world
        (w.root / "name.tsv").write_text("red\nblue\ndog\n")
        w.write_rows("columns.jsonl", [dict(picture=f"images/safe{i}.png", kind="red") for i in range(60)])
        w.write_rows("gone.jsonl", [dict(file=f"images/gone{i}.png", label="red") for i in range(60)])
        w.write_rows("foreign.jsonl", [dict(file=f"images/safe{i % 8}.png", label=f"class {i}") for i in range(60)])
        w.write_rows("lists3.jsonl", [dict(file=f"images/safe{i % 8}.png", label=[0]) for i in range(60)])
        w.write_rows("one_based.jsonl", [dict(file=f"images/safe{i}.png", label=1 + i % 3) for i in range(6)])
        for name, words in (("columns", ["kind, picture", "expected: file | filepath"]), ("gone", ["60 of 60 images", "no such file"]),
                            ("foreign", ["60 labels are not in", '"class 0"']), ("lists3", ["neither text nor a whole number", "60 of 60 rows"]),
                            ("one_based", ["3 labels are not in", "positions from 0 to 2"])):
            _, said = self.zero_shot(f"{name}.jsonl", code=3)
            for word in words:
                self.assertIn(word, said)
            self.assertLess(len(said.splitlines()), 30, name)

    def test_other_files_beside_anchor_pictures(self):
        w = self.world
        for k in range(30):
            (w.root / "shard").mkdir(exist_ok=True)
            shutil.copy(w.root / f"images/safe{k % 4}.png", w.root / f"shard/{k:03d}.png")
            (w.root / f"shard/{k:03d}.txt").write_text("a caption")
            (w.root / f"shard/{k:03d}.json").write_text("{}")
        shutil.copy(w.root / "images/safe5.png", w.root / "shard/without_extension")
        anchors = ["--set", "objective.anchors.images=shard", "--set", "objective.weights.anchor_img=1"]
        said = w.run("prepare", "safe.yaml", *anchors).stderr
        self.assertIn("skipped 60 files that are not images (.json 30, .txt 30)", said)
        (w.root / "empty").mkdir()
        (w.root / "empty/note.txt").write_text("nothing")
        said = w.run("prepare", "safe.yaml", "--set", "objective.anchors.images=empty", "--set", "objective.weights.anchor_img=1", code=3).stderr
        self.assertIn("contains no images", said)

    # --- documents that a run keeps
    def test_a_second_data_set_stays_apart(self):
        w = self.world
        w.train("kept", "--set", "train.max_steps=2")
        own = self.evaluate("runs/kept")
        w.write_rows("second.jsonl", self.rows[1:9])
        before = (w.root / "runs/kept/evaluations/step_00000002.validation.json").read_text()
        done = w.run("evaluate", "runs/kept", "--set", "data.validation=second.jsonl", "--json")
        second = json.loads(done.stdout)
        self.assertIn("stored separately", done.stderr)
        self.evaluate("runs/kept", "--split", "other", "--set", "data.evaluation.other=second.jsonl")
        self.assertEqual((own["n"], second["n"]), (ROWS, 8))
        self.assertEqual((w.root / "runs/kept/evaluations/step_00000002.validation.json").read_text(), before)
        names = {f.name for f in (w.root / "runs/kept/evaluations").iterdir()}
        self.assertIn(f"step_00000002.validation.{second['content'][:8]}.json", names)
        said = w.run("report", "runs/kept", "--out", "kept.html").stderr
        self.assertIn("other data than the run's own", said)
        self.assertIn(f"Split validation, {ROWS} rows", (w.root / "kept.html").read_text())
        self.assertNotIn(", 8 rows", (w.root / "kept.html").read_text())
        w.run("export", "runs/kept", "--to", "hf", "--out", "kept-out")
        card = (w.root / "kept-out/README.md").read_text()
        self.assertIn(f"split validation, {ROWS} rows", card)
        self.assertNotIn(" 8 rows", card)
        # The same data under another path are the run's own.
        shutil.copy(w.root / "train.jsonl", w.root / "moved.jsonl")
        self.assertNotIn("stored separately", w.run("evaluate", "runs/kept", "--set", "data.validation=moved.jsonl").stderr)
        # Documents of the form of before carry neither content nor owner.
        for name in names | {"step_00000002.validation.json"}:
            file = w.root / "runs/kept/evaluations" / name
            if name.count(".") == 2:
                file.write_text(json.dumps({k: v for k, v in own.items() if k not in ("content", "own_data")}))
            elif name.count(".") > 2:
                file.unlink()
        self.assertNotIn("evaluating split", w.run("report", "runs/kept", "--out", "old.html").stderr)
        # Data that were changed in place are measured anew.
        self.evaluate("runs/kept")
        w.write_rows("train.jsonl", self.rows[:-1])
        try:
            self.assertIn("have changed", w.run("report", "runs/kept", "--out", "changed.html").stderr)
            self.assertIn(f"Split validation, {ROWS - 1} rows", (w.root / "changed.html").read_text())
        finally:
            w.write_rows("train.jsonl", self.rows)


if __name__ == "__main__":
    main()
