"""The program on machines with a CUDA card, without one, and with one that fails; on the fake device.

    program.py --program build/release/tests/gpu/saferclip_on_fake [unittest arguments]
"""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import WorldCase, main, sets  # noqa: E402


CUDA_ITSELF = 600 << 20  # counted by src/train/memory_plan.cpp, and nothing here


class OnCuda(WorldCase):
    def train(self, name, *settings, code=0, arguments=(), **variables):
        env = {**os.environ, **{f"FAKE_CUDA_{key}": str(value) for key, value in variables.items()}}
        return self.world.run("train", "safe.yaml", *sets(f"run.name={name}", *settings), "--resume", "auto", *arguments,
                              code=code, env=env)

    def refused(self, *words, device="cuda", **variables):
        env = {**os.environ, **{f"FAKE_CUDA_{key}": str(value) for key, value in variables.items()}}
        said = self.world.run("train", "safe.yaml", "--device", device, code=2, env=env).stderr
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(len(said.strip().splitlines()), 1, said)

    def test_devices_that_are_not_there(self):
        self.refused("no NVIDIA driver", DRIVER="none")
        self.refused("supports CUDA 12.4", "needs 13.0", "update the driver", DRIVER="12.4")
        self.refused("shows no card", COUNT=0)
        self.refused("has 2 CUDA device(s)", device="cuda:5")
        self.refused("expected auto, cpu, cuda", device="gpu")

    def test_the_card_is_recorded(self):
        said = self.train("recorded", "train.max_steps=2").stderr
        self.assertIn("Fake CUDA card", said)
        self.assertRegex(said, r"on the host, .* on cuda:0")
        gpu = json.loads((self.world.root / "runs/recorded/environment.json").read_text())["gpu"]
        self.assertEqual((gpu["name"], gpu["capability"], gpu["driver"]), ("Fake CUDA card", "9.0", "13.0"))
        steps = [line for line in self.world.metrics("recorded") if line["kind"] == "train"]
        self.assertTrue(all(line["device_peak_bytes"] > 0 for line in steps))
        env = {**os.environ, "FAKE_CUDA_CAPABILITY": "7.5"}
        said = self.world.run("doctor", code=None, env=env)
        self.assertIn("compute capability 7.5; 8.0 or more is needed", said.stdout + said.stderr)
        self.assertIn("or in fp16", said.stdout + said.stderr)

    def test_bf16_needs_a_card_that_has_it(self):
        said = self.train("old_card", "train.precision=bf16", "train.max_steps=2", CAPABILITY="7.5").stderr
        self.assertIn("no bf16 units", said)
        said = self.train("new_card", "train.precision=bf16", "train.max_steps=2").stderr
        self.assertNotIn("no bf16 units", said)

    def test_fp16_on_a_card_without_bf16(self):
        fp16 = ("train.precision=fp16", "train.max_steps=24", "checkpoint.every_steps=4")
        said = self.train("fp16", *fp16, CAPABILITY="7.5").stderr
        self.assertNotIn("instead", said)
        steps = [line for line in self.world.metrics("fp16") if line["kind"] == "train"]
        skipped = [line for line in steps if line.get("skipped")]
        scales = [line["loss_scale"] for line in steps]
        self.assertEqual(scales[0], 32768 if skipped and skipped[0]["step"] == 1 else 65536)
        for line, before, after in zip(steps, [65536, *scales], scales):
            self.assertEqual(after, before / 2 if line.get("skipped") else before)
        if skipped:
            self.assertIn(f"{len(skipped)} updates were skipped", said)
        self.train("fp32", "train.precision=fp32", "train.max_steps=24", CAPABILITY="7.5")
        exact = [line["loss"] for line in self.world.metrics("fp32") if line["kind"] == "train"]
        self.assertAlmostEqual(steps[0]["loss"], exact[0], delta=0.01 * exact[0])
        self.train("fp16_lost", *fp16, CAPABILITY="7.5", LOSE_AFTER=9000, code=1)
        self.assertIn("resuming from", self.train("fp16_lost", *fp16, CAPABILITY="7.5").stderr)
        for name in ("weights", "optimizer"):
            self.assertEqual(*((self.world.checkpoint(run) / f"{name}.safetensors").read_bytes() for run in ("fp16", "fp16_lost")))

    def test_tf32_is_for_the_steps_or_for_the_cache(self):
        self.train("plain", "train.precision=fp32", "train.max_steps=2")
        caches = set((self.world.root / "cache").glob("reference-*"))
        said = self.train("tf32", "train.precision=fp32", "train.tf32=true", "train.max_steps=2").stderr
        self.assertNotIn("have TF32", said)
        self.assertEqual(set((self.world.root / "cache").glob("reference-*")), caches)
        self.train("cached", "train.precision=fp32", "data.reference_tf32=true", "train.max_steps=2")
        self.assertGreater(len(set((self.world.root / "cache").glob("reference-*"))), len(caches))
        said = self.train("too_old", "train.precision=fp32", "train.tf32=true", "train.max_steps=2", CAPABILITY="7.5").stderr
        self.assertIn("train.tf32: only CUDA cards of compute capability 8.0 or more have TF32", said)

    def test_the_memory_of_the_card_is_predicted(self):
        said = self.train("roomy", "train.max_steps=4").stderr
        self.assertIn("CUDA itself", said)
        self.assertNotIn("this run needs about", said)
        plan = json.loads((self.world.root / "runs/roomy/environment.json").read_text())["plan"]
        predicted = plan["device_bytes"] - CUDA_ITSELF
        peak = max(line["device_peak_bytes"] for line in self.world.metrics("roomy") if line["kind"] == "train")
        self.assertGreater(predicted, 0.8 * peak)
        self.assertLess(predicted, 3 * peak)  # a toy's batch and adapters are small beside what is counted in any case
        said = self.train("tight", "train.max_steps=4", LIMIT_MIB=500).stderr
        self.assertRegex(said, r"this run needs about .* where 500.0 MiB of 500.0 MiB are free: lower train.micro_batch_size")

    def test_the_second_card(self):
        first = self.train("first", "train.max_steps=3")
        self.assertIn("cuda:0", first.stderr)
        second = self.train("second", "train.max_steps=3", arguments=("--device", "cuda:1"))
        self.assertIn("cuda:1", second.stderr)

    def test_too_little_memory(self):
        large = ("model.image_size=96", "checkpoint.every_steps=2")
        said = self.train("small", *large, LIMIT_MIB=1, code=6).stderr
        for word in ("out of memory", "train.micro_batch_size", "train.recompute: blocks", "--resume auto"):
            self.assertIn(word, said)
        self.train("small", *large, LOSE_AFTER=6000, code=1)
        step = self.world.checkpoint("small").name
        said = self.train("small", *large, LIMIT_MIB=4, code=6).stderr
        self.assertIn("resuming from", said)
        self.assertGreaterEqual(self.world.checkpoint("small").name, step)
        self.assertIn("resuming from", self.train("small", *large, "train.recompute=blocks").stderr)

    def test_too_little_memory_for_a_validation(self):
        tight = ("model.image_size=96", "train.batch_size=1", "train.micro_batch_size=1", "train.max_steps=24", "checkpoint.every_steps=2")
        said = self.train("validated", *tight, LIMIT_MIB=4, code=6).stderr
        self.assertIn("checkpoints are intact", said)
        self.assertEqual(self.world.checkpoint("validated").name, "step_00000022")
        self.assertIn("resuming from", self.train("validated", *tight).stderr)

    def test_a_device_lost_in_the_middle(self):
        keep = ("checkpoint.every_steps=2",)
        said = self.train("lost", *keep, LOSE_AFTER=6000, code=1).stderr
        self.assertIn("the device failed, not the run", said)
        self.assertTrue(self.world.checkpoint("lost").exists())
        said = self.train("lost", *keep).stderr
        self.assertIn("resuming from", said)
        self.train("whole", *keep)
        losses = [[line["loss"] for line in self.world.metrics(name) if line["kind"] == "train"] for name in ("lost", "whole")]
        self.assertEqual(*losses)


if __name__ == "__main__":
    main()
