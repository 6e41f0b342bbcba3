"""Runs that train which weights are switched off: what they save, export, log and refuse.

    mask.py --program build/release/saferclip
"""
import json
import struct

from world import WorldCase, file_hash, main, read_safetensors, sets

CONFIG = """extends: safe.yaml
adapter: {method: mask, rank: null, dropout: null, targets: [q_proj, k_proj, v_proj, out_proj, patch_embedding]}
optimizer: {lr: 1.0e-3}
schedule: {name: constant, warmup_steps: 0}
train: {max_steps: 14}
run: {name: mask}
"""
MASKED = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", "patch_embedding.weight")


def values(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


def bits(data):
    return [byte >> place & 1 for byte in data for place in range(7, -1, -1)]


class Masks(WorldCase):
    base_settings = ("train.max_steps=40",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.world.root / "mask.yaml").write_text(CONFIG)
        cls.said = cls.train_masks("mask").stderr
        cls.base = read_safetensors(cls.world.root / "base" / "model.safetensors")

    @classmethod
    def train_masks(cls, name, *settings, code=0, arguments=()):
        return cls.world.run("train", "mask.yaml", *sets(f"run.name={name}", *settings), *arguments, code=code)

    def exported(self, run, *arguments):
        out = f"out_{len(list(self.world.root.glob('out_*')))}"
        self.world.run("export", f"runs/{run}", "--to", "hf", "--out", out, *arguments)
        return self.world.root / out

    def scores(self, name):
        return {n: values(t) for n, t in read_safetensors(self.world.checkpoint(name) / "weights.safetensors").items()}

    def test_checkpoints_hold_the_scores(self):
        scores = self.scores("mask")
        self.assertEqual(set(scores), {"mask." + n for n in self.base if n.endswith(MASKED)})
        for name, found in scores.items():
            self.assertEqual(len(found), len(values(self.base[name[5:]])))
        self.assertGreater(len({v for found in scores.values() for v in found}), 1000)

    def test_exports_hold_the_weights_of_the_source_or_zeros(self):
        folder = self.exported("mask")
        after, scores = read_safetensors(folder / "model.safetensors"), self.scores("mask")
        masks = read_safetensors(folder / "masks.safetensors")
        self.assertEqual(set(after), set(self.base))
        off = 0
        for name, tensor in self.base.items():
            if "mask." + name not in scores:
                self.assertEqual(after[name], tensor, name)
                continue
            is_on = [s > 0.005 for s in scores["mask." + name]]
            packed = bits(masks[name][2])
            self.assertEqual(packed[:len(is_on)], [int(on) for on in is_on])
            self.assertFalse(any(packed[len(is_on):]))
            off += is_on.count(False)
            expected = [struct.pack("<f", w) if on else bytes(4) for w, on in zip(values(tensor), is_on)]
            self.assertEqual(after[name][2], b"".join(expected), name)
        self.assertGreater(off, 0)
        self.assertIn("masks on q_proj, k_proj, v_proj, out_proj, patch_embedding in both towers", (folder / "README.md").read_text())

    def test_off_weights_may_flip_their_sign_and_strength_goes_between(self):
        self.train_masks("flip", "adapter.off_value=-1", "adapter.towers=text")
        scores = self.scores("flip")
        self.assertTrue(all("text_model" in name for name in scores))
        for strength in (1, 0, 0.5):
            after = read_safetensors(self.exported("flip", "--strength", strength) / "model.safetensors")
            for name, tensor in self.base.items():
                on = scores.get("mask." + name)
                factors = [1 if on is None or s > 0.005 else 1 - 2 * strength for s in on or values(tensor)]
                self.assertEqual([w * f for w, f in zip(values(tensor), factors)], list(values(after[name])), name)

    def test_each_step_logs_what_is_off(self):
        lines = self.world.metrics("mask")
        shares = [line["masked_fraction"] for line in lines if line["kind"] == "train"]
        self.assertEqual(len(shares), 14)
        self.assertEqual(shares[:3], [0, 0, 0])
        last = lines[-1]
        self.assertEqual([last["kind"], last["step"]], ["masks", 14])
        self.assertAlmostEqual(last["masked_fraction"], shares[-1], places=6)
        self.assertGreater(shares[-1], 0)
        scores = self.scores("mask")
        self.assertEqual({"mask." + n for n in last["tensors"]}, set(scores))
        for name, share in last["tensors"].items():
            found = scores["mask." + name]
            self.assertAlmostEqual(share, sum(s <= 0.005 for s in found) / len(found))
        self.assertIn("of the weights with masks are off", self.said)

    def test_resumed_is_the_same_to_the_bit(self):
        self.train_masks("resumed", "train.max_steps=6")
        self.train_masks("resumed", arguments=["--resume", "auto"])
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(self.world.checkpoint("resumed") / file), file_hash(self.world.checkpoint("mask") / file))

    def test_gradient_dropout_changes_what_is_off(self):
        self.assertIn("general_kl", self.world.metrics("mask")[0]["terms"])
        self.train_masks("without", "adapter.gradient_dropout.enabled=false")
        self.train_masks("nothing", "adapter.gradient_dropout.lambda=0")
        self.train_masks("own", "adapter.gradient_dropout={general: preserve, lambda: 0.3}")
        self.assertNotIn("general_kl", self.world.metrics("own")[0]["terms"])
        self.assertEqual(self.scores("without"), self.scores("nothing"))
        for name in ("mask", "own"):
            self.assertNotEqual(self.scores("without"), self.scores(name))
        first = [self.world.metrics(name)[0]["loss"] for name in ("mask", "without", "own")]
        self.assertEqual(len(set(first)), 1)

    def test_short_runs_are_told_of(self):
        said = self.train_masks("short", "train.max_steps=3").stderr
        self.assertIn("in 3 steps a score moves by about 0.003, less than adapter.init - adapter.threshold (0.005)", said)
        self.assertIn("train at least 5 steps", said)
        self.assertIn("no weight was switched off", said)
        self.assertEqual(read_safetensors(self.exported("short") / "model.safetensors"), self.base)
        document = json.loads(self.world.run("evaluate", "runs/short", "--json").stdout)
        self.assertEqual(document["before"]["retrieval"], document["after"]["retrieval"])
        self.assertNotIn("a score moves", self.said)

    def test_other_commands_take_it(self):
        w = self.world
        w.run("evaluate", "runs/mask")
        w.run("report", "runs/mask")
        page = (w.root / "runs" / "mask" / "report.html").read_text()
        self.assertIn("masks on q_proj, k_proj", page)
        self.train_masks("second", "optimizer.lr=2.0e-3", "train.precision=bf16", "train.gradient_cache=true",
                         "train.recompute=blocks", "adapter.norm_weight=1.0e-4", "model.train_projections=true")
        self.assertIn("mask_norm", w.metrics("second")[0]["terms"])
        w.run("evaluate", "runs/second")
        self.assertIn("second", w.run("compare", "runs/mask", "runs/second").stdout)
        self.assertIn("safe", w.run("search", "runs/mask", "a red car", "--images", "images").stdout)
        for target in ("open_clip", "openai", "onnx"):
            w.run("export", "runs/mask", "--to", target, "--out", f"mask_{target}")
            self.assertTrue((w.root / f"mask_{target}" / "masks.safetensors").exists())
        self.assertIn("(mask)", w.run("train", "mask.yaml", "--dry-run").stdout)
        self.assertIn("mask", w.run("inspect", "runs/mask").stdout)

    def test_bad_input(self):
        w = self.world
        said = w.run("export", "runs/mask", "--to", "peft", "--out", "no", code=2).stderr
        self.assertIn("switched single weights off", said)
        self.assertIn("use --to hf", said)

        def problem(*settings, file="mask.yaml"):
            checked = w.run("config", "check", file, *sets(*settings), code=2)
            text = checked.stdout + checked.stderr
            self.assertIn("1 problem", text)
            return text
        self.assertIn("adapter.init: expected above adapter.threshold (0.005), found 0.005", problem("adapter.init=0.005"))
        self.assertIn("adapter.off_value: 1 leaves a weight", problem("adapter.off_value=1"))
        self.assertIn("adapter.norm_weight: expected at least 0, found -1", problem("adapter.norm_weight=-1"))
        self.assertIn("adapter.targets", problem("adapter.targets=[c_proj]"))
        self.assertIn("adapter.rank: has no meaning with adapter.method: mask", problem("adapter.rank=8"))
        self.assertIn("adapter.threshold: only adapter.method: mask reads it", problem("adapter.threshold=0.001", file="safe.yaml"))
        (w.root / "plain.yaml").write_text("model: {weights: base}\ndata: {train: train.jsonl, cache_dir: cache}\nadapter: {method: mask}\n")
        dropout = "adapter.gradient_dropout."
        self.assertIn(dropout + "lambda: expected at least 0 and at most 1, found 1.5", problem(dropout + "lambda=1.5", file="plain.yaml"))
        self.assertIn("one of kl, preserve", problem(dropout + "general=teacher", file="plain.yaml"))
        self.assertIn("objective clip has no frozen reference", problem("objective.name=clip", file="plain.yaml"))
        self.assertIn("not with train.precision: fp16", problem("train.precision=fp16", file="plain.yaml"))
        none = "objective.weights={pres_uni_img: 0, pres_uni_txt: 0, pres_cross_img: 0, pres_cross_txt: 0}"
        self.assertIn("general: preserve: no pres_* or anchor_* term", problem(dropout + "general=preserve", none, file="plain.yaml"))
        self.assertIn("only adapter.method: mask reads it", problem(dropout + "lambda=0.5", file="safe.yaml"))
        w.run("config", "check", "plain.yaml", *sets("objective.name=clip", dropout + "enabled=false"))
        self.assertIn("nothing would be trained", self.train_masks("no", "adapter.targets=[patch_embedding]", "adapter.towers=text", code=2).stderr)


if __name__ == "__main__":
    main()
