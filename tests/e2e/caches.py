"""Caches that are made out of other caches, and keys: the real program on a tiny model.

    caches.py --program build/release/saferclip [unittest arguments]
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import WorldCase, file_hash, main, png, sets  # noqa: E402


class Caches(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        rows = [json.loads(line) for line in (cls.root / "train.jsonl").read_text().splitlines()]
        for i in range(3):
            for side in ("safe", "unsafe"):
                (cls.root / "images" / f"{side}_new{i}.png").write_bytes(png(f"{side}_new{i}"))
        new = [dict(id=f"new{i}", safe_caption=f"a new house {i}", safe_image=f"images/safe_new{i}.png",
                    unsafe_caption="bad red", unsafe_image=f"images/unsafe_new{i}.png") for i in range(3)]
        cls.world.write_rows("changed.jsonl", new[:1] + rows[20:] + new[1:] + rows[2:20])

    def prepare(self, cache, *settings, train="train.jsonl"):
        arguments = sets(f"data.train={train}", "data.validation=", f"data.cache_dir={cache}", *settings)
        return self.world.run("prepare", "safe.yaml", *arguments).stderr

    def require_equal(self, cache, fresh):
        self.assert_same_artifacts(cache, fresh, least=5)

    def test_rows_that_stay_are_taken_over_to_the_bit(self):
        self.prepare("grown")
        said = self.prepare("grown", train="changed.jsonl")
        # 22 rows stay, of 25; 18 of them have an unsafe picture.
        self.assertRegex(said, r"decoding train: \d+ of \d+ images reused from images-[0-9a-f]{16}")
        self.assertRegex(said, r"reference, train: 22 of 25 rows reused from reference-[0-9a-f]{16}")
        self.assertNotIn("reused from", self.prepare("fresh", train="changed.jsonl"))
        self.require_equal("grown", "fresh")
        # Back again: nothing is made.
        self.assertNotIn("decoding", self.prepare("grown"))
        (self.root / "more.txt").write_text("a red car\na blue tree\nthe moon\nthe sun\na dog\na new prompt\n")
        said = self.prepare("grown", "objective.anchors.prompts=more.txt")
        self.assertRegex(said, r"anchor prompts: 5 of 6 rows reused from anchors-")

    def test_a_changed_picture_is_decoded_alone(self):
        picture = self.root / "images" / "safe3.png"
        before = picture.read_bytes()
        self.prepare("repainted")
        picture.write_bytes(png("other"))
        try:
            said = self.prepare("repainted")
            self.assertRegex(said, r"decoding train: 42 of 43 images reused from images-")
            self.assertRegex(said, r"reference, train: 23 of 24 rows reused from")
            self.prepare("repainted_fresh")
            self.require_equal("repainted", "repainted_fresh")
        finally:
            picture.write_bytes(before)

    def test_nothing_is_taken_from_a_damaged_artifact(self):
        self.prepare("damaged")
        for kind in ("images", "reference"):
            data = next((self.root / "damaged").glob(f"{kind}-*")) / "data.safetensors"
            content = bytearray(data.read_bytes())
            content[-1] ^= 1
            data.write_bytes(content)
        said = self.prepare("damaged", train="changed.jsonl")
        self.assertIn("damaged (checksum mismatch); not reusing it", said)
        self.assertNotIn("rows reused from reference", said)
        self.prepare("damaged_fresh", train="changed.jsonl")
        self.require_equal("damaged", "damaged_fresh")

    def kinds(self, cache):
        return [p.name.split("-")[0] for p in sorted((self.root / cache).iterdir()) if p.is_dir()]

    def test_each_option_has_its_own_artifacts(self):
        self.prepare("keys")
        self.prepare("keys", "objective.targets.min_similarity=0.90000001")
        self.prepare("keys", "objective.targets.min_similarity=0.90000002")
        self.assertEqual(self.kinds("keys").count("targets"), 3)
        self.assertEqual(self.kinds("keys").count("reference"), 1)
        self.prepare("keys", "data.exif_rotate=true")
        self.assertEqual([self.kinds("keys").count(k) for k in ("images", "reference", "targets", "tokens")], [2, 2, 4, 1])

    def test_a_byte_order_mark_changes_nothing(self):
        self.prepare("marks")
        made = sorted(p.name for p in (self.root / "marks").iterdir())
        for name in ("prompts.txt", "train.jsonl"):
            (self.root / f"mark_{name}").write_bytes(b"\xef\xbb\xbf" + (self.root / name).read_bytes().replace(b"\n", b"\r\n"))
        (self.root / "wide.jsonl").write_bytes((self.root / "train.jsonl").read_text().encode("utf-16"))
        for train in ("mark_train.jsonl", "wide.jsonl"):
            self.assertNotIn("decoding", self.prepare("marks", "objective.anchors.prompts=mark_prompts.txt", train=train))
        self.assertEqual(made, sorted(p.name for p in (self.root / "marks").iterdir()))
        embedded = []
        for text in (b"a dog\na cat\n", b"\xef\xbb\xbfa dog\r\na cat\r\n", "a dog\r\na cat".encode("utf-16"), b"a dog\ra cat\r"):
            (self.root / "texts.txt").write_bytes(text)
            self.world.run("embed", "base", "--texts-file", "texts.txt", "--out", "texts.safetensors")
            embedded.append(file_hash(self.root / "texts.safetensors"))
        self.assertEqual(len(set(embedded)), 1)
        (self.root / "texts.txt").write_bytes("a café".encode("latin-1"))
        said = self.world.run("embed", "base", "--texts-file", "texts.txt", "--out", "texts.safetensors", code=3).stderr
        self.assertIn("texts.txt:1: is not UTF-8", said)


if __name__ == "__main__":
    main()
