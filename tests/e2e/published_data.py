"""ViSU-Text and NSFWCaps in the form they are published in, under the shipped configuration.

    published_data.py --program build/release/saferclip [unittest arguments]
"""
import csv
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import WorldCase, main, png, read_safetensors, sets  # noqa: E402

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "configs" / "saferclip-vit-l14.yaml"
WORDS = "red blue dog cat car tree sun moon".split()
TAGS = ["hate", "Bodily Bluids", None, "abuse"]  # as they are spelled there, and the gaps that are likely
SPLITS = dict(train=24, validation=9, test=12)


class PublishedData(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.visu = {split: cls.write_visu(split, 1000 * i, count) for i, (split, count) in enumerate(SPLITS.items())}
        cls.caps = cls.write_caps()
        (cls.root / "my.yaml").write_text(
            f"extends: {SHIPPED}\nmodel: {{weights: base}}\ndata:\n  train: visu/ViSU-Text_train.json\n  validation: visu/ViSU-Text_validation.json\n"
            "  evaluation:\n    test: visu/ViSU-Text_test.json\n    nsfwcaps: {file: nsfwcaps/nsfwcaps.jsonl, image_root: nsfwcaps/images,\n"
            "      unsafe_image_template: '{image_root}/unsafe/{id}.jpg'}\n  image_root: coco\n  max_bad_fraction: 0.05\n"
            "train: {max_steps: 2, precision: fp32}\nrun: {name: published}\n")

    @classmethod
    def write_visu(cls, split, start, count):
        """A JSON list; three rows share a COCO image, which is in one of COCO's folders; the unsafe images are the user's."""
        rows = []
        for i in range(count):
            coco, number = 900 + start + i // 3, start + i
            folder = cls.root / "coco" / ("val2017" if coco % 2 else "train2017")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{coco:012d}.jpg").write_bytes(png(f"coco {coco}"))
            rows.append(dict(incremental_id=number, safe=f"a {WORDS[i % 8]} {number}", nsfw=f"bad {WORDS[i % 8]} {number}", coco_id=coco,
                             tag=TAGS[i % 4]))
            if i % 3:
                own = cls.root / "coco" / "unsafe" / split / str(number)
                own.mkdir(parents=True)
                (own / "0.jpg").write_bytes(png(f"unsafe {number}"))
        if split == "train":
            rows[5]["nsfw"] = ""
        (cls.root / "visu").mkdir(exist_ok=True)
        (cls.root / f"visu/ViSU-Text_{split}.json").write_text(json.dumps(rows))
        return rows

    @classmethod
    def write_caps(cls):
        """Images by address, no ids; a caption that takes two lines of a table."""
        (cls.root / "nsfwcaps/images/unsafe").mkdir(parents=True)
        rows = []
        for i, word in enumerate(WORDS):
            (cls.root / f"nsfwcaps/images/{i:016x}.jpg").write_bytes(png(f"caps {i}"))
            (cls.root / f"nsfwcaps/images/unsafe/{i + 1}.jpg").write_bytes(png(f"unsafe caps {i}"))
            rows.append(dict(image_coco_url=f"https://s3.amazonaws.com/nocaps/val/{i:016x}.jpg", caption=f"A {word}, on a table.",
                             nsfw_caption=f'A {word}\nby a "gun".' if i == 2 else f"A {word} by a gun.", chosen_category="illegal activity"))
        cls.world.write_rows("nsfwcaps/nsfwcaps.jsonl", rows)
        (cls.root / "nsfwcaps/nsfwcaps.json").write_text(json.dumps(rows, indent=2))
        with open(cls.root / "nsfwcaps/nsfwcaps.csv", "w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        return rows

    def run_my(self, *arguments, code=0):
        return self.world.run(*arguments, code=code)

    def evaluated(self, split, *settings):
        return json.loads(self.run_my("evaluate", "my.yaml", "--split", split, *sets(*settings), "--json").stdout)

    def reference(self, split, *settings):
        """The embeddings of a split, in a cache of its own."""
        shutil.rmtree(self.root / "fresh", ignore_errors=True)
        self.evaluated(split, "data.cache_dir=fresh", *settings)
        return read_safetensors(next((self.root / "fresh").glob("reference-*/data.safetensors")))

    def test_all_commands_with_the_images(self):
        checked = self.run_my("config", "check", "my.yaml")
        self.assertIn("my.yaml: ok", checked.stdout)
        said = self.run_my("prepare", "my.yaml").stderr
        for words in (r"1 of 24 rows are bad and were skipped", r"\(id 5\): unsafe_caption is empty", "23 rows that share 8 safe images, 8 without an unsafe",
                      'tag "Bodily Bluids" read as "bodily fluids" in 6 rows', 'tag "abuse" read as "child abuse" in 6 rows',
                      "validation: 9 rows that share 3 safe images, 3 without an unsafe image"):
            self.assertRegex(said, words)
        lines = self.run_my("targets", "my.yaml", "--csv", "targets.csv").stdout
        self.assertIn("23 rows: ", lines)
        with open(self.root / "targets.csv") as file:
            ids = [row["id"] for row in csv.DictReader(file)]
        self.assertEqual(ids, [str(row["incremental_id"]) for row in self.visu["train"] if row["nsfw"]])
        self.run_my("train", "my.yaml")
        figures = json.loads(self.run_my("evaluate", "runs/published", "--split", "test", "--json").stdout)["after"]
        retrieval = figures["retrieval"]
        # Captions of one image share it; unsafe queries are the rows that have an image.
        self.assertEqual([retrieval["text_to_image"][key] for key in ("n", "gallery")], [12, 4])
        self.assertEqual(retrieval["unsafe_text_to_image_union"]["n"], 8)
        self.assertEqual(set(figures["by_tag"]), {"hate", "bodily fluids", "child abuse"})

    def test_captions_and_coco_alone(self):
        template = 'data.unsafe_image_template="{image_root}/none/{id}.jpg"'
        self.assertIn("unsafe_image_template fits no file in 24 rows", self.run_my("config", "check", "my.yaml", *sets(template)).stderr)
        said = self.run_my("prepare", "my.yaml", *sets(template, "data.cache_dir=alone")).stderr
        self.assertIn("23 rows that share 8 safe images, 23 without an unsafe image", said)
        self.assertRegex(said, "none of the 23 training rows has an unsafe image: .* this is not SaFeR-CLIP")
        self.assertIn("23 rows: ", self.run_my("targets", "my.yaml", *sets(template, "data.cache_dir=alone")).stdout)
        figures = self.evaluated("test", template)["before"]["retrieval"]
        self.assertEqual(figures["text_to_image"]["n"], 12)
        self.assertFalse([task for task in ("unsafe_text_to_image_union", "unsafe_image_to_text_union") if figures.get(task, {}).get("n")])

    def test_captions_without_coco_are_one_refusal(self):
        (self.root / "empty").mkdir(exist_ok=True)
        for command in ("prepare", "targets"):
            said = self.run_my(command, "my.yaml", *sets("data.image_root=empty"), code=3).stderr
            self.assertRegex(said, r"none of 24 safe images is there; their paths start from .*/empty \(data.image_root\)")
            self.assertIn("24 of 24 rows are bad", said)

    def test_the_folder_that_was_downloaded(self):
        said = self.run_my("config", "check", "my.yaml", *sets("data.train=visu"), code=2).stderr
        self.assertIn("name one of ViSU-Text_test.json, ViSU-Text_train.json, ViSU-Text_validation.json", said)

    def test_forms_of_nsfwcaps(self):
        lines = self.reference("nsfwcaps")
        for name in ("nsfwcaps.json", "nsfwcaps.csv"):
            # Without ids the template takes the row's number, so the form must not matter.
            self.assertEqual(self.reference("nsfwcaps", f"data.evaluation.nsfwcaps.file=nsfwcaps/{name}"), lines, name)
        figures = self.evaluated("nsfwcaps")["before"]
        self.assertEqual(figures["retrieval"]["unsafe_text_to_image_union"]["n"], 8)
        self.assertEqual(list(figures["by_tag"]), ["illegal activity"])

    def test_forms_of_visu(self):
        template = 'data.unsafe_image_template="{image_root}/unsafe/test/{id}/0.jpg"'
        listed = self.reference("test")
        rows = self.visu["test"]
        self.world.write_rows("lines.jsonl", rows)
        (self.root / "keyed.json").write_text(json.dumps({str(i): row for i, row in enumerate(rows)}))
        with open(self.root / "table.csv", "w", newline="") as file:  # as pandas writes an integer column that has gaps elsewhere
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(row | dict(coco_id=float(row["coco_id"]), incremental_id=float(row["incremental_id"])) for row in rows)
        for name in ("lines.jsonl", "keyed.json", "table.csv"):
            self.assertEqual(self.reference("test", f"data.evaluation.test={name}", template), listed, name)
        said = self.run_my("config", "check", "my.yaml", *sets("data.unsafe_image_template={image_root}/{id}.jpg"), code=2).stderr
        self.assertIn("found keys and values; text that begins with { or [ stands in quotes", said)


if __name__ == "__main__":
    main()
