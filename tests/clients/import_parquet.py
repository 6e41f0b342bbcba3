"""scripts/import_parquet on tables that pyarrow wrote: their manifests make the caches of the plain one.

    .venv/bin/python tests/clients/import_parquet.py --program build/release/saferclip [unittest arguments]
"""
import json
import pathlib
import shlex
import shutil
import subprocess
import sys

import pyarrow
import pyarrow.parquet

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
from world import WorldCase, main, read_safetensors, sets  # noqa: E402

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])  # Hugging Face's Image


class ImportParquet(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.rows = [json.loads(line) for line in (cls.root / "train.jsonl").read_text().splitlines()]
        cls.prepare("plain", "train.jsonl")

    @classmethod
    def prepare(cls, cache, train, *settings):
        arguments = sets(f"data.train={train}", "data.validation=", f"data.cache_dir={cache}", *settings)
        return cls.world.run("prepare", "safe.yaml", *arguments).stderr

    def convert(self, *arguments, code=0):
        done = subprocess.run([sys.executable, SOURCE / "scripts/import_parquet", *arguments], cwd=self.root, text=True, capture_output=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def assert_like_plain(self, cache):
        """Equal pixels, embeddings and targets; the paths of the images are others."""
        for kind in ("images", "tokens", "reference", "targets"):
            (one,), (other,) = ((self.root / c).glob(f"{kind}-*/data.safetensors") for c in ("plain", cache))
            self.assertEqual(read_safetensors(one), read_safetensors(other), kind)

    def write(self, name, columns):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=5)

    def texts(self, rows, *names):
        return {name: pyarrow.array([row.get(name) for row in rows], pyarrow.string()) for name in names}

    def embedded(self, rows, field):
        values = [row.get(field) and dict(bytes=(self.root / row[field]).read_bytes(), path="x.png") for row in rows]
        return pyarrow.array(values, IMAGE)

    def test_images_inside_the_table(self):
        for shard, rows in enumerate((self.rows[:10], self.rows[10:])):
            self.write(f"hub/train-0000{shard}.parquet", dict(
                image=self.embedded(rows, "safe_image"), text=pyarrow.array([r["safe_caption"] for r in rows]).dictionary_encode(),
                unsafe_image=self.embedded(rows, "unsafe_image"), id=pyarrow.array([float(r["id"]) for r in rows]),
                **self.texts(rows, "unsafe_caption", "tag"), unread=pyarrow.array([1] * len(rows))))
        said = self.convert("hub", "--out", "hub.jsonl")
        self.assertRegex(said, r"hub.jsonl: 24 rows; 43 images written to hub-images\nnext: data: \{train: hub.jsonl\}")
        self.prepare("hub-cache", "hub.jsonl")
        self.assert_like_plain("hub-cache")
        first = json.loads((self.root / "hub.jsonl").read_text().splitlines()[1])
        self.assertEqual([first["id"], first["tag"], first["safe_caption"]], [1, self.rows[1]["tag"], self.rows[1]["safe_caption"]])
        before = (self.root / "hub.jsonl").read_bytes()
        self.assertIn("exists; add --overwrite", self.convert("hub", "--out", "hub.jsonl", code=2))
        self.assertIn("; 0 images written", self.convert("hub", "--out", "hub.jsonl", "--overwrite"))
        self.assertIn("image_root: other}", self.convert("hub", "--out", "hub2.jsonl", "--images", "other/pictures"))
        self.assertEqual(before, (self.root / "hub.jsonl").read_bytes())

    def test_paths_and_lists_of_captions(self):
        rows = self.rows
        columns = self.texts(rows, "id", "safe_image", "unsafe_image", "unsafe_caption", "tag")
        self.write("paths.parquet", columns | dict(TEXT=pyarrow.array([[r["safe_caption"]] for r in rows])))
        (self.root / "lists").mkdir()
        said = self.convert("paths.parquet", "--out", "lists/rows.jsonl", "--column", "safe_caption=TEXT")
        self.assertIn("image_root: .}", said)
        self.prepare("paths-cache", "lists/rows.jsonl", "data.image_root=.")
        self.assert_like_plain("paths-cache")

    def test_the_command_that_an_image_folder_of_parquet_is_answered_with(self):
        shutil.copytree(self.root / "images", self.root / "folder/b c/images")
        for name, rows, up in (("a", self.rows[:9], "../b c/"), ("b c", self.rows[9:], "")):
            paths = {column: pyarrow.array([row.get(field) and up + row[field] for row in rows], pyarrow.string())
                     for column, field in (("file_name", "safe_image"), ("unsafe_image_file_name", "unsafe_image"))}
            self.write(f"folder/{name}/metadata.parquet", paths | self.texts(rows, "safe_caption", "unsafe_caption", "id", "tag"))
        said = self.world.run("prepare", "safe.yaml", *sets("data.train=folder"), code=3).stderr
        program, *arguments = shlex.split(said.split("`")[1])
        self.assertEqual(program, "scripts/import_parquet")
        self.convert(*arguments)
        self.prepare("folder-cache", "folder/rows.jsonl")
        self.assert_like_plain("folder-cache")

    def test_files_that_img2dataset_fetched(self):
        folder = self.root / "fetched"
        (folder / "00000").mkdir(parents=True)
        keys = [f"{i:09}" for i in range(len(self.rows) + 1)]
        for key, row in zip(keys, self.rows):
            shutil.copy(self.root / row["safe_image"], folder / "00000" / f"{key}.png")
        status = ["success"] * len(self.rows) + ["failed_to_download"]
        self.write("fetched/00000.parquet", dict(key=keys, status=status, url=["u"] * len(keys),
                                                 caption=[r["safe_caption"] for r in self.rows] + ["none"], width=[20] * len(keys)))
        self.assertIn("image_root: fetched}", self.convert("fetched", "--out", "elsewhere.jsonl"))
        said = self.convert("fetched", "--out", "fetched/rows.jsonl")
        self.assertIn("left out 1 rows that img2dataset did not fetch", said)
        clip = ("objective.name=clip",)
        self.world.run("config", "check", "base.yaml", *sets("data.train=fetched/rows.jsonl"))
        rows = [dict(safe_caption=r["safe_caption"], safe_image=r["safe_image"]) for r in self.rows]
        self.world.write_rows("safe_only.jsonl", rows)
        found = []
        for cache, train in (("one", "safe_only.jsonl"), ("two", "fetched/rows.jsonl")):
            self.world.run("prepare", "base.yaml", *sets(f"data.train={train}", f"data.cache_dir={cache}", *clip))
            found.append([read_safetensors(next((self.root / cache).glob(f"{kind}-*/data.safetensors"))) for kind in ("images", "tokens")])
        self.assertEqual(*found)
        # The other form: the encoded image in a column of its own.
        self.write("inside.parquet", dict(key=keys[:-1], status=status[:-1], caption=[r["safe_caption"] for r in self.rows],
                                          jpg=[(self.root / r["safe_image"]).read_bytes() for r in self.rows]))
        self.convert("inside.parquet", "--out", "inside.jsonl")
        self.assertEqual(len(list((self.root / "inside-images").glob("*.png"))), len(self.rows))

    def test_what_cannot_be_read_is_said_at_once(self):
        self.write("labels.parquet", dict(image=pyarrow.array([3]), text=pyarrow.array([4]), tag=pyarrow.array([[1]])))
        self.write("nothing.parquet", dict(label=pyarrow.array([3])))
        self.write("empty.parquet", dict(image=pyarrow.array([], IMAGE), text=pyarrow.array([], pyarrow.string())))
        (self.root / "text.parquet").write_text("no table")
        said = self.convert("labels.parquet", "nothing.parquet", "text.parquet", "--out", "never.jsonl", code=3)
        for words in ("labels.parquet: column image is int64, expected an image", "column text is int64, expected a caption", "column tag is list",
                      "columns found: image (int64), text (int64), tag (list<", "nothing.parquet: no column of the safe_caption (looked for",
                      "no column of the safe_image", "columns found: label (int64)", "text.parquet: cannot be read as Parquet"):
            self.assertIn(words, said)
        self.assertIn("no column LABEL", self.convert("nothing.parquet", "--out", "never.jsonl", "--column", "safe_caption=LABEL", code=3))
        self.assertIn("the tables have no rows", self.convert("empty.parquet", "--out", "never.jsonl", code=3))
        self.assertIn("gone.parquet: no such file", self.convert("gone.parquet", "--out", "never.jsonl", code=3))
        self.assertIn("expected FIELD=NAME", self.convert("empty.parquet", "--out", "never.jsonl", "--column", "x", code=2))
        self.assertFalse(list(self.root.glob("*never*")))


if __name__ == "__main__":
    main()
