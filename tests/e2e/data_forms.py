"""Rows as other programs leave them: each form makes the caches of the plain manifest.

    data_forms.py --program build/release/saferclip [unittest arguments]
"""
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pathlib
import shutil
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import WorldCase, main, png, read_safetensors, sets  # noqa: E402


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
        self.assertIn("has lists of several kinds, and which is meant is unknown: metadata.csv, metadata.jsonl; keep", self.broken_by_a_second_file())
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

    def write_parts(self, folder, table=False):
        """The rows in three lists, of which each names files from its own folder."""
        shutil.copytree(self.root / "images", self.root / folder / "b/images")
        for name, rows in (("a/deep", self.rows[:9]), ("b", self.rows[9:12]), ("b-c", self.rows[12:])):
            (self.root / folder / name).mkdir(parents=True, exist_ok=True)
            up = os.path.relpath(self.root / folder / "b/images", self.root / folder / name) + "/"
            lines = [{key: up + value if key in ("file_name", "unsafe_image") else value for key, value in line.items()}
                     for line in self.folder_rows() if line["id"] in {row["id"] for row in rows}]
            if not table:
                self.world.write_rows(f"{folder}/{name}/metadata.jsonl", lines)
                continue
            with open(self.root / folder / name / "metadata.csv", "w", newline="") as file:
                # Columns may stand in another order, and lack what no row has.
                table_file = csv.DictWriter(file, sorted({key for line in lines for key in line}, reverse=name == "b"))
                table_file.writeheader()
                table_file.writerows(lines)

    def test_a_list_in_each_of_several_folders(self):
        for folder, table in (("parts", False), ("tables", True)):
            self.write_parts(folder, table)
            self.assertIn("24 rows", self.prepare(f"{folder}-cache", folder, "data.image_root=tokenizer"))
            for kind in ("images", "tokens", "reference", "targets"):
                (one,), (other,) = ((self.root / c).glob(f"{kind}-*/data.safetensors") for c in ("plain", f"{folder}-cache"))
                self.assertEqual(read_safetensors(one), read_safetensors(other), kind)
        self.world.train("parts", *sets("data.train=parts", "data.validation=parts", "train.max_steps=2"))
        self.world.run("evaluate", "runs/parts", "--split", "validation")
        # The only list may lie in a folder too.
        shutil.copytree(self.root / "images", self.root / "one/in/images")
        self.world.write_rows("one/in/metadata.jsonl", [line | {key: "images/" + line[key] for key in ("file_name", "unsafe_image") if key in line}
                                                        for line in self.folder_rows()])
        self.assertIn("24 rows", self.prepare("one-cache", "one"))

    def test_bad_rows_of_several_lists_name_theirs(self):
        self.write_parts("faulty")
        path = self.root / "faulty/b/metadata.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[0]["id"], lines[1]["file_name"], lines[2]["file_name"] = "4", "gone.png", "../../train.jsonl"
        self.world.write_rows("faulty/b/metadata.jsonl", lines)
        said = self.prepare("faulty-cache", "faulty", code=3)
        for words in (r"faulty:10 \(id 4\): b/metadata.jsonl:1: id 4 is already used in a/deep/metadata.jsonl:5",
                      r"faulty:11 \(id 10\): b/metadata.jsonl:2: no such file: .*faulty/b/gone.png",
                      r"faulty:12 \(id 11\): b/metadata.jsonl:3: .*train.jsonl is not inside .*faulty"):
            self.assertRegex(said, words)
        # Without ids rows are numbered throughout.
        for name in ("a/deep", "b", "b-c"):
            file = self.root / "faulty" / name / "metadata.jsonl"
            self.world.write_rows(file, [{key: value for key, value in json.loads(line).items() if key != "id"}
                                         for line in file.read_text().splitlines()])
        self.assertRegex(self.prepare("faulty-cache", "faulty", code=3), r"2 of 24 rows are bad(.|\n)*faulty:11 \(id 11\): b/metadata.jsonl:2: no such")

    def test_lists_that_are_refused(self):
        listed = "file_name,text,unsafe_caption\n"
        for names, words in ((("mixed/a/metadata.csv", "mixed/b/metadata.jsonl"), r"several kinds, and .*: a/metadata.csv, b/metadata.jsonl; keep"),
                             (("tags/Train2017/metadata.csv", "tags/x/metadata.csv"), r"named as splits: Train2017; name .*tags/Train2017"),
                             (("hub/a b/metadata.parquet", "hub/metadata.parquet"),
                              r"hub: a b/metadata.parquet, metadata.parquet is Parquet, which is read by a script of the repository; run "
                              r"`scripts/import_parquet '.*hub/a b/metadata.parquet' .*hub/metadata.parquet --out .*hub/rows.jsonl`, then name .*hub/rows.jsonl"),
                             (("forms/a/metadata.jsonl", "forms/b/metadata.jsonl"), "a/metadata.jsonl, b/metadata.jsonl: one is a table, the other JSON")):
            for name in names:
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                (self.root / name).write_text('{"file_name": "a.png", "text": "a"}' if name == "forms/a/metadata.jsonl" else listed)
            folder = names[0].split("/")[0]
            self.assertRegex(self.prepare("none", folder, code=3), words)
            self.assertRegex(self.world.run("config", "check", "safe.yaml", *sets(f"data.train={folder}"), code=2).stderr, words)

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


