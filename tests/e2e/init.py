"""`init`: configurations for manifests and folders of images, from templates, on a terminal and without one.

    init.py --program build/release/saferclip [unittest arguments]
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess

from world import World, WorldCase, main, png


class Init(WorldCase):
    prefix = "saferclip init-"  # a blank in every absolute path

    def init(self, *words, code=0):
        return self.world.run("init", *words, code=code, stdin=subprocess.DEVNULL)

    def passes(self, file, *words):
        """Writes `file` and passes it to `config check`. Returns its values, and what init printed."""
        said = self.init(*words, "--out", file).stdout
        self.assertIn(f"{file}: ok", said)
        self.world.run("config", "check", file)
        return json.loads(self.world.run("config", "show", file, "--json").stdout), said

    def folder(self, name, count=4, captions="txt"):
        folder = self.world.root / name
        folder.mkdir(parents=True)
        lines = ["file_name,caption"]
        for i in range(count):
            (folder / f"{i}.png").write_bytes(png(f"{name}{i}"))
            if captions == "txt":
                (folder / f"{i}.txt").write_text(f"picture\n number {i}\n")
            lines.append(f'{i}.png,"picture, number {i}"')
        if captions == "csv":
            (folder / "captions.csv").write_text("\n".join(lines) + "\n")
        return folder

    # --- data

    def test_a_manifest(self):
        config, said = self.passes("mine.yaml", "--weights", "base", "--data", "train.jsonl", "--validation", "train.jsonl")
        self.assertEqual((config["objective"]["name"], config["train"]["batch_size"], config["run"]["name"]), ("saferclip", 24, "safe-base"))
        self.assertRegex(said, r"train\.jsonl: 24 rows, 19 with an unsafe image")
        self.assertIn("saferclip evaluate runs/safe-base\n", said)
        text = (self.world.root / "mine.yaml").read_text()
        self.assertIn("weights: base ", text)  # relative
        self.assertLessEqual(max(map(len, text.splitlines())), 120)
        self.world.run("train", "mine.yaml", "--dry-run")

    def test_a_manifest_without_unsafe_rows(self):
        self.world.write_rows("safe rows.jsonl", [dict(id=str(i), safe_caption="a dog", safe_image=f"images/safe{i}.png") for i in range(8)])
        config, said = self.passes("safe only.yaml", "--weights", "base", "--data", "safe rows.jsonl", "--name", "only safe: #1")
        self.assertEqual((config["objective"]["name"], config["run"]["name"]), ("clip", "only safe: #1"))
        self.assertIn("saferclip train 'safe only.yaml'\n", said)
        self.assertIn("saferclip evaluate 'runs/only safe: #1' --split train\n", said)
        refused = self.init("--weights", "base", "--data", "safe rows.jsonl", "--objective", "saferclip", "--out", "no.yaml", code=2).stderr
        self.assertRegex(refused, "redirects unsafe rows, but the data has none: .*--objective clip")

    def images_of(self, config, key):
        """Paths of the safe images in the manifest of data.train or data.validation."""
        manifest = pathlib.Path(config["data"][key])
        root = pathlib.Path(config["data"]["image_root"] or manifest.parent)
        return [(root / json.loads(line)["safe_image"]).resolve() for line in manifest.read_text().splitlines()]

    def test_validation_has_its_own_images(self):
        for file, data, validation in (("two.yaml", "here/train", "there/validation"), ("two/above.yaml", "two/a", "two/b")):
            self.folder(data, 4)
            self.folder(validation, 3)  # with the same names
            config, _ = self.passes(file, "--weights", "base", "--data", data, "--validation", validation)
            for key, folder, count in (("train", data, 4), ("validation", validation, 3)):
                images = self.images_of(config, key)
                self.assertEqual([image.parent for image in images], [(self.world.root / folder).resolve()] * count)
                self.assertTrue(all(image.exists() for image in images))

    def test_a_manifest_and_a_folder(self):
        self.folder("below", 3)
        config, _ = self.passes("mixed.yaml", "--weights", "base", "--data", "train.jsonl", "--validation", "below")
        self.assertTrue(all(image.exists() and image.parent.name == "below" for image in self.images_of(config, "validation")))
        (self.world.root / "deep").mkdir()
        refused = self.init("--weights", "base", "--data", "train.jsonl", "--validation", "below", "--out", "deep/no.yaml", code=2).stderr
        self.assertRegex(refused, r"start from different folders.*--out")
        self.assertFalse((self.world.root / "deep/no.yaml").exists())

    def test_folders_are_paired_by_name(self):
        for captions in ("txt", "csv"):
            self.folder(f"{captions} data/safe", 5, captions)
            self.folder(f"{captions} data/unsafe", 4, captions)
            config, said = self.passes(f"{captions}.yaml", "--weights", "base", "--data", f"{captions} data")
            self.assertEqual((config["objective"]["name"], config["train"]["batch_size"]), ("saferclip", 4))
            self.assertRegex(said, rf"left out 1 images of \S.*{captions} data/safe without a partner of the same name: 4.png")
            rows = [json.loads(line) for line in (self.world.root / f"{captions}.train.jsonl").read_text().splitlines()]
            self.assertEqual(rows[0]["unsafe_image"], "unsafe/0.png")
            self.assertEqual(rows[1]["safe_caption"], "picture number 1" if captions == "txt" else "picture, number 1")
            self.world.run("train", f"{captions}.yaml", "--dry-run")

    def test_a_folder_alone_and_folders_apart(self):
        self.folder("apart/ä safe")
        self.folder("elsewhere/~bad")
        config, _ = self.passes("apart/alone.yaml", "--weights", "base", "--data", "apart/ä safe", "--validation", "apart/ä safe")
        self.assertEqual(config["objective"]["name"], "clip")
        config, _ = self.passes("apart/two.yaml", "--weights", "base", "--data", "apart/ä safe", "--unsafe", "elsewhere/~bad")
        self.assertEqual(config["objective"]["name"], "saferclip")
        for words, why in ((("--data", "apart", "--unsafe", "apart/ä safe"), "one contains the other"),
                           (("--data", "train.jsonl", "--unsafe", "apart"), "holds the unsafe half itself"),
                           (("--data", "apart/ä safe", "--unsafe", "nowhere"), "no such folder")):
            self.assertIn(why, self.init("--weights", "base", *words, "--out", "no.yaml", code=2).stderr)
        self.assertFalse((self.world.root / "no.yaml").exists())

    def test_images_without_captions(self):
        self.folder("bare", captions=None)
        self.assertIn("none of its 4 images has a caption", self.init("--weights", "base", "--data", "bare", code=3).stderr)

    def test_all_problems_of_the_inputs_at_once(self):
        said = self.init("--weights", "openai/clip-vit-base-patch32", "--data", "none.jsonl", code=4).stderr
        self.assertRegex(said, r"(?s)hf download openai/clip-vit-base-patch32.*none\.jsonl: no such file")
        rows = (self.world.root / "train.jsonl").read_text().splitlines()
        (self.world.root / "bad.jsonl").write_text("\n".join([*rows[:12], '{"id": "x"}']) + "\n")
        said = self.init("--weights", "base", "--data", "bad.jsonl", "--out", "bad.yaml", code=2).stderr
        self.assertIn("data.train", said)

    # --- lists in folders

    def listed(self, name, header, *lines, file="metadata.csv", count=4):
        """A folder of images 0.png, 1.png, … with a list."""
        folder = self.folder(name, count, captions=None)
        (folder / file).write_text("\n".join((header, *lines)) + "\n")
        return name

    def rows_of(self, file):
        return [json.loads(line) for line in (self.world.root / file).read_text().splitlines()]

    def test_a_list_may_have_all_columns_of_a_manifest(self):
        header = "file_name,text,unsafe_caption,unsafe_image,tag,pair,split,unsafe_caption_label"
        lines = ("0.png,a cat,a cat with a gun,,Weapons,p,train,0", '1.png,"a cat, asleep",a cat with gin,2.png,alcohol,q,,1', "3.png,a dog,a wolf,,,,val,")
        for file in ("metadata.csv", "captions.csv"):
            name = self.listed(f"pets {file}", header, *lines, file=file)
            config, said = self.passes(f"{file}.yaml", "--weights", "base", "--data", name)
            self.assertEqual(config["objective"]["name"], "saferclip")
            self.assertEqual(self.rows_of(f"{file}.train.jsonl"), [
                dict(id="0.png", safe_caption="a cat", safe_image="0.png", unsafe_caption="a cat with a gun", tag="weapons", pair="p",
                     unsafe_caption_label=0, unsafe_image_label=1),
                dict(id="1.png", safe_caption="a cat, asleep", safe_image="1.png", unsafe_caption="a cat with gin", unsafe_image="2.png",
                     tag="alcohol", pair="q", unsafe_caption_label=1, unsafe_image_label=1)])
            self.assertRegex(said, r"left out 1 images without a caption: 3.png")
            self.world.run("train", f"{file}.yaml", "--dry-run")
        # The configuration's own reader takes the folder for the same rows.
        said = self.world.run("prepare", "metadata.csv.yaml", "--set", "data.train=pets metadata.csv", "--set", "data.image_root=null").stderr
        self.assertIn("2 rows", said)

    def test_other_columns_and_labels_are_named(self):
        name = self.listed("labeled", "file_name,text,is_nsfw,width", "0.png,a cat,no,8", "1.png,a gun,yes,8", "2.png,a dog,no,8")
        result = self.init("--weights", "base", "--data", name, "--out", "labeled.yaml")
        self.assertRegex(result.stderr, r"metadata.csv: unused columns: is_nsfw, width; if one holds a field")
        self.assertRegex(result.stderr, r'column "is_nsfw" says which rows are safe \(no, yes\): rows are labeled, not paired; .*docs/data.md#labels-are-no-pairs')
        self.assertRegex(result.stderr, r"objective clip trains on safe pairs alone, so it makes no model safe; .*unsafe_caption")
        self.assertIn("makes no model safe", self.world.run("config", "check", "labeled.yaml").stderr)
        self.assertIn("makes no model safe", self.world.run("train", "labeled.yaml", "--set", "train.max_steps=1").stderr)

    def test_one_list_of_names_for_init_and_manifests(self):
        for file, caption in (("filename", "title"), ("image_path", "description"), ("filepath", "title"), ("image", "caption"), ("path", "text"),
                              ("file", "safe"), ("safe_image", "safe_caption")):
            name = self.listed(f"as {file}", f"{file},{caption}", "0.png,a cat", "1.png,a dog", file="captions.csv")
            self.passes(f"as {file}.yaml", "--weights", "base", "--data", name)
            self.assertEqual([row["safe_image"] for row in self.rows_of(f"as {file}.train.jsonl")], ["0.png", "1.png"])
            self.passes(f"list {file}.yaml", "--weights", "base", "--data", f"{name}/captions.csv")

    def test_the_cause_of_what_is_left_out(self):
        name = self.listed("commas", "file_name,text", "0.png,a cat, asleep", "1.png,a dog, awake")
        said = self.init("--weights", "base", "--data", name, "--out", "no.yaml", code=3).stderr
        self.assertRegex(said, r'none of its 2 rows can be used:(.|\n)*line 2: has 3 fields, but the header has 2; put a field that contains "," into quotes')
        name = self.listed("mixed causes", "file_name,text", "0.png,a cat", "gone.png,a dog", "1.png,", "lost.png,b")
        said = self.init("--weights", "base", "--data", name, "--out", "mixed causes.yaml").stdout
        for line in (r"left out 2 rows that name an image that is not there: line 3: no such file: .*gone.png; line 5: ",
                     r"left out 1 bad rows: line 4: has no safe_caption", r"left out 3 images without a caption: 1.png; 2.png; 3.png"):
            self.assertRegex(said, line)
        self.listed("parent/train", "file_name,text", "0.png,a cat")
        self.listed("above/cats", "file_name,text", "0.png,a cat", file="captions.csv")
        for folder, words in (("parent", r"named as splits: train; name the folder of one split, such as .*parent/train"),
                              ("above", r"none of its 4 images has a caption; .*above/cats/captions.csv lies below")):
            self.assertRegex(self.init("--weights", "base", "--data", folder, "--out", "no.yaml", code=3).stderr, words)

    # --- pairs and shards

    def test_folders_without_equal_names(self):
        self.folder("loose/safe", 6, "csv")
        folder = self.folder("loose/unsafe", 4, "csv")
        for i in range(4):
            (folder / f"{i}.png").rename(folder / f"bad{i}.png")
        (folder / "captions.csv").write_text("file_name,caption\n" + "".join(f"bad{i}.png,bad thing {i}\n" for i in range(4)))
        said = self.init("--weights", "base", "--data", "loose", "--out", "no.yaml", code=3).stderr
        self.assertIn("no image has a partner", said)
        self.assertIn("--pair-by order or --pair-by random", said)
        partners = {}
        for by in ("order", "random"):
            result = self.init("--weights", "base", "--data", "loose", "--pair-by", by, "--out", f"{by}.yaml")
            self.assertIn(f"--pair-by {by}: the two sides of a row need not belong together", result.stderr)
            self.assertRegex(result.stdout, r"left out 2 images of \S.*loose/safe without a partner: 4.png; 5.png")
            rows = self.rows_of(f"{by}.train.jsonl")
            self.assertTrue(all(row["unsafe_caption"][-1] == row["unsafe_image"][-5] for row in rows))
            partners[by] = [row["unsafe_caption"][-1] for row in rows]
            self.world.run("train", f"{by}.yaml", "--dry-run")
        self.assertEqual(partners["order"], list("0123"))
        self.assertEqual(sorted(partners["random"]), list("0123"))
        for data, words in (("train.jsonl", "are pairs already"), ("loose/safe", "name the unsafe one with --unsafe")):
            self.assertRegex(self.init("--weights", "base", "--data", data, "--pair-by", "order", "--out", "no.yaml", code=2).stderr, words)

    def test_a_folder_of_shards(self):
        (self.world.root / "tars").mkdir()
        for i in range(3):
            (self.world.root / f"tars/part-{i:05}.tar").write_bytes(b"")
        said = self.init("--weights", "base", "--data", "tars", "--out", "no.yaml", code=3).stderr
        self.assertRegex(said, r"tars: is a folder of shards; name them: '/.*/tars/part-\{00000..00002\}.tar'")
        (self.world.root / "tars/part-00001.tar").unlink()
        said = self.init("--weights", "base", "--data", "tars", "--out", "no.yaml", code=3).stderr
        self.assertRegex(said, r"name them: '/.*/tars/\*.tar'")
        said = self.init("--weights", "base", "--data", "tars/*.tar", "--unsafe", "tars/*.tar", "--out", "no.yaml", code=2).stderr
        self.assertRegex(said, r"tars/\*.tar names shards, which hold the unsafe half themselves \(KEY.unsafe.txt")
        self.assertIn("shards/{00000..00042}.tar", self.world.run("init", "--help").stdout)

    # --- files

    def test_an_existing_file_stays(self):
        (self.world.root / "there.yaml").write_text("mine")
        words = ("--weights", "base", "--data", "train.jsonl", "--out")
        self.assertIn("--overwrite", self.init(*words, "there.yaml", code=2).stderr)
        self.assertEqual((self.world.root / "there.yaml").read_text(), "mine")
        os.mkfifo(self.world.root / "pipe")
        for place, why in (("pipe", "a pipe"), ("/dev/null", "device"), ("images", "names a folder"), ("none/x.yaml", "no folder")):
            self.assertIn(why, self.init(*words, place, "--overwrite", code=2).stderr)
        (self.world.root / "link.yaml").symlink_to("there.yaml")
        self.init(*words, "link.yaml", code=2)
        self.init(*words, "link.yaml", "--overwrite")
        self.assertTrue((self.world.root / "link.yaml").is_symlink())
        self.assertIn("weights: base", (self.world.root / "there.yaml").read_text())

    # --- templates

    def test_every_template(self):
        names = re.findall(r"^(\S+)$", self.init("--list").stdout, re.M)
        self.assertIn("saferclip-vit-b32", names)
        self.assertGreaterEqual(len(names), 5)
        for name in names:
            self.init("--from", name, "--out", f"open {name}.yaml")
            config, _ = self.passes(f"from {name}.yaml", "--from", name, "--weights", "base", "--data", "train.jsonl", "--validation", "train.jsonl")
            self.assertEqual(config["run"]["name"], name)
            if config["adapter"]["method"] != "closed_form":  # which has no batches
                self.assertLessEqual(config["train"]["batch_size"], 24)
            self.assertNotIn("\nextends:", (self.world.root / f"from {name}.yaml").read_text())
        said = self.init("--from", "saferclip-vit-b23", code=2).stderr
        self.assertIn("did you mean saferclip-vit-b32?", said)
        self.assertIn("saferclip-vit-l14: SaFeR-CLIP (arXiv 2511.16743)", said)

    def test_a_template_says_what_the_shipped_file_says(self):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../configs")
        for name in ("saferclip-vit-l14", "safe-clip-published", "hysac-vit-l14"):
            self.init("--from", name, "--out", f"same {name}.yaml")
            copied, shipped = (json.loads(self.world.run("config", "show", file, "--json").stdout) for file in
                               (f"same {name}.yaml", f"{source}/{name}.yaml"))
            for section in ("objective", "adapter", "optimizer", "schedule", "train", "checkpoint"):
                self.assertEqual(copied[section], shipped[section])
            self.assertIn("# not published", (self.world.root / f"same {name}.yaml").read_text())

    # --- dialogue

    def test_without_a_terminal_all_missing_options_are_named(self):
        for words, missing in (((), ("--weights", "--data")), (("--data", "train.jsonl"), ("--weights",))):
            said = self.init(*words, code=2).stderr
            for option in missing:
                self.assertIn(f"{option} PATH", said)

    def test_on_a_terminal_it_asks(self):
        shutil.copy(self.world.root / "train.jsonl", self.world.root / "my rows.jsonl")
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self.world.root)
            os.execv(World.program, [World.program, "init", "--out", "asked.yaml"])
        answers = [("Weights", "base"), ("Data", "my rows.jsonl"), ("Validation", "")]
        text, at = "", 0
        while select.select([terminal], [], [], 60)[0]:
            try:
                text += os.read(terminal, 4096).decode()
            except OSError:
                break
            if answers and re.search(rf"{answers[0][0]}[^\n]*: $", text[at:]):
                at = len(text)
                os.write(terminal, answers.pop(0)[1].encode() + b"\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), 0, text)
        self.assertEqual(answers, [])
        self.world.run("config", "check", "asked.yaml")


if __name__ == "__main__":
    main()
