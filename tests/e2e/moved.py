"""What a run leaves for others: exports without a path of this machine, a base that has moved, which step was exported.

    moved.py --program build/release/saferclip [unittest arguments]
"""
import json
import shutil

from world import WorldCase, main


class Moved(WorldCase):
    prefix = "someones-home-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        w.train("whole", "--set", "checkpoint.keep_last=20", "--set", f"data.unsafe_image_template={w.root}/images/{{id}}.png")

    def test_exports_name_no_place_of_this_machine(self):
        w = self.world
        w.run("evaluate", "runs/whole")
        for form in ("hf", "open_clip", "openai", "peft", "onnx"):
            out = w.root / f"out_{form}"
            w.run("export", "runs/whole", "--to", form, "--out", out)
            for file in out.rglob("*"):
                self.assertNotIn(b"someones-home", file.read_bytes(), file)
            card = (out / "README.md").read_text()
            head = card.split("---")[1]
            self.assertIn("base_model: base\n", head)
            self.assertIn(f"base_model_relation: {'adapter' if form == 'peft' else 'finetune'}\n", head)
            self.assertIn("pipeline_tag: zero-shot-image-classification\n", head)
            self.assertIn('train: "train.jsonl"', card)
            self.assertIn('unsafe_image_template: "{id}.png"', card)
            self.assertEqual(card.count("```text"), 1, card)
        self.assertEqual(json.loads((w.root / "out_peft/adapter_config.json").read_text())["base_model_name_or_path"], "base")
        w.run("embed", "out_peft", "--texts", "red", "--out", "a.safetensors")  # its base is found beside it
        w.run("export", "runs/whole", "--to", "hf", "--tower", "text", "--out", "out_text")
        self.assertIn("pipeline_tag: feature-extraction\n", (w.root / "out_text/README.md").read_text())
        hub = w.root / "models--someone--clip-base/snapshots/0123abcd"
        shutil.copytree(w.root / "base", hub)
        w.run("export", hub, "--to", "open_clip", "--out", "out_hub")
        self.assertIn("base_model: someone/clip-base\n", (w.root / "out_hub/README.md").read_text())

    def test_export_says_which_step_and_which_is_best(self):
        w = self.world
        checkpoints = w.root / "runs/whole/checkpoints"
        (checkpoints / "best").write_text("step_00000020\n" if (checkpoints / "step_00000020").exists() else "step_00000003\n")
        best = int((checkpoints / "best").read_text().strip().removeprefix("step_"))
        said = w.run("export", "runs/whole", "--to", "hf", "--out", "latest").stdout
        self.assertIn("exported step 40", said)
        self.assertIn(f"step {best} is the best by auto; export it with --checkpoint best", said)
        said = w.run("export", "runs/whole", "--checkpoint", "best", "--to", "hf", "--out", "best_out").stdout
        self.assertIn(f"exported step {best}", said)
        self.assertNotIn("is the best by", said)

    def test_a_base_that_has_moved(self):
        w = self.world
        shutil.copytree(w.root / "base", w.root / "other")
        w.run("train", "base.yaml", "--set", "train.max_steps=2", "--set", "run.name=wrong")
        w.run("export", "runs/wrong", "--to", "hf", "--out", "wrong")
        w.train("moved", "--set", f"model.weights={w.root / 'other'}", "--set", "train.max_steps=3", "--set", "schedule.name=constant")
        (w.root / "other").rename(w.root / "new_place")
        resume = ("train", "safe.yaml", "--set", "run.name=moved", "--set", "train.max_steps=6", "--set", "schedule.name=constant",
                  "--resume", "auto")
        self.assertIn("--set model.weights=NEW_PATH", w.run(*resume, "--set", f"model.weights={w.root / 'other'}", code=4).stderr)
        w.run(*resume, "--set", f"model.weights={w.root / 'new_place'}")
        (w.root / "new_place").rename(w.root / "newer_place")
        for command in (("export", "runs/moved", "--to", "hf", "--out", "out_moved"), ("report", "runs/moved"), ("evaluate", "runs/moved"),
                        ("embed", "runs/moved", "--texts", "red", "--out", "moved.safetensors")):
            said = w.run(*command, code=4).stderr
            self.assertIn("--set model.weights=NEW_PATH", said)
            said = w.run(*command, "--set", f"model.weights={w.root / 'wrong'}", code=4).stderr
            self.assertIn("SHA-256", said)
            w.run(*command, "--set", f"model.weights={w.root / 'newer_place'}")


if __name__ == "__main__":
    main()
