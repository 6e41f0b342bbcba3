"""The processes of a run among themselves: operations, agreement, the death of each, a stopped one, torchrun and Slurm.

    distributed.py --program build/release/tests/distributed_process [--torchrun .venv/bin/torchrun]
                   [--fake-cuda build/release/tests/gpu/libfake_cuda.so] [unittest arguments]
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LAUNCHERS = re.compile(r"RANK|WORLD_SIZE|LOCAL_|MASTER_|SLURM_|TORCHELASTIC|GLOO_")
CLEAN = {name: value for name, value in os.environ.items() if not LAUNCHERS.match(name)}
PROMISED = 60  # seconds until all have ended after one was lost


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Group:
    """Processes that the test started, with what each said."""

    def __init__(self, environments, arguments, inside=None):
        """`inside`: for each process the command that runs it."""
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.processes = []
        for rank, environment in enumerate(environments):
            with open(self.folder / f"{rank}.out", "w") as out, open(self.folder / f"{rank}.err", "w") as err:
                command = [*(inside[rank] if inside else []), Base.program, *map(str, arguments)]
                self.processes.append(subprocess.Popen(command, env={**CLEAN, **environment}, stdout=out, stderr=err))

    def out(self, rank):
        return (self.folder / f"{rank}.out").read_text()

    def err(self, rank):
        return (self.folder / f"{rank}.err").read_text()

    def wait_for(self, text, ranks=None, stream="out"):
        deadline = time.monotonic() + PROMISED
        for rank in range(len(self.processes)) if ranks is None else ranks:
            while text not in (self.folder / f"{rank}.{stream}").read_text():
                assert time.monotonic() < deadline, f"rank {rank} did not say {text}: {self.out(rank)} {self.err(rank)}"
                time.sleep(0.02)

    def kill(self, rank):
        os.kill(int(re.search(r"pid (\d+)", self.out(rank))[1]), signal.SIGKILL)

    def codes(self):
        deadline = time.monotonic() + PROMISED
        return [process.wait(max(0.1, deadline - time.monotonic())) for process in self.processes]

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)


def by_hand(size, **more):
    port = str(free_port())
    return [{"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
             "MASTER_ADDR": "localhost", "MASTER_PORT": port, **more} for rank in range(size)]


class Base(unittest.TestCase):
    program = ""
    torchrun = ""
    fake_cuda = ""

    def start(self, environments, *arguments):
        group = Group(environments, arguments)
        self.addCleanup(group.end)
        return group

    def assert_ends(self, group, codes):
        found = group.codes()
        self.assertEqual(found, codes, "\n".join(f"rank {r}: {group.out(r)[-300:]} {group.err(r)}" for r in range(len(codes))))


class Processes(Base):
    def test_operations(self):
        for size in (1, 2, 3, 4):
            with self.subTest(size=size):
                group = self.start(by_hand(size), "check")
                self.assert_ends(group, [0] * size)
                self.assertEqual([group.err(rank) for rank in range(size)], [""] * size)

    def test_alone_without_a_launcher(self):
        self.assert_ends(self.start([{}], "check"), [0])
        batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "WORLD_SIZE": "8"}
        self.assert_ends(self.start([batch], "check"), [0])

    def test_half_a_launcher_is_an_error(self):
        group = self.start([{"RANK": "1"}], "check")
        self.assert_ends(group, [2])
        self.assertIn("WORLD_SIZE is not set", group.err(0))

    def test_slurm(self):
        job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_NTASKS": "8",
               "SLURM_STEP_TASKS_PER_NODE": "3", "SLURM_STEP_NODELIST": "localhost", "SLURM_NODEID": "0"}
        group = self.start([{**job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(3)], "check")
        self.assert_ends(group, [0, 0, 0])
        self.assertIn("rank 2 of 3", group.out(2))

    def test_differences_are_refused(self):
        group = self.start(by_hand(3), "disagree")
        self.assert_ends(group, [2, 2, 2])
        for rank in range(3):
            said = group.err(rank)
            self.assertIn("threads: 2 on ranks 0-1", said)
            self.assertIn("; 3 on rank 2", said)
            self.assertIn("1/train.jsonl on ranks 0-1", said)
            self.assertIn("train.augment: absent on ranks 0-1", said)
            self.assertNotIn("program: ", said)
            self.assertEqual(said.count("threads:"), 1)

    def test_other_number_of_processes_is_refused(self):
        environments = by_hand(2)
        environments[1]["WORLD_SIZE"] = "3"
        group = self.start(environments, "check")
        self.assertIn(2, group.codes())  # the other one may find the meeting point gone
        self.assertIn("start all with the same number", group.err(0) + group.err(1))

    def test_taken_port(self):
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            group = self.start([{**by_hand(2)[0], "MASTER_PORT": str(taken.getsockname()[1])}], "check")
            self.assert_ends(group, [2])
        self.assertIn("MASTER_PORT to a port that is free", group.err(0))

    def test_killed_at_the_start(self):
        group = self.start(by_hand(3)[:2], "check")  # rank 2 never comes
        time.sleep(3)
        group.processes[1].kill()
        self.assert_ends(group, [7, -signal.SIGKILL])
        self.assertIn("rank 1 on", group.err(0))
        self.assertIn("ended while the run was starting", group.err(0))

    def test_fake_devices(self):
        if not Base.fake_cuda:
            self.skipTest("needs --fake-cuda")
        group = self.start(by_hand(2, LD_PRELOAD=Base.fake_cuda, FAKE_CUDA_COUNT="2"), "check", "cuda")
        self.assert_ends(group, [0, 0])

    def test_cards(self):
        cards = shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.count("GPU ")
        if not cards or cards < 2 or "libtorch_cuda" not in subprocess.run(["ldd", Base.program], capture_output=True, text=True, check=True).stdout:
            self.skipTest("needs two cards and a CUDA build")
        for size in range(2, min(cards, 4) + 1):
            group = self.start(by_hand(size), "check", "cuda")
            self.assert_ends(group, [0] * size)
            self.assertIn("tensors go from card to card (NCCL)", group.err(0))

    def test_killed(self):
        for victim in range(3):
            with self.subTest(victim=victim):
                group = self.start(by_hand(3), "steps", 1000)
                group.wait_for("step 3\n")
                began = time.monotonic()
                group.kill(victim)
                codes = [7, 7, 7]
                codes[victim] = -signal.SIGKILL
                self.assert_ends(group, codes)
                self.assertLess(time.monotonic() - began, PROMISED)
                for rank in set(range(3)) - {victim}:
                    self.assertIn(f"rank {victim} on {socket.gethostname()} (127.0.0.1) was killed or crashed", group.err(rank))

    def test_killed_without_a_handler(self):
        group = self.start(by_hand(3), "unwatched")
        group.wait_for("step 3\n")
        group.kill(2)
        self.assert_ends(group, [7, 7, -signal.SIGKILL])
        for rank in (0, 1):
            self.assertRegex(group.err(rank), r"^rank 2 on .* was killed or crashed; .*\n$")

    def test_killed_while_others_wait(self):
        group = self.start(by_hand(3), "barrier", 1000)
        group.wait_for("missing 1\n", [1, 2])
        group.processes[0].kill()
        self.assert_ends(group, [-signal.SIGKILL, 7, 7])
        self.assertIn("rank 0 on", group.err(2))

    def test_error_of_one(self):
        group = self.start(by_hand(3), "fail")
        self.assert_ends(group, [3, 3, 3])
        self.assertIn("ended: row 7 is bad", group.err(0))
        self.assertEqual(group.err(1), "row 7 is bad\n")
        group = self.start(by_hand(3), "vanish")
        self.assert_ends(group, [1, 3, 1])
        self.assertIn("rank 1 on", group.err(2))

    def test_stopped_is_waited_for(self):
        groups = [self.start(by_hand(2), "steps", 10) for _ in range(2)]
        for victim, group in enumerate(groups):
            group.wait_for("step 3\n")
            group.processes[victim].send_signal(signal.SIGSTOP)
        time.sleep(5)
        for victim, group in enumerate(groups):
            self.assertIsNone(group.processes[1 - victim].poll())
            group.processes[victim].send_signal(signal.SIGCONT)
            self.assert_ends(group, [0, 0])
            self.assertEqual([group.err(0), group.err(1)], ["", ""])

    def test_request_to_stop_while_waiting(self):
        group = self.start(by_hand(2), "barrier", 1000)
        group.wait_for("missing 1\n", [1])
        group.processes[1].send_signal(signal.SIGTERM)
        self.assert_ends(group, [143, 143])
        self.assertIn("interrupted while waiting for other processes at the caches", group.err(1))
        # Before all are there.
        group = self.start(by_hand(2)[:1], "check")
        group.wait_for("waiting for rank 1", [0], "err")
        group.processes[0].send_signal(signal.SIGTERM)
        self.assert_ends(group, [143])
        self.assertIn("interrupted while waiting for rank 1", group.err(0))

    def run_torchrun(self, size, *arguments, code=0, options=()):
        if not pathlib.Path(Base.torchrun).exists():
            self.skipTest("torchrun is not installed")
        command = [Base.torchrun, "--no-python", f"--nproc-per-node={size}", f"--master-port={free_port()}", *options, Base.program]
        result = subprocess.run([*command, *map(str, arguments)], env=CLEAN, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def test_torchrun(self):
        for size in (1, 3):
            self.assertEqual(self.run_torchrun(size, "check").stdout.count("done\n"), size)

    def test_torchrun_restarts(self):
        # The agent's store keeps what the first attempt wrote.
        said = self.run_torchrun(2, "die_once", options=["--max-restarts=1"])
        self.assertEqual(said.stdout.count("done\n"), 2)
        self.assertIn("rank 1 on", said.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--torchrun", default="")
    parser.add_argument("--fake-cuda", default="", help="the library of tests/gpu")
    options, rest = parser.parse_known_args()
    Base.program = os.path.abspath(options.program)
    Base.torchrun = options.torchrun
    Base.fake_cuda = options.fake_cuda and os.path.abspath(options.fake_cuda)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
