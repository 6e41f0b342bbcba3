"""Objectives, targets, evaluation and report through the real program on a tiny model; and that none of the ten defects
of Safe-CLIP's released code is here (each test named after its number).

    objectives.py --program build/release/saferclip [unittest arguments]
"""
import json
import pathlib
import re
import shutil

from world import ROWS, WorldCase, file_hash, main, png

SAFE_CLIP = ["--set", "objective={name: safe_clip}", "--set", "train.max_steps=12", "--set", "schedule.name=constant",
             "--set", "evaluate.every_epochs=1"]
NO_CONTRAST = ["pres_cross_txt", "redir_cross_txt", "pres_cross_img", "redir_cross_img"]


class Objectives(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        w.train("whole")
        w.train("published", *SAFE_CLIP)

    def evaluations(self, name):
        return [l for l in self.world.metrics(name) if l["kind"] == "evaluation"]

    def steps(self, name):
        return [l for l in self.world.metrics(name) if l["kind"] == "train"]

    def evaluate(self, *arguments):
        return json.loads(self.world.run("evaluate", *arguments, "--json").stdout)

    def test_01_the_reference_is_frozen(self):
        w = self.world
        before = file_hash(w.root / "base" / "model.safetensors")
        cached = file_hash(next((w.root / "cache").glob("reference-*")) / "data.safetensors")
        w.train("frozen", *SAFE_CLIP, "--set", "adapter.dropout=0.5")
        self.assertEqual(file_hash(w.root / "base" / "model.safetensors"), before)
        shutil.rmtree(w.root / "cache")
        document = self.evaluate("runs/frozen")
        self.assertEqual(file_hash(next((w.root / "cache").glob("reference-*")) / "data.safetensors"), cached)
        self.assertEqual(document["before"]["retrieval"], self.evaluate("safe.yaml")["before"]["retrieval"])
        for tower in ("text", "vision"):
            self.assertGreater(document["after"]["drift"][tower]["weight_l2"], 0)
            self.assertLess(document["after"]["drift"][tower]["embedding_cos"], 1 - 1e-6)
        first = self.steps("frozen")[0]["terms"]
        w.train("still", *SAFE_CLIP, "--set", "adapter.dropout=0")
        self.assertLess(self.steps("still")[0]["terms"]["pres_uni_txt"], 1e-5)  # step 0: tuned is the reference
        self.assertEqual(set(first), {"pres_uni_txt", "redir_uni_txt", "pres_uni_img", "redir_uni_img", "pres_cross_txt",
                                      "redir_cross_txt", "pres_cross_img", "redir_cross_img"})

    def test_02_accumulated_gradients_are_the_batch_s(self):
        plain = [f"--set=objective.weights.{n}=0" for n in NO_CONTRAST] + ["--set", "adapter.dropout=0"]
        self.world.train("one", *SAFE_CLIP, *plain, "--set", "train.micro_batch_size=null")
        self.world.train("four", *SAFE_CLIP, *plain, "--set", "train.micro_batch_size=1")
        for a, b in zip(self.steps("one"), self.steps("four")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=2e-5)
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=2e-4 * a["grad_norm"])

    def test_03_validation_loss_does_not_depend_on_the_batch(self):
        values = []
        for size in (1, 7, ROWS):
            self.world.train(f"blocks{size}", *SAFE_CLIP, "--set", f"evaluate.batch_size={size}")
            values.append([e["after"]["loss"]["total"] for e in self.evaluations(f"blocks{size}")])
        self.assertGreater(len(values[0]), 1)
        for other in values[1:]:
            for a, b in zip(values[0], other, strict=True):
                self.assertAlmostEqual(a, b, delta=1e-6)

    def test_04_checkpoints_are_retained_as_asked(self):
        self.world.train("few", *SAFE_CLIP, "--set", "checkpoint.every_steps=2", "--set", "checkpoint.keep_last=1")
        folders = list((self.world.root / "runs" / "few" / "checkpoints").glob("step_*"))
        self.assertLessEqual(len(folders), 2)  # the last and the best

    def test_05_resume_without_checkpoint_and_in_mid_epoch(self):
        w = self.world
        w.train("halves", *SAFE_CLIP, "--set", "train.max_steps=7", "--resume", "auto")
        w.train("halves", *SAFE_CLIP, "--set", "train.max_steps=12", "--resume", "auto")
        w.train("straight", *SAFE_CLIP)
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint("halves") / file), file_hash(w.checkpoint("straight") / file))

    def test_06_early_stop_leaves_its_last_checkpoint(self):
        w = self.world
        patient = [*SAFE_CLIP, "--set", "train.max_steps=60", "--set", "optimizer.lr=1e-12", "--set", "checkpoint.patience=2",
                   "--set", "adapter.dropout=0"]
        w.train("early", *patient)
        last = self.steps("early")[-1]["step"]
        self.assertLess(last, 60)
        self.assertEqual(w.checkpoint("early").name, f"step_{last:08d}")
        w.train("early", *patient, "--resume", "auto")
        self.assertEqual(self.steps("early")[-1]["step"], last)
        w.train("early", *patient, "--resume", "auto", "--set", "checkpoint.patience=null", "--set", "train.max_steps=30")
        self.assertEqual(self.steps("early")[-1]["step"], 30)

    # 07, no full argsort of all scores: Retrieval.TiesAcrossTiles, and tests/bench/evaluate.py for the memory.

    def test_08_the_log_is_a_file(self):
        lines = self.world.metrics("published")
        self.assertEqual([l["step"] for l in lines if l["kind"] == "train"], list(range(1, 13)))

    def test_09_public_schemas_are_read(self):
        w = self.world
        (w.root / "coco" / "train2017").mkdir(parents=True)
        rows = []
        for i in range(8):
            shutil.copy(w.root / "images" / f"safe{i}.png", w.root / "coco" / "train2017" / f"{i:012d}.jpg")
            rows.append(dict(incremental_id=i, coco_id=i, safe=f"red dog {i}", nsfw=f"bad dog {i}", tag="hate"))
        (w.root / "ViSU-Text_train.json").write_text(json.dumps(rows))
        (w.root / "internal.json").write_text(json.dumps({"info": {}, "data": {str(i): r for i, r in enumerate(rows)}}))
        caps = [dict(caption=f"a dog {i}", nsfw_caption=f"bad {i}", chosen_category="theft", image_coco_url=f"http://x/y/{i:012d}.jpg")
                for i in range(8)]
        (w.root / "caps.json").write_text(json.dumps(caps))
        for name, root in (("ViSU-Text_train.json", "coco"), ("internal.json", "coco"), ("caps.json", "coco/train2017")):
            out = w.run("prepare", "safe.yaml", *SAFE_CLIP, "--set", f"data.train={name}", "--set", f"data.image_root={root}",
                        "--set", "data.validation=''").stdout
            self.assertIn("prepared 8 training rows", out)

    def test_10_a_run_is_exported(self):
        self.world.run("export", "runs/published", "--to", "hf", "--out", "exported")
        self.assertTrue((self.world.root / "exported" / "model.safetensors").exists())

    def test_safe_clip_preset_and_what_is_written_over_it(self):
        show = lambda *extra: json.loads(self.world.run("config", "show", "safe.yaml", *extra, "--json").stdout)["objective"]
        preset = show("--set", "objective.name=safe_clip")
        self.assertEqual(preset["weights"]["redir_cross_img"], 0.5)
        self.assertEqual((preset["normalise"], preset["targets"]["mode"], preset["curriculum"]["enabled"]),
                         ("by_sum_and_count", "fixed", False))
        over = show("--set", "objective.name=safe_clip", "--set", "objective.normalise=none")
        self.assertEqual(over["normalise"], "none")
        message = self.world.run("config", "check", "safe.yaml", "--set", "objective={name: safe_clip, weights: {cross_img: 1}}",
                                 code=2).stderr
        self.assertIn("objective.weights.cross_img", message)

    def test_safe_clip_selects_by_its_own_sum(self):
        w = self.world
        six = ["text_to_image", "image_to_text", "safe_text_to_unsafe_image", "unsafe_image_to_safe_text",
               "unsafe_text_to_safe_image", "safe_image_to_unsafe_text"]
        w.train("chosen", *SAFE_CLIP, "--set", "checkpoint.best_metric=safe_clip", "--set", "checkpoint.keep_last=9")
        sums = {e["step"]: sum(e["after"]["retrieval"][task]["r@1"] for task in six) for e in self.evaluations("chosen")}
        state = json.loads((w.checkpoint("chosen") / "state.json").read_text())
        self.assertAlmostEqual(state["best_value"], max(sums.values()), places=9)
        self.assertEqual(state["best_step"], min(step for step, value in sums.items() if value == max(sums.values())))
        shown = w.run("config", "show", pathlib.Path(__file__).resolve().parents[2] / "configs" / "safe-clip-published.yaml", "--json")
        self.assertEqual(json.loads(shown.stdout)["checkpoint"]["best_metric"], "safe_clip")
        w.train("unknown", *SAFE_CLIP, "--set", "checkpoint.best_metric=safe_clips", code=2)

    def test_cropped_pictures(self):
        w = self.world
        plain = ["--set", "schedule.name=constant", "--set", "train.max_steps=12"]
        crop = [*plain, "--set", "data.augment=crop"]
        base = file_hash(w.root / "base" / "model.safetensors")
        self.assertIn("the frozen reference stays in memory", w.train("cropped", *crop).stderr)
        self.assertEqual(file_hash(w.root / "base" / "model.safetensors"), base)
        first = self.steps("cropped")[0]["terms"]
        for term in ("pres_uni_img", "pres_uni_txt"):  # step 0: the reference sees what the tuned model sees
            self.assertAlmostEqual(first[term], 0, delta=1e-5)
        w.train("uncropped", *plain)
        self.assertNotAlmostEqual(first["uni_img"], self.steps("uncropped")[0]["terms"]["uni_img"], places=6)
        w.train("halves-cropped", *crop, "--set", "train.max_steps=7", "--resume", "auto")
        changed = w.train("halves-cropped", *plain, "--resume", "auto", code=2).stderr
        self.assertIn('data.augment: "crop" in the run, "none" now', changed)
        w.train("halves-cropped", *crop, "--resume", "auto")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint("halves-cropped") / file), file_hash(w.checkpoint("cropped") / file))
        message = w.train("flipped", "--set", "data.augment=flip", code=2).stderr
        self.assertIn("data.augment", message)
        self.assertIn("none, crop", message)

    def test_cropped_micro_batches_and_validation(self):
        w = self.world
        still = ["--set", "data.augment=crop", "--set", "adapter.dropout=0", "--set", "optimizer.lr=1e-12", "--set",
                 "schedule.name=constant", "--set", "train.max_steps=5", "--set", "evaluate.every_epochs=1",
                 *[f"--set=objective.weights.pres_cross_{side}=0" for side in ("img", "txt")]]
        for micro in ("null", "2", "1"):
            w.train(f"crops-{micro}", *still, "--set", f"train.micro_batch_size={micro}")
        for other in ("crops-2", "crops-1"):
            for a, b in zip(self.steps("crops-null"), self.steps(other), strict=True):
                for term in ("cross_img", "cross_txt", "uni_img", "pres_uni_img"):
                    self.assertAlmostEqual(a["terms"][term], b["terms"][term], delta=1e-6)
        # Validation sees whole pictures: what did not move is where the cached reference of those is.
        loss = self.evaluations("crops-null")[-1]["after"]["loss"]["terms"]
        self.assertLess(loss["pres_uni_img"], 1e-5)
        w.train("cropped-safe-clip", *SAFE_CLIP, "--set", "data.augment=crop", "--set", "adapter.dropout=0")
        self.assertLess(self.steps("cropped-safe-clip")[0]["terms"]["pres_uni_img"], 1e-5)
        said = w.run("train", "base.yaml", "--set", "run.name=cropped-base", "--set", "data.augment=crop").stderr
        self.assertNotIn("stays in memory", said)  # objective clip compares with no reference

    def test_a_clip_without_bias_is_refused_before_anything_is_prepared(self):
        for change, sentence in (("objective={name: siglip}", "no logit bias to train"),
                                 ("objective.pres_cross.form=sigmoid", "objective.logit_bias: auto")):
            message = self.world.run("prepare", "safe.yaml", "--set", change, "--set", "data.cache_dir=none", code=2).stderr
            self.assertIn(sentence, message)
            self.assertFalse((self.world.root / "none").exists())
        self.world.train("biased", "--set", "objective.pres_cross.form=sigmoid", "--set", "objective.logit_bias=-10", "--set",
                         "train.max_steps=2")

    def test_our_terms_are_trained(self):
        over = "objective={weights: {mutual_txt: 1, mutual_img: 1, anchor_txt: 1, anchor_img: 1, pres_sim_txt: 1, pres_sim_img: 1}, " \
               "mutual_negatives: batch, anchors: {prompts: prompts.txt, images: images, batch_size: 4}}"
        for form in ("distribution", "neighbours"):
            self.world.train(f"ours-{form}", "--set", over, "--set", f"objective.pres_sim.form={form}", "--set", "train.max_steps=4",
                             "--set", "train.micro_batch_size=null")
            terms = self.steps(f"ours-{form}")[-1]["terms"]
            self.assertEqual(len(terms), 14)
            self.assertTrue(all(value > 0 for value in terms.values()), terms)

    def test_prepare_says_which_classes_are_anchored(self):
        message = self.world.run("prepare", "safe.yaml").stderr
        self.assertIn("zero-shot set z: 2 of 2 class names appear in the anchor prompts (red, blue)", message)

    def test_extra_safe_captions(self):
        w = self.world
        captions = [json.loads(l)["unsafe_caption"] for l in (w.root / "train.jsonl").read_text().splitlines()]
        (w.root / "extra.txt").write_text(captions[0] + "\na quiet meadow\n")  # the first is what row 0 itself says
        extra = ["--set", "objective.targets.extra_captions=extra.txt"]
        document = json.loads(w.run("targets", "safe.yaml", *extra, "--json", "--csv", "extra.csv").stdout)
        row = document["targets"][0]
        self.assertEqual((row["target_id"], row["change"]), ("extra:1", "extra"))
        self.assertAlmostEqual(row["cosine"], 1, delta=1e-5)
        self.assertEqual(sum(document["change"].values()), ROWS)
        self.assertEqual(len((w.root / "extra.csv").read_text().splitlines()), ROWS + 1)
        alone = json.loads(w.run("targets", "safe.yaml", *extra, "--set", "objective.targets.pool=file", "--json").stdout)
        self.assertEqual(alone["change"], {"extra": ROWS})
        kept = json.loads(w.run("targets", "safe.yaml", *extra, "--set", "objective.targets.pool=file",
                                "--set", "objective.targets.min_similarity=0.9999", "--json").stdout)
        self.assertEqual(kept["targets"][0]["change"], "extra")
        self.assertGreater(kept["change"]["same"], 0)
        w.run("config", "check", "safe.yaml", "--set", "objective.targets.pool=file", code=2)
        for image in ("nearest", "own"):
            w.train(f"extra-{image}", *extra, "--set", f"objective.targets.extra_image={image}", "--set", "train.max_steps=3")
        self.assertNotEqual(self.steps("extra-nearest")[-1]["loss"], self.steps("extra-own")[-1]["loss"])
        self.assertNotEqual(self.steps("extra-own")[0]["loss"], self.steps("whole")[0]["loss"])
        w.train("extra-own", "--set", "train.max_steps=6", "--resume", "auto", code=2)  # other targets: no resume

    def test_strengths_and_paired_comparison(self):
        document = self.evaluate("runs/whole", "--strengths", "0,0.5,1", "--against", "runs/published")
        points = {p["strength"]: p["after"] for p in document["strengths"]}
        self.assertEqual(points[0]["retrieval"], document["before"]["retrieval"])
        self.assertEqual(points[1]["retrieval"], document["after"]["retrieval"])
        for path, (low, high) in document["after"]["intervals"].items():
            value = document["after"]
            for key in path.split("."):
                value = value[key]
            self.assertLessEqual(low - 1e-9, value, path)
            self.assertLessEqual(value, high + 1e-9, path)
        difference = document["against"]["difference"]["unsafe_top1.text"]
        mine, theirs = document["after"]["unsafe_top1"]["text"], document["against"]["after"]["unsafe_top1"]["text"]
        self.assertAlmostEqual(difference["difference"], mine - theirs, places=5)
        self.assertLessEqual(difference["low"], difference["high"])
        self.assertEqual(self.evaluate("runs/whole", "--against", "runs/whole")["against"]["difference"]["safeground.gs"]["p"], 1)
        table = self.world.run("evaluate", "runs/whole", "--strengths", "0,1", "--against", "runs/published").stdout
        self.assertLessEqual(max(map(len, table.splitlines())), 100)
        self.world.run("evaluate", "safe.yaml", "--strengths", "0,1", code=2)
        self.world.run("evaluate", "runs/whole", "--strengths", "0,7", code=2)

    def test_real_images(self):
        w = self.world
        for kind in ("safe", "unsafe"):
            (w.root / "real" / kind).mkdir(parents=True)
            for i in range(4):
                shutil.copy(w.root / "images" / f"{kind}{i + 1}.png", w.root / "real" / kind / f"{i}.png")
        (w.root / "queries.txt").write_text("bad red\nbad dog\n")
        pictures = "evaluate.real_images=[{name: own, safe: real/safe, unsafe: real/unsafe}, " \
                   "{name: listed, safe: real/safe, unsafe: real/unsafe, captions: queries.txt}]"
        after = self.evaluate("runs/whole", "--set", pictures)["after"]["real_images"]
        self.assertEqual((after["own"]["text"]["n"], after["own"]["image"]["n"], after["listed"]["text"]["n"]), (ROWS, 4, 2))
        self.assertEqual(after["own"]["gallery"]["safe_images"], 4)
        self.world.run("evaluate", "runs/whole", "--set", pictures.replace("real/unsafe", "nowhere"), code=3)

    def test_published_zero_shot_layouts(self):
        """Each configs/zero_shot file reads a folder laid out as its comment says; a wrong class count is refused."""
        w, source = self.world, pathlib.Path(__file__).resolve().parents[2] / "configs" / "zero_shot"
        files = sorted(source.glob("*.yaml"))
        self.assertEqual(len(files), 17)
        for file in files:
            text = file.read_text()
            root = w.root / "sets" / file.stem
            count = make_set(root, text)
            entry = f"{{extends: {file}, images: {root}, class_count: {count}}}"
            shown = self.evaluate("runs/whole", "--set", f"evaluate.zero_shot=[{entry}]", "--set", "evaluate.bootstrap=0")
            result = next(iter(shown["after"]["zero_shot"].values()))
            self.assertEqual((result["classes"], result["n"]), (count, PICTURES.get(file.stem, count)), file.stem)
            self.assertEqual(result["templates"], [re.search(r'templates: \["(.*)"\]', text)[1]])
            wrong = f"{{extends: {file}, images: {root}}}"
            message = w.run("evaluate", "runs/whole", "--set", f"evaluate.zero_shot=[{wrong}]", code=3).stderr
            self.assertIn("classes, expected", message)

    def test_two_classes_of_one_name(self):
        w = self.world
        for folder in ("n1", "n2"):
            (w.root / "twice" / "val" / folder).mkdir(parents=True)
            shutil.copy(w.root / "images" / "safe0.png", w.root / "twice" / "val" / folder / "a.png")
        (w.root / "twice" / "classnames.txt").write_text("n1 missile\nn2 missile\n")
        entry = "{name: t, images: twice, class_form: folder_name, class_file: classnames.txt, folder: val}"
        result = w.run("evaluate", "runs/whole", "--set", f"evaluate.zero_shot=[{entry}]", "--json")
        self.assertEqual(json.loads(result.stdout)["after"]["zero_shot"]["t"]["top1"], 50)  # ties go to the first
        self.assertIn("missile", result.stderr)

    def test_report(self):
        w = self.world
        self.evaluate("runs/whole", "--strengths", "0,0.5,1")
        w.run("report", "runs/whole", "--out", "r.html")
        page = (w.root / "r.html").read_text()
        self.assertLess(len(page), 10e6)
        self.assertNotRegex(page, r"(src|href)=\"(?!data:|#)")
        self.assertNotIn("http:", page)
        for part in ("Before and after", "Safety and preservation", "By tag", "Unsafe texts, and the images they find", "Training", "Curriculum", "Drift",
                     "redirected to", "pres_cross_img"):
            self.assertIn(part, page)
        self.assertEqual(page.count('type="checkbox"') - 1, page.count('<figure class="unsafe'))  # and one for all
        self.check_galleries(page)
        w.run("report", "runs/whole", "--split", "train", "--out", "nowhere/r.html", code=2)
        w.run("report", "runs/gone", code=4)
        w.run("report", "runs/published")
        self.assertTrue((w.root / "runs" / "published" / "report.html").exists())

    def check_galleries(self, page):
        """Marks against the manifest; no query of a section twice."""
        rows = [json.loads(line) for line in (self.world.root / "train.jsonl").read_text().splitlines()]
        partners = {row["unsafe_caption"]: set() for row in rows if "unsafe_image" in row}
        for row in rows:
            if row["unsafe_caption"] in partners:
                partners[row["unsafe_caption"]].add(row["safe_caption"])
        marked = 0
        for name in ("gallery", "images", "worst"):
            found = re.search(rf'<section id="{name}".*?</section>', page, re.S)
            self.assertTrue(found or name == "worst", name)  # nothing may be left to show there
            section = found[0] if found else ""
            headings = re.findall(r"<h3>(.*?)</h3>", section)
            self.assertEqual(len(headings), len(set(headings)), name)
            for query in section.split("<article")[1:]:
                caption = re.search(r"<h3>(?:“|Image: )(.*?)”?</h3>", query)[1]
                for kind, found in re.findall(r'safe partner</b> <span class="kind">(.*?)</span> (.*?)</', query):
                    self.assertEqual(kind, "safe")
                    self.assertIn(found, partners[caption])
                    marked += 1
                for found in re.findall(r'names it</b> <span class="kind">unsafe</span> (.*?)</', query):
                    self.assertEqual(found, caption)
                    marked += 1
        self.assertGreater(marked, 4)


