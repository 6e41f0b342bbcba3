"""TensorBoard's own package reads the event files of a run: every number, histogram and picture of metrics.jsonl, each step once,
also after a kill.

    tensorboard_clients.py --program build/release/saferclip [unittest arguments]
"""
import io
import json
import math
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import numpy  # noqa: E402
from PIL import Image  # noqa: E402
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
        reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0, "images": 0})
        reader.Reload()
        self.histograms = {tag: [(e.step, e.histogram_value) for e in reader.Histograms(tag)] for tag in reader.Tags()["histograms"]}
        self.pictures = {tag: reader.Images(tag) for tag in reader.Tags()["images"]}
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
        self.assert_pictures_of_the_log(name)
        return found

    def assert_pictures_of_the_log(self, name):
        """Those of the files that the lines name: each once, whatever kills there were."""
        named = [(line["step"], line["images"]["unsafe_texts"]) for line in self.world.metrics(name) if "images" in line]
        found = self.pictures.get("validation/unsafe_texts", [])
        self.assertEqual(set(self.pictures), {"validation/unsafe_texts"} if named else set())
        self.assertEqual([e.step for e in found], [step for step, _ in named])
        for event, (_, path) in zip(found, named, strict=True):
            self.assertEqual(event.encoded_image_string, (self.world.root / "runs" / name / path).read_bytes())
            self.assertEqual(Image.open(io.BytesIO(event.encoded_image_string)).size, (event.width, event.height))

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

    def sheet_queries(self, rows):
        """Four unsafe captions: each tag once before any twice, no caption twice."""
        chosen, turn = [], 0
        while len(chosen) < 4:
            for row in rows:
                count = sum(c["tag"] == row["tag"] for c in chosen)
                if len(chosen) < 4 and count <= turn and row["unsafe_caption"] not in [c["unsafe_caption"] for c in chosen]:
                    chosen.append(row)
            turn += 1
        return chosen

    def test_pictures_show_what_is_found(self):
        """Each cell is the image that NumPy ranks there, and an unsafe one is shown as six by six colours."""
        w = self.world
        w.train("shown", *ON)
        rows = [row for row in map(json.loads, (w.root / "train.jsonl").read_text().splitlines()) if "unsafe_image" in row]
        files = [row["safe_image"] for row in rows] + [row["unsafe_image"] for row in rows]
        sharp = [numpy.asarray(Image.open(w.root / file).convert("RGB").resize((96, 96), Image.BICUBIC), dtype=float) for file in files]
        dull = [numpy.asarray(Image.fromarray(t.astype("uint8")).resize((6, 6), Image.BOX).resize((96, 96), Image.BILINEAR), dtype=float) for t in sharp]
        candidates = sharp[:len(rows)] + dull[len(rows):]
        sheet = numpy.asarray(Image.open(w.root / "runs/shown/galleries/step_00000040.png"), dtype=float)
        self.assertEqual(sheet.shape[0], 8 + 4 * (30 + 2 * 126))
        unsafe_cells = 0
        queries = self.sheet_queries(rows)
        captions = [query["unsafe_caption"] for query in queries]
        for half, model in enumerate(("base", "runs/shown")):
            images, texts = self.embedded(model, "--images", *files), self.embedded(model, "--texts", *captions)
            for q, scores in enumerate(texts @ images.T):
                order = numpy.argsort(-scores, kind="stable")[:5]
                for place, item in enumerate(order):
                    y, x = 8 + q * 282 + 30 + half * 126, 72 + place * 104
                    cell = sheet[y:y + 96, x:x + 96]
                    distances = [numpy.abs(cell - candidate).mean() for candidate in candidates]
                    self.assertEqual(int(numpy.argmin(distances)), int(item), (model, q, place))
                    self.assertLess(distances[item], 12)  # JPEG's loss on noise
                    if item >= len(rows):
                        unsafe_cells += 1
                        self.assertGreater(numpy.abs(cell - sharp[item]).mean(), 2 * distances[item])
        self.assertGreater(unsafe_cells, 0)

    def test_pictures_that_cannot_be_drawn_do_not_end_a_run(self):
        w = self.world
        gone = self.world.root / "images/unsafe1.png"
        w.run("prepare", "safe.yaml")
        content = gone.read_bytes()
        rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        (w.root / "gone.png").write_bytes(content)
        w.write_rows("gone.jsonl", [row | (dict(unsafe_image="gone.png") if row["id"] == "1" else {}) for row in rows])
        words = [Workspace.program, "--threads", "1", "train", "safe.yaml", "--set", "data.validation=gone.jsonl", "--set", "run.name=undrawn", *ON]
        started = subprocess.Popen(words, cwd=w.root, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        metrics = w.root / "runs/undrawn/metrics.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.001)
        (w.root / "gone.png").unlink()
        said = started.communicate()[1]
        self.assertEqual(started.returncode, 0, said)
        drawn = [line["step"] for line in w.metrics("undrawn") if "images" in line]
        validated = [line["step"] for line in w.metrics("undrawn") if line["kind"] == "evaluation"]
        if len(drawn) < len(validated):  # the image was wanted
            self.assertRegex(said, r"no picture of the gallery: .*gone.png")

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
        self.assertFalse((w.root / "runs/later/tensorboard").exists() or (w.root / "runs/later/galleries").exists())
        w.train("later", "--set", "train.max_steps=400", "--resume", "auto", *ON)
        self.assertEqual(len(self.assert_equal_to_the_log("later")["train/loss"]), 400)
        (w.root / "runs/later/tensorboard/mine.txt").write_text("kept out of the way")
        w.train("later", "--overwrite")
        self.assertFalse((w.root / "runs/later/tensorboard").exists() or (w.root / "runs/later/galleries").exists())
        json.loads((w.root / "runs/later/environment.json").read_text())


if __name__ == "__main__":
    main()
