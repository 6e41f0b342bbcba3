"""Objective hysac through the real program on a tiny model: training, resuming, evaluation by Lorentz distance, refusals.
Independent calculations of the distances are in tests/clients/hysac_clients.py.

    hysac.py --program build/release/saferclip [unittest arguments]
"""
import json
import math
import signal
import struct
import time

from world import WorldCase, file_hash, main, read_safetensors, sets

SCALARS = ("hysac.alpha_image", "hysac.alpha_text", "hysac.curvature", "hysac.logit_scale")
CONFIG = """model: {weights: base}
data: {train: train.jsonl, validation: train.jsonl, evaluation: {other: other.jsonl}, cache_dir: cache}
objective: {name: hysac}
adapter: {rank: 2, dropout: 0.2, targets: [q_proj, v_proj, fc1, patch_embedding]}
optimizer: {name: adamw, lr: 1.0e-2, betas: [0.9, 0.98], weight_decay: 0.2}
train: {max_steps: 40, batch_size: 8, precision: fp32}
checkpoint: {every_steps: 3, keep_last: 2}
evaluate: {every_epochs: 5, zero_shot: [{name: z, images: zero.csv, classes: classes.tsv}]}
run: {name: hysac}
"""


def scalar(tensors, name):
    kind, shape, data = tensors[name]
    assert kind == "F32" and shape == [], (name, kind, shape)
    return struct.unpack("<f", data)[0]


