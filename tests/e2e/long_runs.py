"""Runs that are stopped: by a time limit, by signals at any moment of any command, by a batch queue.

    long_runs.py --program build/release/saferclip [unittest arguments]

SAFERCLIP_SIGNALS=N sends N signals to each command instead of a few.
"""
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from world import World, WorldCase, file_hash, main, sets, tower

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/soak"))
import memory  # noqa: E402

SIGNALS = int(os.environ.get("SAFERCLIP_SIGNALS", "3"))
OUT_OF_TIME = 75


def temporaries(folder):
    return [str(p) for p in folder.rglob(".*") if ".tmp-" in p.name]


class LongRuns(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        w.train("whole")

    def test_max_time_saves_and_goes_on(self):
        codes = []
        while codes[-1:] != [0]:
            limit = f"{1 + len(codes) // 4}s"  # longer after a while: a busy machine may not reach a step
            codes.append(self.world.train("limited", "--resume", "auto", "--max-time", limit, "--set", "train.max_steps=400",
                                          "--set", "schedule.name=constant", code=None).returncode)
            self.assertIn(codes[-1], (0, OUT_OF_TIME))
            self.assertLess(len(codes), 60)
        self.assertIn(OUT_OF_TIME, codes)
        self.world.train("unlimited", "--set", "train.max_steps=400", "--set", "schedule.name=constant")
        self.assert_same_run("limited", "unlimited")

    def test_max_time_is_a_time(self):
        said = self.world.train("never", "--max-time", "55", code=2).stderr
        self.assertIn("--max-time 55: expected a time such as 55m", said)
        self.world.train("never", "--max-time", "0s", code=2)
        self.assertFalse((self.world.root / "runs" / "never").exists())

    def signalled(self, rng, duration, *arguments, number=signal.SIGTERM):
        """Runs a command and sends it a signal at a random moment; returns its exit code."""
        process = self.world.start(*arguments)
        time.sleep(rng.random() * duration)
        process.send_signal(number)
        sent = time.monotonic()
        code = process.wait(timeout=60)
        self.assertLess(time.monotonic() - sent, 30)
        # Before main() begins, nobody has set up anything: the signal's own way to end a process.
        self.assertIn(code, (0, 128 + number, -number), arguments)
        return code

    def test_signals_at_any_moment_of_commands_that_write_files(self):
        w = self.world
        rng = random.Random(5)
        commands = {
            "export": (lambda out: ("export", "runs/whole", "--to", "hf", "--out", out), "model.safetensors"),
            "openai": (lambda out: ("export", "runs/whole", "--to", "openai", "--out", out), "model.pt"),
            "embed": (lambda out: ("embed", "base", "--texts", "a", "b", "--out", out), None),
            "targets": (lambda out: ("targets", "safe.yaml", "--csv", out), None),
            "evaluate": (lambda out: ("evaluate", "runs/whole", "--split", "train", "--out", out), None),
            "report": (lambda out: ("report", "runs/whole", "--out", out), None)}
        for name, (command, file) in commands.items():
            began = time.monotonic()
            w.run(*command(f"{name}.whole.csv"))
            duration = time.monotonic() - began
            whole = w.root / f"{name}.whole.csv"
            files = sorted(p.relative_to(whole) for p in whole.rglob("*")) if file else [pathlib.Path()]
            for i in range(SIGNALS):
                out = w.root / f"{name}.{i}.csv"
                number = rng.choice((signal.SIGTERM, signal.SIGINT))
                code = self.signalled(rng, duration, *command(out.name), number=number)
                self.assertEqual(temporaries(w.root), [], name)
                if code == 0:
                    self.assertTrue(out.exists())
                if out.exists():
                    self.assertEqual(sorted(p.relative_to(out) for p in out.rglob("*")) if file else [pathlib.Path()], files)
                    if name not in ("report", "evaluate"):  # those hold times and folders
                        check = out / file if file else out
                        self.assertEqual(file_hash(check), file_hash(whole / file if file else whole), name)

    def test_signals_at_any_moment_of_prepare(self):
        w = self.world
        rng = random.Random(6)
        began = time.monotonic()
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=whole_cache")
        duration = time.monotonic() - began
        for _ in range(SIGNALS):
            self.signalled(rng, duration, "prepare", "safe.yaml", "--set", "data.cache_dir=stopped_cache")
            self.assertEqual(temporaries(w.root), [])
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=stopped_cache")
        self.assert_same_artifacts("stopped_cache", "whole_cache")

    def test_signals_at_any_moment_of_train(self):
        """In its preparation, its steps, its validations and its saves; each run goes on where the one before was stopped."""
        w = self.world
        rng = random.Random(7)
        # Embedding row by row makes validations the longest part: a stopped one must be made again.
        changes = ("--set", "train.max_steps=150", "--set", "evaluate.every_epochs=1", "--set", "evaluate.batch_size=1",
                   "--set", "evaluate.bootstrap=0", "--set", "schedule.name=constant")
        command = ("train", "safe.yaml", "--set", "run.name=signalled", "--set", "data.cache_dir=signalled_cache", "--resume", "auto",
                   *changes)
        latest = w.root / "runs" / "signalled" / "checkpoints" / "latest"
        w.train("undisturbed", *changes)
        codes, in_validation = [], 0
        for _ in range(10):  # as often as it takes to hit a validation and to see both signals
            shutil.rmtree(w.root / "runs" / "signalled", ignore_errors=True)
            for sent in range(40 * SIGNALS):
                number = rng.choice((signal.SIGTERM, signal.SIGINT))
                codes.append(self.signalled(rng, 0.4 + 0.04 * sent + 2 / SIGNALS, *command, number=number))
                self.assertEqual(temporaries(w.root / "runs" / "signalled"), [])
                if codes[-1] == 0:
                    break
                if latest.exists():
                    in_validation += json.loads((w.checkpoint("signalled") / "state.json").read_text())["awaits_validation"]
            w.run(*command)
            self.assert_same_run("signalled", "undisturbed")
            if in_validation and {130, 143} <= set(codes):
                return
        self.fail(f"{in_validation} stops in a validation, exit codes {set(codes)}")

    def test_the_second_interrupt_ends_at_once(self):
        w = self.world
        os.mkfifo(w.root / "pipe.jsonl")  # whose reading never begins: nobody asks for the first one
        process = w.start("prepare", "safe.yaml", "--set", "data.train=pipe.jsonl")
        time.sleep(1.5)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=10), 130)

    def test_waiting_for_another_preparer_is_interrupted(self):
        w = self.world
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=held")
        folder = next((w.root / "held").glob("reference-*"))
        (folder / "manifest.json").unlink()
        with open(folder / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen([World.program, "prepare", "safe.yaml", "--set", "data.cache_dir=held"], cwd=w.root,
                                       stderr=subprocess.PIPE, text=True)
            while "another process is preparing this" not in process.stderr.readline():
                self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=10), 143)
            process.stderr.close()


