"""What a run leaves out, never trains or cuts is said: on stderr, in the report, in the model card.

    silence.py --program build/release/saferclip [unittest arguments]
"""
import json

from world import WorldCase, main, sets


class Silence(WorldCase):
    # Long enough that it knows which caption belongs to which picture.
    base_settings = ("train.max_steps=120", "optimizer.lr=1e-2")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = [json.loads(line) for line in (cls.world.root / "train.jsonl").read_text().splitlines()]

    def train(self, name, *settings, code=0):
        return self.world.train(name, *sets("train.max_steps=3", "schedule.warmup_steps=0", *settings), code=code).stderr

    def manifest(self, name, rows):
        self.world.write_rows(name, rows)
        return f"data.train={self.world.root / name}"

    def test_terms_without_pictures(self):
        bare = self.manifest("bare.jsonl", [{k: v for k, v in row.items() if k != "unsafe_image"} for row in self.rows])
        said = self.train("bare", bare, "data.validation=null")
        line = next(line for line in said.splitlines() if "are never trained" in line)
        for word in ("24 training rows", "cross_img, cross_txt, uni_img, mutual_txt", "not SaFeR-CLIP"):
            self.assertIn(word, line)
        self.assertNotIn("uni_txt", line.replace("pres_uni_txt", ""))
        for command in ("prepare", "train"):
            dry = ["--dry-run"] if command == "train" else []
            self.assertIn("are never trained", self.world.run(command, "safe.yaml", "--set", bare, *dry).stderr)
        self.world.run("export", "runs/bare", "--to", "hf", "--out", "bare_out")
        self.assertIn("cross_img, cross_txt, uni_img, mutual_txt are never trained", (self.world.root / "bare_out/README.md").read_text())
        self.world.run("report", "runs/bare", "--out", "bare.html")
        self.assertIn("cross_img, cross_txt, uni_img, mutual_txt are never trained", (self.world.root / "bare.html").read_text())
        said = self.train("safe_clip", bare, "data.validation=null", "objective.name=safe_clip")
        self.assertIn("redir_uni_img, redir_cross_img are never trained, unsafe images are not redirected, and this is not Safe-CLIP", said)
        said = self.train("full", "objective.curriculum.start_epochs=[0, 0, 0]")
        self.assertNotIn("never", said)
        self.assertNotIn("chance", said)

    def test_terms_of_a_tower_that_is_not_trained(self):
        said = self.train("text_tower", "adapter.towers=text")
        self.assertIn("adapter.towers: text: cross_img, uni_img, pres_uni_img, pres_cross_img are never trained", said)

    def test_rows_of_stages_that_never_start(self):
        said = self.train("short", "objective.curriculum.start_epochs=[0, 1, 3]", "train.max_steps=null", "train.epochs=1")
        self.assertIn("of 24 training rows are never redirected", said)

    def test_captions_that_are_cut(self):
        rows = [dict(row) for row in self.rows]
        for row in rows[:2]:
            row["safe_caption"], row["unsafe_caption"] = ("red blue " * 12 + row[k] for k in ("safe_caption", "unsafe_caption"))
        rows[2]["unsafe_caption"] = "car tree " * 12
        cut = self.manifest("cut.jsonl", rows)
        for _ in range(2):  # of a cache as well
            said = self.world.run("prepare", "safe.yaml", "--set", cut).stderr
            self.assertIn("train: captions longer than the context of 16 tokens are truncated: 2 safe, 3 unsafe, in 3 rows", said)
            self.assertIn("the safe and unsafe captions have the same tokens in 2 rows, which add nothing to training: 0, 1", said)
        out = self.world.run("embed", "base", "--texts", "red " * 40, "blue", "--out", "t.safetensors").stderr
        self.assertIn("1 of 2 texts are longer than the context of 16 tokens and were truncated", out)

    def test_backslashes_are_no_missing_pictures(self):
        rows = [{**row, "unsafe_image": row["unsafe_image"].replace("/", "\\")} if "unsafe_image" in row else row for row in self.rows]
        said = self.train("backslash", self.manifest("windows.jsonl", rows), code=3)
        self.assertIn("write paths with /", said)

    def test_a_base_at_chance(self):
        rows = [{**row, "safe_caption": self.rows[(i + 7) % len(self.rows)]["safe_caption"]} for i, row in enumerate(self.rows)]
        self.world.write_rows("shuffled.jsonl", rows)
        said = self.train("chance", f"data.validation={self.world.root / 'shuffled.jsonl'}")
        self.assertIn("24 validation rows no better than chance", said)


if __name__ == "__main__":
    main()
