"""TensorBoard's own package reads the event files of a run: every number of metrics.jsonl, each step once, also after a kill.

    tensorboard_clients.py --program build/release/saferclip [unittest arguments]
"""
import json
import math
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import Workspace, WorldCase, main  # noqa: E402

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader  # noqa: E402

ON = ("--set", "log.tensorboard=true")


def numbers(tag, value):
    """{tag: number} of a JSON value, with the keys on the way as groups."""
    if isinstance(value, dict):
        return {key: number for name, inner in value.items() for key, number in numbers(f"{tag}/{name}", inner).items()}
    return {tag: value} if isinstance(value, (int, float)) and not isinstance(value, bool) else {}


class Events(WorldCase):
    def events(self, name):
        """{tag: [(step, value)]}, as TensorBoard reads them."""
        folder = self.world.root / "runs" / name / "tensorboard"
        self.assertEqual(len(list(folder.iterdir())), 1)
        reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        reader.Reload()
        found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
        return found

    def assert_equal_to_the_log(self, name):
        expected = {}
        for line in self.world.metrics(name):
            group = "train" if line["kind"] == "train" else "validation"
            for tag, value in numbers(group, {key: v for key, v in line.items() if key not in ("kind", "step")}).items():
                expected.setdefault(tag, []).append((line["step"], value))
        found = self.events(name)
        self.assertEqual(set(found), set(expected))
        for tag, points in expected.items():
            self.assertEqual([step for step, _ in found[tag]], [step for step, _ in points], tag)
            for (_, value), (_, wanted) in zip(found[tag], points, strict=True):
                self.assertTrue(math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-30), (tag, value, wanted))
        return found

    def test_all_numbers_are_there(self):
        self.world.train("whole", *ON)
        found = self.assert_equal_to_the_log("whole")
        for tag in ("train/loss", "train/lr", "train/terms/uni_txt", "train/grad_norm"):
            self.assertEqual(len(found[tag]), 40, tag)
        self.assertTrue(any(tag.startswith("validation/after/") for tag in found), sorted(found))
        for file in (self.world.root / "runs/whole/tensorboard").iterdir():
            list(RawEventFileLoader(str(file)).Load())  # checks every checksum

    def test_killed_and_resumed(self):
        w = self.world
        words = [Workspace.program, "train", "safe.yaml", "--set", "run.name=killed", *ON]
        started = subprocess.Popen(words, cwd=w.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = w.root / "runs/killed/metrics.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (metrics.exists() and '"step":8,' in metrics.read_text()):
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
        started.wait()
        w.train("killed", "--resume", "auto", *ON)
        self.assert_equal_to_the_log("killed")

    def test_switched_on_later(self):
        """The file then has the steps before, too; switched off, a run writes none."""
        w = self.world
        w.train("later", "--set", "train.max_steps=400", "--max-time", "2s", code=75)
        self.assertFalse((w.root / "runs/later/tensorboard").exists())
        w.train("later", "--set", "train.max_steps=400", "--resume", "auto", *ON)
        self.assertEqual(len(self.assert_equal_to_the_log("later")["train/loss"]), 400)
        (w.root / "runs/later/tensorboard/mine.txt").write_text("kept out of the way")
        w.train("later", "--overwrite")
        self.assertFalse((w.root / "runs/later/tensorboard").exists())
        json.loads((w.root / "runs/later/environment.json").read_text())


if __name__ == "__main__":
    main()
