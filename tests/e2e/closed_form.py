"""Runs that are solved for instead of trained: everything that works on a run works on them.

    closed_form.py --program build/release/saferclip
"""
import json
import signal
import struct
import time

from world import WorldCase, main, read_safetensors, sets


def values(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


class ClosedForms(WorldCase):
    base_settings = ("train.max_steps=40",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        (w.root / "closed.yaml").write_text(
            "model: {weights: base}\ndata: {train: train.jsonl, validation: train.jsonl, cache_dir: cache}\n"
            "adapter: {method: closed_form, form: ridge}\n"
            "evaluate: {zero_shot: [{name: z, images: zero.csv, classes: classes.tsv}]}\nrun: {name: ridge}\n")
        cls.said = cls.solve("ridge").stderr
        w.run("train", "safe.yaml", *sets("train.max_steps=2", "run.name=trained"))

    @classmethod
    def solve(cls, name, *settings, code=0, arguments=()):
        return cls.world.run("train", "closed.yaml", *sets(f"run.name={name}", *settings), *arguments, code=code)

    def weights(self, name):
        return read_safetensors(self.world.checkpoint(name) / "weights.safetensors")

    def exported(self, run, *arguments):
        out = f"out_{len(list(self.world.root.glob('out_*')))}"
        self.world.run("export", f"runs/{run}", "--to", "hf", "--out", out, *arguments)
        return read_safetensors(self.world.root / out / "model.safetensors")

    def test_run_folder_is_an_ordinary_one(self):
        w = self.world
        self.assertEqual(w.checkpoint("ridge").name, "step_00000001")
        self.assertEqual(set(self.weights("ridge")), {"text_projection.weight", "visual_projection.weight"})
        solution, evaluation = w.metrics("ridge")
        self.assertEqual([solution["kind"], evaluation["kind"]], ["closed_form", "evaluation"])
        self.assertEqual([solution[t]["pairs"] for t in ("text", "vision")], [24, 19])
        self.assertLess(solution["text"]["unsafe_error"], 1)
        self.assertIn("5 of 24 rows have no unsafe image: the vision tower is solved on the other 19", self.said)
        state, = json.loads(w.run("runs", "runs/ridge", "--json").stdout)
        self.assertEqual([state["state"], state["step"], state["planned_steps"]], ["finished", 1, 1])
        self.assertEqual((w.checkpoint("ridge").parent / "best").read_text().strip(), "step_00000001")
        self.assertIn("closed_form", w.run("inspect", "runs/ridge").stdout)

    def test_a_finished_run_is_left_alone(self):
        before = self.weights("ridge")
        self.assertIn("already has checkpoints", self.solve("ridge", code=2).stderr)
        self.assertIn("solved already", self.solve("ridge", arguments=["--resume", "auto"]).stderr)
        changed = self.solve("ridge", "adapter.weight=2", arguments=["--resume", "auto"], code=2).stderr
        self.assertIn("adapter.weight: 1.0 in the run, 2.0 now", changed)
        self.solve("ridge", arguments=["--overwrite"])
        self.assertEqual(self.weights("ridge"), before)

    def test_only_the_projections_change(self):
        base = read_safetensors(self.world.root / "base" / "model.safetensors")
        after = self.exported("ridge")
        self.assertEqual({n for n in base if base[n] != after[n]}, {"text_projection.weight", "visual_projection.weight"})
        self.solve("text", "adapter.towers=text", "adapter.form=project", "adapter.rank=2")
        after = self.exported("text")
        self.assertEqual({n for n in base if base[n] != after[n]}, {"text_projection.weight"})

    def test_strengths_from_negation_to_extrapolation(self):
        base = values(read_safetensors(self.world.root / "base" / "model.safetensors")["text_projection.weight"])
        solved = values(self.weights("ridge")["text_projection.weight"])
        single = lambda x: struct.unpack("f", struct.pack("f", x))[0]
        for strength in (-1, 0, 2):
            found = values(self.exported("ridge", "--strength", strength)["text_projection.weight"])
            expected = [single(b + single(single(s - b) * strength)) for b, s in zip(base, solved)]
            self.assertEqual(list(found), expected, strength)
        document = json.loads(self.world.run("evaluate", "runs/ridge", "--strengths", "-2,0,1,3", "--json").stdout)
        points = {p["strength"]: p["after"] for p in document["strengths"]}
        self.assertEqual(list(points), [-2, 0, 1, 3])
        self.assertEqual(points[0]["retrieval"], document["before"]["retrieval"])
        self.assertEqual(points[1]["retrieval"], document["after"]["retrieval"])
        for strength in ("-2.1", "3.1", "nan"):
            self.assertIn("--strength", self.world.run("export", "runs/ridge", "--to", "hf", "--strength", strength, "--out", "no", code=2).stderr)
            self.world.run("evaluate", "runs/ridge", "--strengths", strength, code=2)

    def test_other_commands_take_it(self):
        w = self.world
        self.solve("flips", "adapter.form=uwm", "adapter.flip_fraction=0.1")
        self.solve("erased", "adapter.form=leace")
        for run in ("flips", "erased"):
            w.run("evaluate", f"runs/{run}", "--against", "runs/trained")
            w.run("report", f"runs/{run}")
            page = (w.root / "runs" / run / "report.html").read_text()
            self.assertIn("nothing trained", page)
            self.assertNotIn("learning rate", page)
        w.run("evaluate", "runs/trained")
        self.assertIn("erased", w.run("compare", "runs/flips", "runs/erased", "runs/trained").stdout)
        self.assertIn("safe", w.run("search", "runs/ridge", "a red car", "--images", "images").stdout)
        for target in ("hf", "open_clip", "openai", "onnx"):
            w.run("export", "runs/flips", "--to", target, "--out", f"flips_{target}")
            card = (w.root / f"flips_{target}" / "README.md").read_text()
            self.assertIn("closed form `uwm` in both towers, nothing trained", card)
            self.assertIn("signs of the weights", card)
        said = w.run("export", "runs/ridge", "--to", "peft", "--out", "no", code=2).stderr
        self.assertIn("solved for whole weight matrices", said)
        plan = w.run("train", "closed.yaml", "--dry-run").stdout
        self.assertIn("closed form `ridge` in both towers", plan)
        self.assertIn("24, in one pass", plan)

    def test_sweeps_and_preparing(self):
        w = self.world
        w.run("prepare", "closed.yaml")
        said = w.run("sweep", "closed.yaml", *sets("adapter.form=project", "adapter.rank=1,2", "run.name=swept")).stdout
        for rank in ("1", "2"):
            self.assertRegex(said, rf"rank.{rank}")

    def test_a_stopped_run_leaves_no_checkpoint(self):
        w = self.world
        process = w.start("train", "closed.yaml", *sets("run.name=stopped", "data.cache_dir=stopped_cache"))
        while not (w.root / "runs" / "stopped" / "config.yaml").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        if code:  # else it was done before the signal came
            self.assertEqual(code, 128 + signal.SIGTERM)
            self.assertFalse((w.root / "runs" / "stopped" / "checkpoints").exists())
        self.solve("stopped", "data.cache_dir=stopped_cache", arguments=["--resume", "auto"])
        self.assertEqual(self.weights("stopped"), self.weights("ridge"))

    def test_a_null_undoes_what_is_extended(self):
        (self.world.root / "extending.yaml").write_text(
            "extends: safe.yaml\nadapter: {method: closed_form, rank: null, dropout: null, targets: null}\n"
            "objective: {weights: null, anchors: null, curriculum: null}\noptimizer: null\nschedule: null\ntrain: null\n"
            "checkpoint: null\nrun: {name: extending}\n")
        self.world.run("train", "extending.yaml")
        self.assertEqual(self.weights("extending"), self.weights("ridge"))

    def test_flips_are_flips(self):
        self.solve("flipped", "adapter.form=uwm", "adapter.flip_fraction=1")
        base = read_safetensors(self.world.root / "base" / "model.safetensors")
        for name, tensor in self.weights("flipped").items():
            self.assertEqual([-v for v in values(base[name])], list(values(tensor)), name)

    def test_bad_input(self):
        w = self.world
        rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        w.write_rows("pictureless.jsonl", [{k: v for k, v in r.items() if k != "unsafe_image"} for r in rows])
        w.write_rows("few.jsonl", [r for r in rows if "unsafe_image" in r][:3])
        said = lambda *settings, code=2: self.solve("no", *settings, code=code).stderr
        self.assertIn("none of the 24 training rows has an unsafe image", said("data.train=pictureless.jsonl", code=3))
        self.solve("texts", "data.train=pictureless.jsonl", "adapter.towers=text")
        self.assertRegex(said("data.train=few.jsonl", "adapter.form=leace", code=3), r"covariance of the 6 text embeddings of width 8 is singular \(rank [345]\).*use form: ridge")
        self.assertIn("span only", said("data.train=few.jsonl", "adapter.form=project", "adapter.rank=5", code=3))
        self.assertIn("adapter.rank: 8 directions, but the embeddings have 8", said("adapter.form=project", "adapter.rank=8"))
        self.assertIn("adapter.ridge: expected > 0, found 0", said("adapter.ridge=0"))
        self.assertIn("adapter.flip_fraction: expected > 0 and at most 1, found 1.5", said("adapter.form=uwm", "adapter.flip_fraction=1.5"))
        self.assertIn("adapter.form: expected one of project, leace, ridge, uwm, found rigde; did you mean ridge?", said("adapter.form=rigde"))

    def test_keys_without_meaning_are_named_together(self):
        said = self.solve("no", "train.epochs=3", "objective.weights={uni_txt: 2}", "optimizer.lr=1.0e-3", "adapter.rank=4", "adapter.flip_fraction=0.5",
                          "train.precision=fp32", code=2).stderr
        self.assertIn("6 problems", said)
        for key in ("train.epochs", "objective.weights", "optimizer.lr", "train.precision"):
            self.assertIn(f"{key}: has no meaning with adapter.method: closed_form", said)
        self.assertIn("adapter.rank: of the closed forms only project reads it", said)
        self.assertIn("adapter.flip_fraction: only adapter.form: uwm reads it, not ridge", said)
        said = self.world.run("train", "safe.yaml", *sets("adapter.form=leace", "adapter.ridge=2"), code=2).stderr
        self.assertEqual(said.count("only adapter.method: closed_form reads it"), 2)
        check = self.world.run("config", "check", "closed.yaml", *sets("adapter.form=project", "adapter.rank=9"), code=2)
        self.assertIn("adapter.rank: 9 directions", check.stdout + check.stderr)
        # Defaults that are written out are none, or a run could not be read again.
        self.solve("written", "train.epochs=9", "optimizer.lr=1.0e-4", "train.precision=bf16")


if __name__ == "__main__":
    main()
