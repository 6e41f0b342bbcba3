"""A run on two machines, which are network namespaces joined by a switch: a cut cable, a dead switch, a slow link.

    two_machines.py --program build/release/tests/distributed_process [unittest arguments]

Needs root; skipped otherwise. Takes about five minutes, most of them spent waiting for cables.
"""
import argparse
import itertools
import os
import shutil
import subprocess
import sys
import time
import unittest

import distributed
from distributed import PROMISED, Base

NAMES = itertools.count()


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Machines:
    """Namespaces A and B, each with a cable to the switch."""

    def __init__(self):
        self.name = f"saferclip-{os.getpid()}-{next(NAMES)}"
        self.switch = f"{self.name}-switch"
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "ports", "type", "bridge")
        ip("-n", self.switch, "link", "set", "ports", "up")
        for letter, address in (("a", "10.99.0.1"), ("b", "10.99.0.2")):
            machine = f"{self.name}-{letter}"
            ip("netns", "add", machine)
            ip("-n", machine, "link", "set", "lo", "up")
            ip("-n", machine, "link", "add", "cable", "type", "veth", "peer", "name", f"port-{letter}", "netns", self.switch)
            ip("-n", machine, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", machine, "link", "set", "cable", "up")
            ip("-n", self.switch, "link", "set", f"port-{letter}", "master", "ports")
            ip("-n", self.switch, "link", "set", f"port-{letter}", "up")

    def inside(self, letter):
        """A command that runs the next one on a machine, under its own host name."""
        return ["ip", "netns", "exec", f"{self.name}-{letter}", "unshare", "--uts", "sh", "-c",
                f'echo machine-{letter} > /proc/sys/kernel/hostname; exec "$@"', "sh"]

    def cable(self, state):
        ip("-n", self.switch, "link", "set", "port-b", state)

    def switch_port(self, *state):
        """Taken out of the bridge, the port swallows everything while the cable looks sound."""
        ip("-n", self.switch, "link", "set", "port-b", *state)

    def remove(self):
        for end in ("a", "b", "switch"):
            subprocess.run(["ip", "netns", "del", f"{self.name}-{end}"], check=False)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip") and shutil.which("unshare"), "needs root, ip and unshare")
class TwoMachines(Base):
    def setUp(self):
        self.machines = Machines()
        self.addCleanup(self.machines.remove)

    def start_four(self, *arguments, first_address="10.99.0.1"):
        """Ranks 0 and 1 on machine A, 2 and 3 on B."""
        environments = [{"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(rank % 2), "LOCAL_WORLD_SIZE": "2",
                         "MASTER_ADDR": "10.99.0.1" if rank else first_address, "MASTER_PORT": "29500"} for rank in range(4)]
        group = distributed.Group(environments, arguments, [self.machines.inside("aabb"[rank]) for rank in range(4)])
        self.addCleanup(group.end)
        return group

    def test_operations(self):
        group = self.start_four("check")
        self.assert_ends(group, [0] * 4)
        self.assertEqual("".join(group.err(rank) for rank in range(4)), "")

    def test_first_machine_calls_itself_localhost(self):
        self.assert_ends(self.start_four("check", first_address="localhost"), [0] * 4)

    def test_killed(self):
        group = self.start_four("steps", 1000)
        group.wait_for("step 3\n")
        group.kill(2)
        codes = group.codes()
        self.assertEqual([codes[rank] for rank in (0, 1, 3)], [7] * 3)
        for rank in (0, 1, 3):
            self.assertIn("rank 2 on machine-b (10.99.0.2) was killed or crashed", group.err(rank))

    def lose(self, cut):
        group = self.start_four("steps", 100000)
        group.wait_for("step 20\n")
        began = time.monotonic()
        cut()
        self.assert_ends(group, [7] * 4)
        print(f"\nended {time.monotonic() - began:.0f} s after the cut: {group.err(0)}{group.err(3)}", file=sys.stderr)
        self.assertLess(time.monotonic() - began, PROMISED)
        for rank, other in ((0, "machine-b"), (1, "machine-b"), (2, "machine-a"), (3, "machine-a")):
            self.assertRegex(group.err(rank), f"rank . on {other} .* has not answered for 45 s")

    def test_cable_cut_for_good(self):
        self.lose(lambda: self.machines.cable("down"))

    def test_switch_dead_for_good(self):
        self.lose(lambda: self.machines.switch_port("nomaster"))

    def return_after_half_a_minute(self, cut, mend):
        group = self.start_four("steps", 60)
        group.wait_for("step 20\n")
        cut()
        time.sleep(30)
        self.assertEqual([process.poll() for process in group.processes], [None] * 4)
        mend()
        began = time.monotonic()
        self.assert_ends(group, [0] * 4)
        print(f"\nended {time.monotonic() - began:.0f} s after the repair", file=sys.stderr)

    def test_cable_cut_for_half_a_minute(self):
        self.return_after_half_a_minute(lambda: self.machines.cable("down"), lambda: self.machines.cable("up"))

    def test_switch_dead_for_half_a_minute(self):
        self.return_after_half_a_minute(lambda: self.machines.switch_port("nomaster"),
                                        lambda: self.machines.switch_port("master", "ports"))

    def test_slow_link(self):
        slow = ["ip", "netns", "exec", self.machines.switch, "tc", "qdisc", "add", "dev", "port-b", "root", "tbf", "rate", "2mbit",
                "burst", "16kb", "latency", "2s"]
        if subprocess.run(slow, check=False, capture_output=True).returncode != 0:
            self.skipTest("no traffic shaping here")
        began = time.monotonic()
        self.assert_ends(self.start_four("check"), [0] * 4)
        print(f"\nended after {time.monotonic() - began:.0f} s", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options, rest = parser.parse_known_args()
    Base.program = os.path.abspath(options.program)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
