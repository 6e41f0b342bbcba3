"""TensorBoard's own package reads the event files of a run: every number and histogram of metrics.jsonl, each step once, also
after a kill.

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
import numpy  # noqa: E402
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
        reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
        reader.Reload()
        self.histograms = {tag: [(e.step, e.histogram_value) for e in reader.Histograms(tag)] for tag in reader.Tags()["histograms"]}
        found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
        return found

    def assert_equal_to_the_log(self, name):
        expected = {}
        for line in self.world.metrics(name):
            group = "train" if line["kind"] == "train" else "validation"
            for tag, value in numbers(group, {key: v for key, v in line.items() if key not in ("kind", "step", "histograms")}).items():
                expected.setdefault(tag, []).append((line["step"], value))
        found = self.events(name)
        self.assertEqual(set(found), set(expected))
        for tag, points in expected.items():
            self.assertEqual([step for step, _ in found[tag]], [step for step, _ in points], tag)
            for (_, value), (_, wanted) in zip(found[tag], points, strict=True):
                self.assertTrue(math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-30), (tag, value, wanted))
        self.assert_histograms_of_the_log(name)
        return found

    def assert_histograms_of_the_log(self, name):
        expected = {}
        for line in self.world.metrics(name):
            for kind, histogram in line.get("histograms", {}).get("target_cosine", {}).items():
                expected.setdefault(f"validation/target_cosine/{kind}", []).append((line["step"], histogram))
        self.assertEqual(set(self.histograms), set(expected))
        for tag, points in expected.items():
            self.assertEqual([step for step, _ in self.histograms[tag]], [step for step, _ in points], tag)
            for (_, found), (_, wanted) in zip(self.histograms[tag], points, strict=True):
                self.assertEqual([found.min, found.max, found.num, found.sum, found.sum_squares, list(found.bucket_limit), list(found.bucket)],
                                 [wanted[key] for key in ("min", "max", "num", "sum", "sum_squares", "limits", "counts")])

    def embedded(self, model, *words):
        self.world.run("embed", model, *words, "--out", "rows.npy")
        return numpy.load(self.world.root / "rows.npy").astype(numpy.float64)

    def test_histograms_are_of_the_cosines_to_the_targets(self):
        """Counted anew from the embeddings of the last checkpoint and of the base."""
        w = self.world
        w.train("measured", *ON)
        last = [line for line in w.metrics("measured") if line["kind"] == "evaluation"][-1]
        self.assertEqual(last["step"], 40)
        rows = {row["id"]: row for row in map(json.loads, (w.root / "train.jsonl").read_text().splitlines())}
        targets = json.loads(w.run("targets", "safe.yaml", "--json").stdout)["targets"]
        shown = [row for row in targets if "unsafe_image" in rows[row["id"]]]
        for kind, option, unsafe, safe in (
                ("text", "--texts", [row["unsafe_caption"] for row in targets], [row["target_caption"] for row in targets]),
                ("image", "--images", [rows[row["id"]]["unsafe_image"] for row in shown], [rows[row["target_id"]]["safe_image"] for row in shown])):
            cosines = (self.embedded("runs/measured", option, *unsafe) * self.embedded("base", option, *safe)).sum(1)
            found = last["histograms"]["target_cosine"][kind]
            self.assertEqual(found["num"], len(unsafe))
            for name, wanted in (("min", cosines.min()), ("max", cosines.max()), ("sum", cosines.sum()), ("sum_squares", (cosines ** 2).sum())):
                self.assertAlmostEqual(found[name], wanted, delta=1e-4, msg=(kind, name))
            self.assertEqual(sum(found["counts"]), found["num"])
            edges = [found["limits"][0] - 0.02, *found["limits"]]
            self.assertGreaterEqual(found["min"], edges[0] - 1e-9)
            near = numpy.abs(cosines[:, None] - numpy.array(edges)).min() < 1e-5  # rounding may move such a value to the next bucket
            if not near:
                self.assertEqual(numpy.histogram(cosines, edges)[0].tolist(), found["counts"])

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
