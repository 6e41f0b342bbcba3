"""Runs whose moments are shared out among processes (train.shard_optimizer) beside runs in which each process has them all.

    shards.py --program build/release/saferclip [unittest arguments]
"""
import pathlib
import signal
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "e2e")]
from training import PROMISED, SharedCase  # noqa: E402
from world import main, sets  # noqa: E402

FULL = ("adapter={method: full}", "optimizer.lr=1e-3", "train.grad_clip=1", "checkpoint.every_minutes=0")
SHARDED = "train.shard_optimizer=true"


class Shards(SharedCase):
    def test_the_numbers_are_the_same(self):
        for name, size, settings in (("full-2", 2, FULL), ("full-3", 3, FULL), ("lora-2", 2, FULL[2:])):
            self.train_shared(f"{name}-whole", size, *settings, "train.max_steps=12")
            self.train_shared(f"{name}-sharded", size, *settings, "train.max_steps=12", SHARDED)
            self.assert_same_run(f"{name}-sharded", f"{name}-whole")

    def test_resumption(self):
        """From a shard's checkpoint by whole moments, by other shards and the other way round."""
        self.train_shared("whole", 2, *FULL)
        for name, first, then in (("on", (), (SHARDED,)), ("off", (SHARDED,), ()), ("both", (SHARDED,), (SHARDED,))):
            group = self.group(name, 2, *FULL, *first)
            self.wait_for_steps(name, 8, group)
            group.processes[1].send_signal(signal.SIGTERM)
            self.assertEqual([end[0] for end in group.end(PROMISED)], [143, 143])
            self.train_shared(name, 2, *FULL, *then, arguments=("--resume", "auto"))
            self.assert_same_run(name)
        group = self.group("fewer", 3, *FULL, SHARDED)
        self.wait_for_steps("fewer", 8, group)
        group.processes[0].send_signal(signal.SIGTERM)
        group.end(PROMISED)
        self.world.run("train", "safe.yaml", "--resume", "auto", *sets("run.name=fewer", *FULL, SHARDED))
        self.assertEqual([line["step"] for line in self.steps("fewer")], list(range(1, 41)))

    def test_saves_by_time(self):
        """The first process asks for them, and all take part."""
        group = self.group("timed", 2, *FULL[:3], SHARDED, "checkpoint.every_minutes=0.01", "checkpoint.every_steps=0",
                           "checkpoint.keep_last=100", "train.max_steps=400", "evaluate.every_epochs=0")
        ends = group.end()
        self.assertEqual([end[0] for end in ends], [0, 0], ends)
        folders = sorted((self.world.root / "runs/timed/checkpoints").glob("step_*"))
        self.assertGreater(len(folders), 1)


if __name__ == "__main__":
    main()
