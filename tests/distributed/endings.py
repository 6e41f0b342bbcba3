"""What ends one process of a run and so all of them: a full disk, a stop in a validation, the time limit, torchrun's restarts.

    endings.py --program build/release/saferclip [--faults build/release/tests/libfile_faults.so]
               [--torchrun .venv/bin/torchrun] [unittest arguments]
"""
import argparse
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from training import PROMISED, SharedCase, free_port, sets
from world import Workspace

SETTINGS = ("checkpoint.every_minutes=0", "evaluate.batch_size=1")  # saves do not depend on the load; validations last
RESUMED = ("--resume", "auto")


def ranks_below(launcher):
    """{rank: process id} of the processes that torchrun has started."""
    found = {}
    for word in pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        environment = pathlib.Path(f"/proc/{word}/environ").read_bytes()
        rank = re.search(rb"(?:^|\0)RANK=(\d+)", environment)
        if rank:
            found[int(rank[1])] = int(word)
    return found


class Endings(SharedCase):
    faults = ""
    torchrun = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code = [end[0] for end in cls.start("whole").end()]
        assert code == [0, 0], code

    @classmethod
    def start(cls, name, size=2, more=(), **options):
        case = cls()
        return case.group(name, size, *SETTINGS, *more, arguments=RESUMED, **options)

    def assert_codes(self, ends, code):
        self.assertEqual([end[0] for end in ends], [code] * len(ends), "\n".join(end[1][-900:] for end in ends))

    def assert_saved_once(self, name, ends):
        """The first process says so, and its checkpoint is that of the last step."""
        self.assertEqual(["checkpoint saved" in said for _, said in ends], [True] + [False] * (len(ends) - 1), ends)
        saved = self.assert_whole_checkpoints(name)[-1]
        self.assertEqual([line["step"] for line in self.steps(name)], list(range(1, saved + 1)))
        return saved

    # --- a full disk
    def full(self, rank, path, at=1):
        """Environment in which this process finds the disk full at the `at`-th change of what begins with `path`, and from then on."""
        return {rank: dict(LD_PRELOAD=Endings.faults, FAULT_FOLDER=self.world.root / path, FAULT_KIND="write", FAULT_AT=at, FAULT_MODE="on",
                           FAULT_ERRNO=errno.ENOSPC)}

    def assert_ends_full(self, name, path, saved, **options):
        """Who finds it full says so, and the first process, which speaks for all."""
        began = time.monotonic()
        ends = self.start(name, **options).end(PROMISED)
        self.assertLess(time.monotonic() - began, PROMISED)
        self.assert_codes(ends, 1)
        for said in {ends[0][1], ends[next(iter(options["own_env"]))][1]}:
            for words in (str(self.world.root / path), os.strerror(errno.ENOSPC), "free some space"):
                self.assertIn(words, said)
        self.assertEqual(self.assert_whole_checkpoints(name)[-1], saved)

    def test_a_full_disk_of_one(self):
        """Of the first in the middle of a save; of another at its log, at its caches. Then the run goes on as if nothing had been."""
        if not Endings.faults:
            self.skipTest("needs --faults")
        save = "runs/full/checkpoints/.step_00000009"
        self.assert_ends_full("full", save, 6, own_env=self.full(0, save, at=20))
        log = "runs/full/train.rank1.log"
        self.assert_ends_full("full", log, 6, own_env=self.full(1, log))
        shutil.rmtree(self.world.root / "cache")
        machine = {"LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}  # each prepares for its own
        self.assert_ends_full("full", "cache", 6, env=machine, own_env={1: {**machine, **self.full(1, "cache")[1]}})
        self.assert_codes(self.start("full").end(), 0)
        self.assert_same_run("full")

    # --- stops
    def wait_for_validation(self, name, group):
        """Returns with the first process stopped in the validation after step 6; whether it was there in time."""
        self.wait_for_steps(name, 6, group)
        group.processes[0].send_signal(signal.SIGSTOP)
        lines = self.world.metrics(name)
        return lines[-1]["kind"] == "train" and lines[-1]["step"] == 6

    def test_a_stop_of_another_while_the_run_validates(self):
        for attempt in range(5):
            name = f"validating-{attempt}"
            group = self.start(name, 3)
            is_validating = self.wait_for_validation(name, group)
            group.processes[2].send_signal(signal.SIGTERM)
            time.sleep(0.2)
            group.processes[0].send_signal(signal.SIGCONT)
            ends = group.end(PROMISED)
            self.assert_codes(ends, 143)
            saved = self.assert_saved_once(name, ends)
            if is_validating:
                break
        self.assertTrue(is_validating, "no validation was hit")
        self.assertIn(saved, (6, 7))
        ends = self.start(name, 3).end()
        self.assert_codes(ends, 0)
        evaluated = lambda of: [line["step"] for line in self.world.metrics(of) if line["kind"] == "evaluation"]
        self.assertEqual(evaluated(name), evaluated("whole"))
        self.assertEqual([line["step"] for line in self.steps(name)], list(range(1, 41)))

    def test_the_time_limit_ends_all(self):
        """Given to all of them, then to one that is not the first."""
        long = ("train.max_steps=100000", "evaluate.every_epochs=0", "checkpoint.every_steps=1000")
        limit = ("--max-time", "2s")
        before = 0
        for changed in ({0: limit, 1: limit, 2: limit}, {2: limit}):
            ends = self.start("limited", 3, long, changed=changed).end(PROMISED)
            self.assert_codes(ends, 75)
            saved = self.assert_saved_once("limited", ends)
            self.assertGreater(saved, before)
            before = saved

    # --- restarts
    def test_torchrun_starts_all_again(self):
        if not os.path.exists(Endings.torchrun):
            self.skipTest("torchrun is not installed")
        command = [Endings.torchrun, "--no-python", "--nproc-per-node=2", "--max-restarts=2", f"--master-port={free_port()}",
                   Workspace.program, "--threads", "1", "train", "safe.yaml", *sets("run.name=again", *SETTINGS), *RESUMED]
        launcher = subprocess.Popen(command, cwd=self.world.root, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(launcher.stderr.close)
        log = self.world.root / "runs/again/metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (log.exists() and log.read_text().count('"kind":"train"') >= 8):
            self.assertIsNone(launcher.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        os.kill(ranks_below(launcher.pid)[1], signal.SIGKILL)
        said = launcher.communicate(timeout=120)[1]
        self.assertEqual(launcher.returncode, 0, said)
        self.assertEqual(said.count("2 processes: "), 2, said)
        self.assertRegex(said, r"resuming from .*step_\d+")
        self.assert_same_run("again")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--faults", default="", help="the library of tests/faults")
    parser.add_argument("--torchrun", default="")
    options, rest = parser.parse_known_args()
    Workspace.program = os.path.abspath(options.program)
    Endings.faults = options.faults and os.path.abspath(options.faults)
    Endings.torchrun = options.torchrun
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
