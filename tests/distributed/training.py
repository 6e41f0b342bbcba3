"""Runs in several processes beside the same runs in one: numbers, resumption, stops, losses, refusals.

    training.py --program build/release/saferclip [unittest arguments]
"""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import Workspace, WorldCase, file_hash, main, read_safetensors, sets, tower  # noqa: E402

PROMISED = 60  # seconds until all have ended after one was lost
LOST = 7
SENTENCEPIECE = pathlib.Path(__file__).resolve().parents[1] / "fixtures/text/siglip/spiece.model"
PLAIN = ("adapter.dropout=0", "train.max_steps=20", "train.micro_batch_size=null", "optimizer.lr=1e-3")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Group:
    """Processes of one run."""

    def __init__(self, world, size, *arguments, changed=None, threads=None, env=None, own_env=None):
        """`changed`: {rank: arguments} that only this process gets; `threads` and `own_env`: {rank: of this process}."""
        port = str(free_port())
        self.processes = []
        for rank in range(size):
            variables = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size,
                         "MASTER_ADDR": "localhost", "MASTER_PORT": port, **(env or {}), **(own_env or {}).get(rank, {})}
            own = arguments + tuple((changed or {}).get(rank, ()))
            self.processes.append(subprocess.Popen(
                [Workspace.program, "--threads", (threads or {}).get(rank, "1"), "--device", "auto", *map(str, own)], cwd=world.root, text=True,
                env={**os.environ, **{k: str(v) for k, v in variables.items()}}, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def end(self, timeout=300):
        """Exit code and stderr of each process; `printed` is what each wrote to stdout."""
        deadline = time.monotonic() + timeout
        ends, self.printed = [], []
        try:
            for process in self.processes:
                printed, said = process.communicate(timeout=max(1, deadline - time.monotonic()))
                ends.append((process.returncode, said))
                self.printed.append(printed)
        except subprocess.TimeoutExpired as problem:
            for process in self.processes:
                process.kill()
            raise AssertionError(f"still running after {timeout} s: {[p.communicate()[1][-600:] for p in self.processes]}") from problem
        return ends


class SharedCase(WorldCase):
    """Ways to run in several processes; without tests."""

    def group(self, name, size, *settings, arguments=(), config="safe.yaml", **options):
        return Group(self.world, size, "train", config, *sets(f"run.name={name}", *settings), *arguments, **options)

    def train_shared(self, name, size, *settings, code=0, **options):
        ends = self.group(name, size, *settings, **options).end()
        self.assertEqual([end[0] for end in ends], [code] * size, "\n".join(end[1][-900:] for end in ends))
        return ends

    def steps(self, name):
        return [line for line in self.world.metrics(name) if line["kind"] == "train"]

    def wait_for_steps(self, name, count, group):
        log = self.world.root / "runs" / name / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (log.exists() and log.read_text().count('"kind":"train"') >= count):
            self.assertLess(time.monotonic(), deadline, f"{name} has no {count} steps")
            self.assertTrue(all(process.poll() is None for process in group.processes), group)
            time.sleep(0.01)

    def assert_whole_checkpoints(self, name):
        """Each file is as its checkpoint's manifest says. Returns the steps."""
        folders = sorted((self.world.root / "runs" / name / "checkpoints").glob("step_*"))
        for folder in folders:
            for file, entry in json.loads((folder / "manifest.json").read_text())["files"].items():
                self.assertEqual(file_hash(folder / file), entry["sha256"], folder / file)
        self.assertEqual(self.world.checkpoint(name), folders[-1])
        return [int(folder.name[5:]) for folder in folders]


class Training(SharedCase):
    def numbers(self, name):
        tensors = read_safetensors(self.world.checkpoint(name) / "weights.safetensors")
        numbers = {key: struct.unpack(f"<{len(data) // 4}f", data) for key, (_, _, data) in tensors.items()}
        # The gradient of a key's bias is zero but for rounding, which Adam turns into whole steps.
        for key in list(numbers):
            if key.endswith("k_proj.bias"):
                del numbers[key]
            elif key.endswith("in_proj_bias"):  # of queries, keys and values
                width = len(numbers[key]) // 3
                numbers[key] = numbers[key][:width] + numbers[key][2 * width:]
        return numbers

    def assert_same_training(self, name, other):
        """Every term of every step within 1e-6 relative of the values' size, the weights within 1e-5 relative."""
        ours, theirs = self.steps(name), self.steps(other)
        self.assertEqual(len(ours), len(theirs))
        for a, b in zip(ours, theirs):
            self.assertEqual(set(a["terms"]), set(b["terms"]))
            for term, value in [*b["terms"].items(), ("loss", b["loss"])]:
                found = a["loss"] if term == "loss" else a["terms"][term]
                self.assertAlmostEqual(found, value, delta=self.tolerance(b) * max(1, abs(value)), msg=f"step {b['step']}: {term}")
        ours, theirs = self.numbers(name), self.numbers(other)
        self.assertEqual(set(ours), set(theirs))
        apart = sum((x - y) ** 2 for key in theirs for x, y in zip(ours[key], theirs[key]))
        size = sum(y * y for values in theirs.values() for y in values)
        self.assertLess((apart / size) ** 0.5, 1e-5)

    @staticmethod
    def tolerance(line):
        return 1e-6 if line["step"] == 1 else 1e-5  # later steps start from weights that differ by rounding

    def assert_equal_in_any_number(self, name, *settings, sizes=(2, 3), config="safe.yaml"):
        alone = f"{name}-1"
        self.world.run("train", config, *sets(f"run.name={alone}", *settings))
        for size in sizes:
            self.train_shared(f"{name}-{size}", size, *settings, config=config)
            self.assert_same_training(f"{name}-{size}", alone)

    def test_lora_with_anchors_and_batch_terms(self):
        self.assert_equal_in_any_number("lora", *PLAIN, "objective.mutual_negatives=batch", "objective.weights.pres_sim_txt=1",
                                        "objective.pres_sim.form=distribution", sizes=(2, 3, 4))

    def test_all_weights(self):
        self.assert_equal_in_any_number("full", *PLAIN, "adapter={method: full}", "optimizer.lr=1e-4", sizes=(2, 3, 4))

    def test_masks(self):
        """Over so few steps that no score comes to lie on the threshold, where rounding would decide."""
        masks = (*PLAIN, "adapter={method: mask, rank: null}", "optimizer.lr=2e-3", "schedule.name=constant", "train.max_steps=4",
                 "schedule.warmup_steps=0", "adapter.norm_weight=1e-6")
        self.assert_equal_in_any_number("mask", *masks, "adapter.gradient_dropout.enabled=false")
        self.world.run("train", "safe.yaml", *sets("run.name=dropped-1", *masks))
        self.train_shared("dropped-2", 2, *masks, "train.shard_optimizer=true")
        self.assertIn("general_kl", self.steps("dropped-2")[-1]["terms"])
        # Rounding decides what is dropped where both gradients are as small.
        for line, other in zip(self.steps("dropped-2"), self.steps("dropped-1")):
            self.assertAlmostEqual(line["loss"], other["loss"], delta=1e-3)
            self.assertAlmostEqual(line["masked_fraction"], other["masked_fraction"], delta=0.01)
        self.assertGreater(self.steps("mask-2")[-1]["masked_fraction"], 0)

    def test_the_logit_scale_is_counted_once(self):
        self.assert_equal_in_any_number("clip", "train.max_steps=20", "train.batch_size=7", config="base.yaml")

    def test_the_scalars_of_hysac_are_counted_once(self):
        settings = ("objective={name: hysac}", "schedule.name=constant")
        self.assert_equal_in_any_number("hysac", *PLAIN, *settings, sizes=(2, 3))
        self.assert_equal_in_any_number("hysac-cached", *PLAIN[:2], *PLAIN[3:], *settings, "train.micro_batch_size=2",
                                        "train.gradient_cache=true", sizes=(2,))

    def test_a_batch_smaller_than_the_processes_and_an_uneven_last_one(self):
        self.assert_equal_in_any_number("small", *PLAIN, "train.batch_size=23", "train.max_steps=3", sizes=(2,))
        self.assert_equal_in_any_number("tiny", *PLAIN, "train.batch_size=2", "train.max_steps=6", sizes=(4,))
        # An anchor's gradient is rounding alone in the first step, and so are the steps of words that only anchors have.
        self.assert_equal_in_any_number("tiny-full", *PLAIN, "train.batch_size=2", "train.max_steps=6", "adapter={method: full}",
                                        "objective.weights.anchor_txt=0", sizes=(3, 4))

    def test_micro_batches_and_the_gradient_cache_in_a_slice(self):
        plain = PLAIN[:2] + PLAIN[3:]
        self.assert_equal_in_any_number("cache", *plain, "train.batch_size=9", "train.micro_batch_size=2", "train.gradient_cache=true")
        self.world.run("train", "safe.yaml", *sets("run.name=parts-1", *PLAIN, "train.batch_size=8"))
        self.train_shared("parts-2", 2, *plain, "train.batch_size=8", "train.micro_batch_size=2",
                          "objective.weights.pres_cross_img=0", "objective.weights.pres_cross_txt=0")
        self.world.run("train", "safe.yaml", *sets("run.name=parts-1b", *plain, "train.batch_size=8", "train.micro_batch_size=2",
                                                   "objective.weights.pres_cross_img=0", "objective.weights.pres_cross_txt=0"))
        self.assert_same_training("parts-2", "parts-1b")

    def test_cropped_images(self):
        self.assert_equal_in_any_number("crops", *PLAIN, "data.augment=crop", sizes=(2,))

    def test_safe_clip(self):
        self.assert_equal_in_any_number("safe_clip", "objective={name: safe_clip}", *PLAIN, sizes=(3,))

    def test_shield_clip(self):
        rows = [json.loads(line) for line in (self.world.root / "train.jsonl").read_text().splitlines()]
        self.world.write_rows("labeled.jsonl", [{**row, "unsafe_caption_label": int(i % 4 != 0), "unsafe_image_label": int(i % 3 != 0)}
                                                 for i, row in enumerate(rows)])
        self.assert_equal_in_any_number("shield_clip", "objective={name: shield_clip, weights: {pres_spread_txt: 2, pres_local_img: 0.1}}",
                                        "data.train=labeled.jsonl", "train.batch_size=11", *PLAIN, sizes=(2, 3))

    def test_neighbors_in_one_batch(self):
        self.assert_equal_in_any_number("neighbors", *PLAIN, "objective.weights.pres_cet_txt=1", "objective.weights.pres_cet_img=1",
                                        "objective.pres_cet.threshold=0.99", sizes=(2,))

    def test_siglip(self):
        """The sigmoid loss on all weights, logit scale and bias; the sigmoid form of the preservation terms with LoRA."""
        root = self.world.root
        shape = lambda **extra: {**tower(**extra), "hidden_act": "gelu_pytorch_tanh"}
        (root / "siglip.json").write_text(json.dumps(dict(
            model_type="siglip", vision_config=shape(image_size=16, patch_size=8),
            text_config=shape(max_position_embeddings=16, vocab_size=400, projection_size=16))))
        base = (root / "base.yaml").read_text().replace("model.json, tokenizer: tokenizer", f"siglip.json, tokenizer: {SENTENCEPIECE}")
        (root / "siglip.yaml").write_text(base.replace("name: clip", "name: siglip"))
        self.assert_equal_in_any_number("siglip", "train.max_steps=20", "train.batch_size=7", config="siglip.yaml")
        self.world.run("export", "runs/siglip-1", "--to", "hf", "--out", "siglip")
        self.assert_equal_in_any_number("sigmoid", *PLAIN, "model.weights=siglip", "objective.pres_cross.form=sigmoid")

    def test_resumption(self):
        """On the same number to the bit, after SIGTERM to any process and after SIGKILL."""
        # Saves by time are off: how many there are must not depend on the machine's load.
        plain = ("checkpoint.every_minutes=0",)
        self.train_shared("whole", 2, *plain)
        for name, rank, sign in (("stopped", 1, signal.SIGTERM), ("killed", 1, signal.SIGKILL), ("first-killed", 0, signal.SIGKILL)):
            group = self.group(name, 2, *plain)
            self.wait_for_steps(name, 8, group)
            group.processes[rank].send_signal(sign)
            ends = group.end(PROMISED + 10)
            if sign == signal.SIGTERM:
                self.assertEqual([end[0] for end in ends], [143, 143], ends)
                self.assertIn("checkpoint saved", ends[0][1])
                self.assertNotIn("checkpoint saved", ends[1][1])
            else:
                self.assertEqual(ends[rank][0], -signal.SIGKILL)
                self.assertEqual(ends[1 - rank][0], LOST, ends[1 - rank][1])
                self.assertRegex(ends[1 - rank][1], rf"rank {rank} on .*--resume auto")
            said = self.train_shared(name, 2, *plain, arguments=("--resume", "auto"))[0][1]
            self.assertNotIn("bit-exact", said)
            self.assert_same_run(name)

    def test_resumption_on_another_number(self):
        """4, 2 and 3 processes in a row: each goes on with a warning where the one before was stopped."""
        for size, before, stop_at in ((4, None, 6), (2, 4, 18), (3, 2, None)):
            group = self.group("moved", size, arguments=("--resume", "auto"))
            if stop_at:
                self.wait_for_steps("moved", stop_at, group)
                group.processes[0].send_signal(signal.SIGTERM)
            ends = group.end()
            self.assertEqual([end[0] for end in ends], [143 if stop_at else 0] * size, ends)
            warning = f"{before} processes on cpu with 1 threads and now uses {size} processes on cpu with 1 threads"
            self.assertEqual(warning in ends[0][1], before is not None, ends[0][1])
            saved = self.assert_whole_checkpoints("moved")[-1]
            self.assertEqual([line["step"] for line in self.steps("moved")], list(range(1, saved + 1)))
        self.assertEqual(saved, 40)
        self.world.run("inspect", self.world.checkpoint("moved"))

    def test_one_speaks_and_each_keeps_its_log(self):
        ends = self.train_shared("spoken", 2)
        self.assertIn("2 processes: ", ends[0][1])
        self.assertRegex(ends[0][1], r"processes +2, which share each batch")
        self.assertEqual(ends[1][1], "")
        folder = self.world.root / "runs/spoken"
        self.assertIn("longest time a step waited", (folder / "train.log").read_text())
        self.assertIn("peak memory", (folder / "train.rank1.log").read_text())
        state = (self.world.checkpoint("spoken") / "state.json").read_text()
        self.assertIn('"processes": 2', state)

    def test_differences_are_refused_and_named(self):
        ends = self.group("unequal", 2, changed={1: sets("optimizer.lr=1e-3", "train.seed=7")}).end()
        self.assertEqual([end[0] for end in ends], [2, 2], ends)
        for word in ("optimizer.lr", "train.seed", "rank 1"):
            self.assertIn(word, ends[0][1])
        ends = self.group("threads", 2, threads={1: "2"}).end()
        self.assertEqual([end[0] for end in ends], [2, 2], ends)
        self.assertIn("threads", ends[0][1])

    def test_an_error_of_one_ends_all_with_its_code(self):
        ends = self.group("no-data", 2, "data.train=missing.jsonl").end()
        self.assertEqual([end[0] for end in ends], [3, 3], ends)
        rows = self.world.root / "broken.jsonl"
        rows.write_text('{"id": "1"}\n')
        ends = self.group("bad", 2, "data.train=broken.jsonl", "data.validation=broken.jsonl").end()
        self.assertEqual([end[0] for end in ends], [3, 3], ends)
        ends = self.group("diverged", 2, "optimizer.lr=1e30").end()
        self.assertEqual([end[0] for end in ends], [5, 5], ends)
        self.assertIn("not finite", ends[0][1])
        self.assertEqual(ends[1][1], "")

    def test_a_stopped_process_is_waited_for(self):
        group = self.group("slow", 2)
        self.wait_for_steps("slow", 5, group)
        group.processes[1].send_signal(signal.SIGSTOP)
        time.sleep(3)
        group.processes[1].send_signal(signal.SIGCONT)
        self.assertEqual([end[0] for end in group.end()], [0, 0])
        self.train_shared("quick", 2)
        self.assert_same_run("slow", "quick")

    def test_other_commands_run_in_the_first_process(self):
        ends = Group(self.world, 2, "targets", "safe.yaml").end()
        self.assertEqual([end[0] for end in ends], [0, 0], ends)
        self.assertIn("runs in one process", ends[1][1])


if __name__ == "__main__":
    main()