class Hysac(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        (w.root / "hysac.yaml").write_text(CONFIG)
        (w.root / "other.jsonl").write_text("".join((w.root / "train.jsonl").read_text().splitlines(True)[:9]))
        cls.train("whole")

    @classmethod
    def train(cls, name, *settings, code=0):
        return cls.world.run("train", "hysac.yaml", *sets(f"run.name={name}", *settings), code=code)

    def refused(self, *settings):
        result = self.world.run("config", "check", "hysac.yaml", *sets(*settings), code=2)
        return result.stdout + result.stderr

    def evaluate(self, *arguments):
        return json.loads(self.world.run("evaluate", *arguments, "--json").stdout)

    def test_the_scalars_are_trained_and_not_decayed(self):
        weights = read_safetensors(self.world.checkpoint("whole") / "weights.safetensors")
        self.assertEqual(sorted(n for n in weights if n.startswith("hysac.")), list(SCALARS))
        start = -0.5 * math.log(8)  # of 8 numbers an embedding
        for name in SCALARS[:3]:
            self.assertNotAlmostEqual(scalar(weights, name), 0 if name == "hysac.curvature" else start, delta=1e-3)
        self.assertGreaterEqual(scalar(weights, "hysac.logit_scale"), math.log(1 / 0.07) - 1e-6)
        moments = read_safetensors(self.world.checkpoint("whole") / "optimizer.safetensors")
        self.assertTrue(any("hysac.curvature" in name for name in moments))
        lines = [l for l in self.world.metrics("whole") if l["kind"] == "train"]
        self.assertEqual(list(lines[0]["terms"]), ["contrast_safe", "contrast_unsafe", "contrast_unsafe_image", "contrast_unsafe_text",
                                                   "entail_safe", "entail_unsafe", "entail_cross"])
        for line in lines:
            self.assertAlmostEqual(line["loss"], sum(line["terms"].values()) / 49, delta=1e-5)
        self.assertLess(lines[-1]["loss"], lines[0]["loss"])
        half = self.train("half", "objective.entailment_weight=0.5", "train.max_steps=1")
        self.assertEqual(half.returncode, 0)
        line = self.world.metrics("half")[0]
        weight = lambda name: 0.5 if name.startswith("entail") else 1
        self.assertAlmostEqual(line["loss"], sum(weight(n) * v for n, v in line["terms"].items()) / 5.5 / 7, delta=1e-5)

    def test_a_killed_run_resumes_to_the_bit(self):
        w = self.world
        process = w.start("train", "hysac.yaml", "--set", "run.name=killed")
        limit = time.time() + 60
        while not list((w.root / "runs/killed/checkpoints").glob("step_*")) and time.time() < limit:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        w.run("train", "hysac.yaml", "--set", "run.name=killed", "--resume", "auto")
        self.assert_same_run("killed")
        self.train("two", "train.max_steps=7")
        w.run("train", "hysac.yaml", "--set", "run.name=two", "--resume", "auto")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint("two") / file), file_hash(w.checkpoint("whole") / file))

    def test_micro_batches_with_a_gradient_cache_are_the_batch(self):
        self.train("plain", "adapter.dropout=0", "train.max_steps=6")
        self.train("cached", "adapter.dropout=0", "train.max_steps=6", "train.micro_batch_size=3", "train.gradient_cache=true")
        for a, b in zip(self.world.metrics("plain"), self.world.metrics("cached"), strict=True):
            if a["kind"] == "train":
                self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-5)

    def test_evaluation_says_what_it_ranks_by(self):
        w = self.world
        text = w.run("evaluate", "runs/whole").stdout
        self.assertIn("after: ranked by Lorentz distance; before: by cosine", text)
        self.assertIn("mean of unsafe images", text)
        lorentz, cosine = self.evaluate("runs/whole"), self.evaluate("runs/whole", *sets("evaluate.score=cosine"))
        self.assertEqual((lorentz["after"]["hysac"]["score"], cosine["after"]["hysac"]["score"]), ("lorentz", "cosine"))
        self.assertEqual(lorentz["before"]["retrieval"], cosine["before"]["retrieval"])
        self.assertNotIn("hysac", lorentz["before"])
        for same in ("drift", "space"):  # cosines in both
            self.assertEqual(lorentz["after"][same], cosine["after"][same])
        self.assertIn("ranked by cosine, which objective hysac did not train", w.run("evaluate", "runs/whole", *sets("evaluate.score=cosine")).stdout)
        for mode in ("code", "geodesic"):
            moved = self.evaluate("runs/whole", "--split", "other", *sets(f"evaluate.traversal={mode}"))["after"]["hysac"]
            self.assertEqual((moved["traversal"]["mode"], moved["bounds"]["split"]), (mode, "validation"))
            for side in ("text", "image"):
                self.assertEqual(moved["bounds"][side], lorentz["after"]["hysac"]["bounds"][side])
                safe = moved["bounds"][side]["up_95"]
                self.assertAlmostEqual(moved["traversal"]["boundary"][side], safe + math.tanh((safe - 0.8) / moved["curvature"]) + 1, delta=1e-12)
        self.assertNotIn("bounds", self.evaluate("runs/whole", "--split", "other")["after"]["hysac"])
        kept = [l for l in w.metrics("whole") if l["kind"] == "evaluation"][-1]["after"]
        self.assertEqual(kept["hysac"], lorentz["after"]["hysac"])
        self.assertEqual(kept["retrieval"], lorentz["after"]["retrieval"])
        self.assertAlmostEqual(kept["loss"]["total"], sum(kept["loss"]["terms"].values()) / 49, delta=1e-5)

    def test_the_export_is_evaluated_as_the_run(self):
        w = self.world
        w.run("export", "runs/whole", "--to", "hf", "--out", "whole_hf")
        written = json.loads((w.root / "whole_hf/hysac.json").read_text())
        run = self.evaluate("runs/whole")["after"]
        for name in ("alpha_text", "alpha_image", "logit_scale"):
            self.assertEqual(written[name], run["hysac"][name])
        self.assertAlmostEqual(written["curvature"], run["hysac"]["curvature"], delta=1e-12)
        self.assertEqual(written["bounds"], run["hysac"]["bounds"])
        card = (w.root / "whole_hf/README.md").read_text()
        self.assertIn("**Cosine search on these weights is untrained.**", card)
        other = self.evaluate("runs/whole", "--weights", "whole_hf")["after"]
        self.assertEqual(other["retrieval"], run["retrieval"])
        self.assertEqual(other["zero_shot"], run["zero_shot"])
        (w.root / "whole_hf/hysac.json").write_text('{"curvature": -1, "alpha_text": 0}')
        said = w.run("evaluate", "runs/whole", "--weights", "whole_hf", code=4).stderr
        for part in ("curvature: expected a number above 0", "alpha_image: expected a number", "logit_scale: expected"):
            self.assertIn(part, said)
        (w.root / "whole_hf/hysac.json").unlink()
        self.assertIn("ranked by cosine", w.run("evaluate", "runs/whole", "--weights", "whole_hf").stderr)
        self.assertIn("has no hysac.json", w.run("evaluate", "runs/whole", "--weights", "whole_hf", *sets("evaluate.score=lorentz"), code=4).stderr)
        for target in ("peft", "open_clip", "openai", "onnx"):
            w.run("export", "runs/whole", "--to", target, "--out", f"whole_{target}")
            self.assertEqual(json.loads((w.root / f"whole_{target}/hysac.json").read_text()), written)
        adapter = read_safetensors(w.root / "whole_peft/adapter_model.safetensors")
        self.assertTrue(adapter and all("lora_" in name for name in adapter))
        self.train("unseen", "data.validation=null", "train.max_steps=1")
        self.assertIn("hysac.json: without bounds", w.run("export", "runs/unseen", "--to", "hf", "--out", "unseen_hf").stderr)
        self.assertIsNone(json.loads((w.root / "unseen_hf/hysac.json").read_text())["bounds"])

    def test_unsafe_rows_end_up_farther_from_the_origin(self):
        self.train("far", "adapter={method: full}", "optimizer.lr=3e-3", "train.batch_size=24", "train.max_steps=600", "evaluate.every_epochs=600")
        radii = [l for l in self.world.metrics("far") if l["kind"] == "evaluation"][-1]["after"]["hysac"]["radii"]
        means = [radii[kind]["mean"] for kind in ("safe_text", "safe_image", "unsafe_text", "unsafe_image")]
        self.assertEqual(means, sorted(means))
        self.assertGreater(means[3], 1.1 * means[0])

    def test_cosine_commands_say_that_it_is_untrained(self):
        w = self.world
        for command in (["search", "runs/whole", "--images", "images", "red dog"], ["classify", "runs/whole", "--images", "images", "--labels", "red,blue"],
                        ["embed", "runs/whole", "--texts", "red dog", "--out", "rows.safetensors"]):
            self.assertIn("which it did not train", w.run(*command).stderr, command)
        w.run("report", "runs/whole", "--out", "whole.html")
        self.assertIn("after: ranked by Lorentz distance", (w.root / "whole.html").read_text())
        w.run("train", "safe.yaml", *sets("run.name=redirected", "train.max_steps=2"))
        for run in ("whole", "redirected"):
            w.run("evaluate", f"runs/{run}")
        self.assertIn("whole: after: ranked by Lorentz distance", w.run("compare", "runs/whole", "runs/redirected").stdout)

    def test_what_has_no_meaning_is_refused(self):
        said = self.refused("checkpoint.best_metric=space.safe_text.mean_cosine", "objective.infonce_scale=100", "objective.curriculum.enabled=true",
                            "evaluate.score=cosine", "evaluate.traversal=code")
        for part in ("checkpoint.best_metric: hysac with cosine-only metrics", "objective.infonce_scale:", "objective.curriculum.enabled:",
                     "evaluate.traversal: moves points"):
            self.assertIn(part, said)
        self.assertIn("checkpoint.best_metric: hysac with cosine-only metrics", self.refused("checkpoint.best_metric=drift.text.embedding_cos"))
        said = self.refused("objective={name: saferclip, entailment_weight: 2}", "evaluate.score=lorentz", "evaluate.traversal=code")
        for part in ("objective.entailment_weight:", "evaluate.score: lorentz needs objective.name: hysac", "evaluate.traversal: needs"):
            self.assertIn(part, said)
        self.assertIn("has no such term", self.refused("objective.weights={cross_img: 1}"))
        self.train("chosen", "checkpoint.best_metric=safeground.gs", "train.max_steps=3")


if __name__ == "__main__":
    main()