def make_set(root, text):
    """A tiny copy of a published set, as its configuration describes it; the number of classes."""
    def value(key, default=""):
        found = re.search(rf"^{key}: \"?([^\"\n]*)\"?$", text, re.M)
        return found[1] if found else default
    picture = png("zero")

    def put(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    folder = root / value("folder")
    form, name = value("class_form"), value("class_file")
    if form in ("folder_name", "folders", "json"):
        folders = ["0", "1"] if "folder_is_index" in text else ["n01", "n02"]
        if "rename:" in text:
            folders = ["AnnualCrop", "Forest"]
        for f in folders + (["BACKGROUND_Google"] if "BACKGROUND_Google" in text else []):
            put(folder / f / "a.jpg")
        if "lists:" in text:
            for i in range(1, 11):
                (root / "labels").mkdir(exist_ok=True)
                (root / "labels" / f"test{i}.txt").write_text("n01/a.jpg\n")
        if form == "folder_name":
            names = "n01 tench\nn02 goldfish\n" + ("n03 absent\n" if "only_present" in text else "")
            (root / name).write_text(names)
        if form == "json":
            (root / name).write_text(json.dumps({"n01": "fire lily", "n02": "rose"}))
    elif form == "path":
        put(root / "a" / "abbey" / "x.jpg")
        put(root / "a" / "apartment_building" / "outdoor" / "x.jpg")
        (root / name).write_text("/a/abbey\n/a/apartment_building/outdoor\n")
    elif form == "lists":
        put(root / "images" / "Abyssinian_201.jpg")
        put(root / "images" / "american_bulldog_3.jpg")
        (root / "annotations").mkdir()
        (root / "annotations" / "test.txt").write_text("Abyssinian_201 1 1 1\namerican_bulldog_3 2 2 1\n")
    elif form == "number_name":
        put(folder / "ApplyEyeMakeup" / "v_1.jpg")
        (root / name).write_text("1 ApplyEyeMakeup\n2 Archery\n")
        for i in (1, 2, 3):
            (root / f"testlist0{i}.txt").write_text("ApplyEyeMakeup/v_1.avi\n")
    elif "column" in text:
        put(folder / "1514522.jpg")
        (root / name).write_text("707-320\n727-200\n")
        (root / "data" / "images_variant_test.txt").write_text("1514522 707-320\n")
    else:
        put(folder / "apple_pie" / "7.jpg")
        (root / "meta").mkdir()
        (root / name).write_text("apple_pie\nbaklava\n")
        (root / "meta" / "test.txt").write_text("apple_pie/7\n")
    return 2


PICTURES = {"dtd": 10, "ucf101": 3, "fgvc_aircraft": 1, "food101": 1}

if __name__ == "__main__":
    main()