class ClassFolders(DataForms):
    """torchvision's ImageFolder: a folder of images per class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.root / "clip.yaml").write_text("model: {weights: base}\ndata: {train: pets, cache_dir: cache}\nobjective: {name: clip}\n"
                                            "train: {max_steps: 3, batch_size: 4, precision: fp32}\n")

    def cached(self, cache, train, *settings, code=0):
        return self.world.run("prepare", "clip.yaml", *sets(f"data.train={train}", f"data.cache_dir={cache}", *settings), code=code).stderr

    def write(self, folder, classes=("red_cat", "blue-dog", "Sun")):
        """The manifest that says the same."""
        rows = []
        for name in sorted(classes):
            for i in range(4):
                path = f"{name}/{'deep/' * (i % 2)}{i}.png"
                (self.root / folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.root / folder / path).write_bytes(png(path))
                words = name.replace("_", " ").replace("-", " ")
                rows.append(dict(id=path, safe_image=f"{folder}/{path}", safe_caption=f"a photo of a {words}", tag=words.lower()))
        self.world.write_rows(f"{folder}.jsonl", sorted(rows, key=lambda row: row["id"]))

    def test_prepare_train_and_evaluate_as_the_manifest(self):
        self.write("pets")
        (self.root / "pets/Sun/notes.txt").write_text("x")
        (self.root / "pets/empty").mkdir()
        said = self.cached("classes", "pets")
        for words in ("pets: a class folder has no image: empty", r"pets: left out files that are no images: .txt \(1\)", "12 rows"):
            self.assertRegex(said, words)
        self.cached("listed", "pets.jsonl")
        self.assert_same_artifacts("classes", "listed", least=2)
        for name, data in (("classes", "pets"), ("listed", "pets.jsonl")):
            self.world.run("train", "clip.yaml", *sets(f"data.train={data}", f"data.validation={data}", f"run.name={name}"))
        self.assert_same_run("classes", "listed")
        figures = json.loads(self.world.run("evaluate", "runs/classes", "--split", "validation", "--json").stdout)
        self.assertEqual(figures["after"]["retrieval"], json.loads(self.world.run("evaluate", "runs/listed", "--split", "validation",
                                                                                  "--json").stdout)["after"]["retrieval"])

    def test_the_caption_is_an_option(self):
        self.write("worded")
        self.cached("worded-cache", "worded", "data.class_caption=a drawing of {}")
        rows = [row | dict(safe_caption=row["safe_caption"].replace("a photo of a", "a drawing of"))
                for row in map(json.loads, (self.root / "worded.jsonl").read_text().splitlines())]
        self.world.write_rows("worded.jsonl", rows)
        self.cached("worded-list", "worded.jsonl")
        self.assert_same_artifacts("worded-cache", "worded-list", least=2)
        self.assertRegex(self.cached("none", "worded", "data.class_caption=a photo", code=2),
                         r'data.class_caption: "a photo" has no \{\}')

    def test_what_cannot_be_read(self):
        self.write("splits/train")
        self.write("splits/test")
        unsafe = ("objective.name=saferclip",)
        for folder, settings, words in (("splits", (), "named as splits, not as classes: test, train; name the folder of one split"),
                                        ("splits/train", unsafe, "a folder per class has no unsafe captions"),
                                        ("tokenizer", (), "without folders of images, one per class")):
            self.assertRegex(self.cached("none", folder, *settings, code=3), words)
            self.assertRegex(self.world.run("config", "check", "clip.yaml", *sets(f"data.train={folder}", *settings), code=2).stderr, words)


class Shards(DataForms):
    """Tars as webdataset and img2dataset write them."""

    def add(self, tar, name, content, **fields):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(content))

    def members(self, row, key, form):
        """(ending, content) of a row in one of the forms."""
        picture = lambda path: (self.root / path).read_bytes()
        if form == "texts":
            yield "txt", row["safe_caption"].encode()
            yield "unsafe.txt", row["unsafe_caption"].encode() + b"\n"
            yield "json", json.dumps(dict(tag=row["tag"])).encode()
        else:  # as img2dataset: its caption stands in both
            record = dict(key=key, status="success", caption=row["safe_caption"], unsafe_caption=row["unsafe_caption"], tag=row["tag"], width=20)
            yield "txt", row["safe_caption"].encode()
            yield "json", json.dumps(record).encode()
        yield "png", picture(row["safe_image"])
        if "unsafe_image" in row:
            yield "unsafe.PNG", picture(row["unsafe_image"])

    def write(self, folder, form="texts", tar_format=tarfile.USTAR_FORMAT, prefix="", change=lambda row, name, content: content):
        (self.root / folder).mkdir(exist_ok=True)
        for shard in range(3):
            with tarfile.open(self.root / folder / f"{shard:05}.tar", "w", format=tar_format) as tar:
                for i in range(8 * shard, 8 * shard + 8):
                    key = f"{prefix}{i}"
                    for ending, content in self.members(self.rows[i], key, form):
                        content = change(i, ending, content)
                        if content is not None:
                            self.add(tar, f"{key}.{ending}", content)

    def assert_like_plain(self, cache):
        """Equal pixels, embeddings and targets; the places of the images are others."""
        for kind in ("images", "tokens", "reference", "targets"):
            (one,), (other,) = ((self.root / c).glob(f"{kind}-*/data.safetensors") for c in ("plain", cache))
            self.assertEqual(read_safetensors(one), read_safetensors(other), kind)

    def test_forms_and_headers(self):
        long = "folder/" * 20 + "x" * 120
        for n, (form, tar_format, prefix) in enumerate((("texts", tarfile.USTAR_FORMAT, ""), ("json", tarfile.GNU_FORMAT, "./"),
                                                        ("texts", tarfile.PAX_FORMAT, long), ("json", tarfile.GNU_FORMAT, long),
                                                        ("texts", tarfile.USTAR_FORMAT, "f" * 80 + "/" + "k" * 60))):
            self.write(f"form{n}", form, tar_format, prefix)
            said = self.prepare(f"cache{n}", f"form{n}/{{00000..00002}}.tar")
            self.assertIn("24 rows", said)
            self.assert_like_plain(f"cache{n}")
        # One process knows the caches of another: nothing is decoded again.
        self.assertNotIn("decoding", self.prepare("cache0", "form0/{00000..00002}.tar"))
        self.assertIn("reused from", self.prepare("plain", "form0/{00000..00002}.tar"))

    def test_training_evaluation_and_report(self):
        self.write("run", "json")
        pattern = "run/*.tar"
        self.world.train("shards", *sets(f"data.train={pattern}", f"data.validation={pattern}", "train.max_steps=3"))
        self.world.train("loose", *sets("data.train=train.jsonl", "train.max_steps=3"))
        self.assert_same_run("shards", "loose")
        self.world.run("evaluate", "runs/shards", "--split", "validation")
        self.world.run("report", "runs/shards", "--out", "shards.html")
        self.assertIn("data:image/jpeg", (self.root / "shards.html").read_text())
        said = self.world.run("config", "check", "safe.yaml", *sets(f"data.train={pattern}")).stderr
        self.assertIn("unused columns: key, status, width", said)
        self.world.run("init", "--weights", "base", "--data", "run/{00000..00002}.tar", "--out", "begun.yaml")
        self.world.run("config", "check", "begun.yaml")

    def test_labels_are_no_captions(self):
        """LAION's column NSFW in img2dataset's JSON is a label; a column nsfw with labels, too."""
        labels = ("UNLIKELY", "UNSURE", "NSFW")

        def as_laion(i, ending, content):
            if ending != "json":
                return None if ending.startswith("unsafe") else content
            record = json.loads(content)
            del record["unsafe_caption"]
            return json.dumps(record | dict(NSFW=labels[i % 3])).encode()

        self.write("laion", "json", change=as_laion)
        pattern = "laion/{00000..00002}.tar"
        for said in (self.prepare("laion-cache", pattern, code=3),
                     self.world.run("config", "check", "safe.yaml", *sets(f"data.train={pattern}", "data.validation="), code=2).stderr):
            self.assertNotIn("did you mean nsfw", said)
            self.assertRegex(said, r'column "NSFW" says which rows are safe \(nsfw, unlikely, unsure\): rows are labeled, not paired; .*labels-are-no-pairs')
        rows = [dict(row, nsfw=labels[i % 3]) for i, row in enumerate(self.rows)]
        for row in rows:
            del row["unsafe_caption"]
        self.world.write_rows("labels.jsonl", rows)
        self.assertRegex(self.prepare("labels-cache", "labels.jsonl"),
                         r"nearly all unsafe captions are one of a few words \(nsfw, unlikely, unsure\): these look like labels, not captions")
        self.assertNotIn("look like labels", self.prepare("plain", "train.jsonl"))

    def test_changed_shards_are_read_again(self):
        self.write("fresh")
        self.prepare("changing", "fresh/{00000..00002}.tar")
        other = png("other")
        self.write("fresh", change=lambda i, ending, content: other if (i, ending) == (3, "png") else content)
        self.assertRegex(self.prepare("changing", "fresh/{00000..00002}.tar"), r"decoding train: 42 of 43 images reused")
        # Written again with the same content: the time alone differs.
        os.utime(self.root / "fresh/00001.tar")
        self.assertNotIn("decoding", self.prepare("changing", "fresh/{00000..00002}.tar"))

    def test_bad_samples(self):
        broken = {(2, "png"): b"no image", (3, "png"): None, (9, "json"): b"{", (10, "txt"): b"\xff", (11, "txt"): b" ", (12, "unsafe.txt"): None}
        self.write("bad", change=lambda i, ending, content: broken.get((i, ending), content))
        with tarfile.open(self.root / "bad/00003.tar", "w") as tar:
            for name, content in (("5.png", png("x")), ("5.txt", b"again"), ("5.unsafe.txt", b"again"), ("5.npy", b"1"), ("5.jpg", b"1"), ("README", b"")):
                self.add(tar, name, content)
            self.add(tar, "link.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        said = self.prepare("bad", "bad/{00000..00003}.tar", code=3)
        self.assertIn("7 of 25 rows are bad", said)
        for line in (r"00000.tar/2.png: ", r"3 \(id 3\)|:4 \(id 3\): 00000.tar: has no safe_image", r":10: 00001.tar: 9.json: ", r":11: 00001.tar: 10.txt is not UTF-8",
                     r"missing safe_caption: 1 row", r":13 \(id 12\): 00001.tar: has no unsafe_caption", r":25: 00003.tar: has two safe images: 5.png, 5.jpg",
                     r"not read: \.README \(1\), \.npy \(1\)", r"1 links in the shards are not read"):
            self.assertRegex(said, line)
        self.assertEqual(json.loads((self.root / "bad/bad_rows.train.json").read_text())["bad_rows"], 7)

    def test_what_is_no_shard(self):
        self.write("whole")
        whole = (self.root / "whole/00000.tar").read_bytes()
        (self.root / "no").mkdir()
        start = bytearray(whole)
        start[600] ^= 255  # content
        start[1024] ^= 1   # the second header
        with tarfile.open(self.root / "no/pictures.tar", "w") as tar:
            self.add(tar, "1.txt", b"a")
            self.add(tar, "1.npy", b"a")
        tarfile.open(self.root / "no/empty.tar", "w").close()
        for name, content in (("gzip", gzip.compress(whole)), ("bzip2", bz2.compress(whole)), ("xz", lzma.compress(whole)), ("cut", whole[:3000]),
                              ("ended", whole.rstrip(b"\0") + b"\0" * (-len(whole.rstrip(b"\0")) % 512)), ("damaged", bytes(start)), ("text", b"x" * 2000),
                              ("short", b"x")):
            (self.root / f"no/{name}.tar").write_bytes(content)
        for name, words in (("gzip", "compressed with gzip; images are read in place"), ("bzip2", "compressed with bzip2"), ("xz", "compressed with xz"),
                            ("cut", "is cut short: "), ("ended", "is cut short: it ends without the blocks of zeros"), ("damaged", "is damaged: no header at byte 1024"),
                            ("text", "is not a tar"), ("short", "too short for a tar"), ("pictures", "none of its 2 files is an image"),
                            ("empty", "contains no rows"), ("gone", "no such file")):
            self.assertRegex(self.prepare("no-cache", f"no/{name}.tar", code=None), rf"no/{name}.tar: (has no files|.*{words})")
        for pattern, words in (("whole/{00000..00004}.tar", r"no such shards: .*00003.tar, .*00004.tar \(2 of 5 are missing\)"),
                               ("whole/{a..b}.tar", "braces name shards as"), ("whole/{1.tar", "braces name shards as"), ("none/*.tar", "nothing fits it"),
                               ("whole", r"it has shards: name them, '.*whole/\{00000..00002\}.tar'")):
            self.assertRegex(self.prepare("no-cache", pattern, code=None), words)
            self.assertRegex(self.world.run("config", "check", "safe.yaml", *sets(f"data.train={pattern}"), code=2).stderr, words)


if __name__ == "__main__":
    main()
