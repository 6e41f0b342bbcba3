"""A run on one kind of CPU, resumed there or on another; values that come out the same however they are written.

    machines.py --program build/release/saferclip [unittest arguments]

ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY make any CPU one without AVX512 and bf16.
"""
import json
import os
import signal
import subprocess
import time

from world import World, WorldCase, file_hash, main, seal, sets

PLAIN_CPU = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


class Machines(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        # The default precision, which is bf16.
        text = (w.root / "safe.yaml").read_text().replace(", precision: fp32", "").replace("{name: cosine, warmup_steps: 2}", "{}")
        (w.root / "safe.yaml").write_text(text)

    def train(self, name, *settings, code=0, env=PLAIN_CPU):
        return self.world.run("train", "safe.yaml", *sets(f"run.name={name}", *settings), "--resume", "auto", code=code, env=env)

    def edit_state(self, name, **changes):
        """Puts values into the newest checkpoint's state, and its checksum right."""
        folder = self.world.checkpoint(name)
        state = {**json.loads((folder / "state.json").read_text()), **changes}
        (folder / "state.json").write_text(json.dumps({k: v for k, v in state.items() if v is not None}))
        seal(folder)

    def test_default_precision_killed_and_resumed(self):
        said = self.train("whole").stderr
        self.assertIn("no fast bf16", said)
        command = [World.program, "--threads", "1", "train", "safe.yaml", "--set", "run.name=killed", "--resume", "auto"]
        process = subprocess.Popen(command, cwd=self.world.root, env=PLAIN_CPU, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = self.world.root / "runs/killed/metrics.jsonl"
        deadline = time.time() + 120
        while not (metrics.exists() and metrics.read_text().count("\n") > 8):
            self.assertIsNone(process.poll())
            self.assertLess(time.time(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertIn("resuming from", self.train("killed").stderr)
        self.assert_same_run("killed")
        environment = json.loads((self.world.root / "runs/killed/environment.json").read_text())
        self.assertEqual(environment["resolved"]["train.precision"], "fp32")
        self.assertIn('precision: "bf16"', (self.world.root / "runs/killed/config.yaml").read_text())  # as written

    def test_what_comes_out_the_same_is_the_same(self):
        auto = {"model.activation": "quick_gelu", "model.text_clean": "hf", "model.image_size": 16, "train.precision": "fp32",
                "objective.infonce_scale": None, "objective.weights": {"mutual_txt": 1, "anchor_txt": 1, "mutual_img": 0}}
        environment = self.world.root / "runs/auto/environment.json"
        self.train("auto", "train.max_steps=3")
        resolved = json.loads(environment.read_text())["resolved"]
        auto["objective.infonce_scale"] = resolved["objective.infonce_scale"]
        auto["model.activation"] = resolved["model.activation"]
        self.train("auto", "train.max_steps=6", *(f"{key}={json.dumps(value)}" for key, value in auto.items()))
        self.train("auto", "train.max_steps=9")  # and back
        self.train("plain", "train.max_steps=9")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(*(file_hash(self.world.checkpoint(name) / file) for name in ("auto", "plain")), file)
        for key, other in (("model.text_clean", "openai"), ("objective.infonce_scale", 7), ("train.micro_batch_size", 5)):
            said = self.train("auto", "train.max_steps=12", f"{key}={other}", code=2).stderr
            self.assertIn(key, said)
            self.assertNotIn("train.precision: \"", said)

    def test_another_kind_of_machine_is_a_warning(self):
        self.train("moved", "train.max_steps=3")
        self.edit_state("moved", precision="bf16")  # as a CPU with bf16 leaves it
        said = self.train("moved", "train.max_steps=6").stderr
        self.assertIn("bf16 was bf16 on the machine that saved the checkpoint and is fp32 here", said)
        self.edit_state("moved", precision="bf16")
        said = self.train("moved", "train.max_steps=9", "train.precision=fp32", code=2).stderr
        self.assertIn("train.precision: \"bf16\" in the run, \"fp32\" now", said)

    def test_runs_of_before_the_record_go_on(self):
        self.train("older", "train.max_steps=3", "train.precision=fp32")  # a lowered value was written as it came out
        self.edit_state("older", precision=None, measure=None)
        self.train("older", "train.max_steps=6")

    def test_another_validation_set_starts_best_anew(self):
        w = self.world
        rows = (w.root / "train.jsonl").read_text().splitlines(keepends=True)
        (w.root / "one.jsonl").write_text(rows[0])  # R@1 is 100 % at once: nothing can be better
        settings = ["evaluate.every_epochs=1", "checkpoint.keep_last=1", "checkpoint.patience=2"]
        self.train("other", *settings, "train.max_steps=8", f"data.validation={w.root / 'one.jsonl'}")
        best = (w.root / "runs/other/checkpoints/best").read_text()
        said = self.train("other", *settings, "train.max_steps=16").stderr
        self.assertIn("best value and patience are reset", said)
        steps = [line["step"] for line in w.metrics("other") if line["kind"] == "evaluation"]
        self.assertGreater(max(steps), 8)
        now = (w.root / "runs/other/checkpoints/best").read_text()
        self.assertNotEqual(now, best)
        self.assertGreater(int(now.strip().removeprefix("step_")), 8)
        state = json.loads((w.checkpoint("other") / "state.json").read_text())
        self.assertLess(state["best_value"], 400)
        said = self.train("other", *settings, "train.max_steps=18", "checkpoint.best_metric=unsafe_top1.text").stderr
        self.assertIn("best value and patience are reset", said)
        state = json.loads((w.checkpoint("other") / "state.json").read_text())
        shares = {l["step"]: l["after"]["unsafe_top1"]["text"] for l in w.metrics("other") if l["kind"] == "evaluation" and l["step"] > 16}
        self.assertEqual(state["best_value"], -min(shares.values()))  # less is better
        self.assertNotIn("are reset", self.train("other", *settings, "train.max_steps=19", "checkpoint.best_metric=unsafe_top1.text").stderr)


if __name__ == "__main__":
    main()
