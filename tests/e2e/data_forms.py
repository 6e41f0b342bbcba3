"""Rows as other programs leave them: each form makes the caches of the plain manifest.

    data_forms.py --program build/release/saferclip [unittest arguments]
"""
import csv
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import WorldCase, main, sets  # noqa: E402


class DataForms(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.rows = [json.loads(line) for line in (cls.root / "train.jsonl").read_text().splitlines()]
        cls.prepare("plain", "train.jsonl")

    @classmethod
    def prepare(cls, cache, train, *settings, code=0):
        arguments = sets(f"data.train={train}", "data.validation=", f"data.cache_dir={cache}", *settings)
        return cls.world.run("prepare", "safe.yaml", *arguments, code=code).stderr

    def assert_like_plain(self, cache):
        self.assert_same_artifacts(cache, "plain", least=5)
        self.assert_same_artifacts("plain", cache, least=5)


class ImageFolder(DataForms):
    """Hugging Face's imagefolder: metadata.jsonl or metadata.csv beside the images."""

    def folder_rows(self):
        name = lambda path: path.removeprefix("images/")
        for row in self.rows:
            new = dict(file_name=name(row["safe_image"]), text=row["safe_caption"], id=row["id"], unsafe_caption=row["unsafe_caption"], tag=row["tag"])
            yield new | (dict(unsafe_image=name(row["unsafe_image"])) if "unsafe_image" in row else {})

    def tearDown(self):
        for path in (self.root / "images").glob("metadata.*"):
            path.unlink()

    def test_lines_and_a_table_are_read_as_the_manifest(self):
        lines = list(self.folder_rows())
        self.world.write_rows("images/metadata.jsonl", lines)
        # The folder is the root, whatever the configuration says of manifests.
        said = self.prepare("lines", "images", "data.image_root=tokenizer")
        self.assertIn("24 rows", said)
        self.assert_like_plain("lines")
        self.assertIn("has both metadata.jsonl and metadata.csv", self.broken_by_a_second_file())
        (self.root / "images/metadata.jsonl").unlink()
        with open(self.root / "images/metadata.csv", "w", newline="") as file:
            table = csv.DictWriter(file, ["file_name", "text", "id", "unsafe_caption", "unsafe_image", "tag"])
            table.writeheader()
            table.writerows(lines)
        self.prepare("table", "images")
        self.assert_like_plain("table")
        self.world.train("folder", *sets("data.train=images", "data.validation=images", "train.max_steps=2"))
        self.world.run("evaluate", "runs/folder", "--split", "validation")

    def broken_by_a_second_file(self):
        (self.root / "images/metadata.csv").write_text("file_name,text\n")
        return self.prepare("both", "images", code=3)

    def test_bad_rows_are_listed_as_those_of_a_manifest(self):
        lines = list(self.folder_rows())
        lines[3]["file_name"] = "gone.png"
        lines[5]["file_name"] = "../train.jsonl"
        self.world.write_rows("images/metadata.jsonl", lines)
        said = self.prepare("bad", "images", code=3)
        self.assertRegex(said, r"images/metadata.jsonl:4 \(id 3\): no such file: .*images/gone.png")
        self.assertRegex(said, r"images/metadata.jsonl:6 \(id 5\): .*train.jsonl is not inside .*images")
        report = json.loads((self.root / "bad/bad_rows.train.json").read_text())
        self.assertEqual([report["bad_rows"], report["manifest"]], [2, str(self.root / "images/metadata.jsonl")])
        self.assertIn("22 rows", self.prepare("bad", "images", "data.bad_rows=skip", "data.max_bad_fraction=0.1"))

    def test_a_folder_without_metadata_is_refused(self):
        self.assertRegex(self.prepare("none", "images", code=3), r"images: is a folder without metadata.jsonl or metadata.csv")
        self.assertRegex(self.world.run("config", "check", "safe.yaml", *sets("data.train=images"), code=2).stderr,
                         r"data.train: .*images: is a folder without metadata")


if __name__ == "__main__":
    main()