@unittest.skipIf(os.environ.get("SAFERCLIP_SANITIZED"), "a sanitizer's own memory is not predicted")
class Memory(unittest.TestCase):
    def test_the_dry_run_predicts_the_peak(self):
        """Within a quarter, for models small enough for a test; tests/soak/memory.py measures larger ones within a fifth."""
        with tempfile.TemporaryDirectory() as folder:
            world = World(pathlib.Path(folder))
            wide = lambda **extra: dict(tower(**extra), hidden_size=384, intermediate_size=1536, num_hidden_layers=6,
                                        num_attention_heads=6)
            (world.root / "model.json").write_text(json.dumps(dict(
                model_type="clip", projection_dim=64, text_config=wide(max_position_embeddings=16, vocab_size=514),
                vision_config=wide(image_size=112, patch_size=16))))
            world.make_base("train.max_steps=1")
            for name, settings in (("lora", ["train.micro_batch_size=24", "train.precision=bf16", "adapter.dropout=0"]),
                                   ("full", ["adapter={method: full}", "train.micro_batch_size=24"]),
                                   ("blocks", ["adapter={method: full}", "train.micro_batch_size=24", "train.recompute=blocks"])):
                arguments = ["safe.yaml", *sets("train.batch_size=24", *settings)]
                predicted, measured, parts = memory.measure(World.program, arguments, "runs", name, 3, cwd=world.root)
                self.assertAlmostEqual(predicted / measured, 1, delta=0.25, msg=f"{name}: {parts}")


class Queue(unittest.TestCase):
    """scripts/slurm/saferclip.sbatch with a program and an scontrol that only write down what is asked of them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("scontrol", 'echo "$@" >> requeued')

    def write(self, name, body):
        path = self.root / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def job(self, program, restarts=0):
        self.write("program", program)
        environment = {**os.environ, "PATH": f"{self.root}:{os.environ['PATH']}", "SAFERCLIP": "./program", "SLURM_JOB_ID": "17",
                       "SLURM_CPUS_PER_TASK": "4", "SLURM_RESTART_COUNT": str(restarts)}
        return subprocess.Popen(["bash", SOURCE / "scripts/slurm/saferclip.sbatch", "my.yaml", "--set", "a.b=1"], cwd=self.root,
                                env=environment, stderr=subprocess.DEVNULL)

    def requeued(self):
        file = self.root / "requeued"
        text = file.read_text() if file.exists() else ""
        file.unlink(missing_ok=True)
        return text

    def test_codes_say_whether_the_job_goes_back(self):
        for code in (75, 143):
            self.assertEqual(self.job(f'echo "$@" > asked; exit {code}').wait(), code)
            self.assertEqual(self.requeued(), "requeue 17\n")
        self.assertEqual((self.root / "asked").read_text(), "--threads 4 train my.yaml --set a.b=1 --resume auto\n")
        for code in (0, 1, 2, 3, 4, 5, 130, 137):
            self.assertEqual(self.job(f"exit {code}").wait(), code)
            self.assertEqual(self.requeued(), "")

    def test_a_run_that_gets_nowhere_ends(self):
        self.assertEqual(self.job("exit 75", restarts=100).wait(), 75)
        self.assertEqual(self.requeued(), "")

    def test_the_signal_reaches_the_program(self):
        job = self.job('trap "touch saved; sleep 0.3; exit 143" TERM; touch ready; while :; do sleep 0.05; done')
        while not (self.root / "ready").exists():
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(), 143)
        self.assertTrue((self.root / "saved").exists())
        self.assertEqual(self.requeued(), "requeue 17\n")

    def test_the_real_program_in_a_job(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        world = World(pathlib.Path(folder.name))
        shutil.copy(self.root / "scontrol", world.root)
        environment = {**os.environ, "PATH": f"{world.root}:{os.environ['PATH']}", "SAFERCLIP": World.program, "SLURM_JOB_ID": "18",
                       "SLURM_CPUS_PER_TASK": "1"}
        job = subprocess.Popen(["bash", SOURCE / "scripts/slurm/saferclip.sbatch", "base.yaml", "--set", "run.name=job", "--set",
                                "train.max_steps=1000000"], cwd=world.root, env=environment, stderr=subprocess.DEVNULL)
        while not (world.root / "runs/job/metrics.jsonl").exists():
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(timeout=30), 143)
        self.assertEqual((world.root / "requeued").read_text(), "requeue 18\n")
        self.assertTrue((world.checkpoint("job") / "state.json").exists())


if __name__ == "__main__":
    main()
