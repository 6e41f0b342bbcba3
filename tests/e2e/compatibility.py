"""Checkpoints and exports of an earlier commit still load and give what they gave then; see
tests/fixtures/compatibility/README.md.

    compatibility.py --program build/release/saferclip [unittest arguments]
"""
import json
import math
import pathlib
import shutil
import tempfile
import unittest

from world import Workspace, main, read_safetensors, sets

FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "compatibility"
PLACE = "/PLACE"  # what stands in the run's configuration for the folder it was made in
RUN = "runs/old"
FORMS = ("hf", "open_clip", "openai", "peft")
STEPS = 6  # the checkpoint is of step 4
TEXTS = ["a red car", "bad moon", ""]
PICTURES = ["images/safe0.png", "images/unsafe3.png"]


def numbers(value, path=""):
    """{dotted path: number} of a JSON document."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {path: value}
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {name: number for key, entry in entries for name, number in numbers(entry, f"{path}.{key}".lstrip(".")).items()}


def embeddings(workspace, weights):
    workspace.run("embed", weights, "--texts", *TEXTS, "--images", *PICTURES, "--out", "rows.safetensors")
    rows = {}
    for name, (dtype, shape, data) in read_safetensors(workspace.root / "rows.safetensors").items():
        if dtype == "F32":
            rows[name] = memoryview(data).cast("f").tolist()
            assert len(rows[name]) == math.prod(shape)
    return rows


def figures(workspace):
    """Of the checkpoint, on the rows it was trained with."""
    document = json.loads(workspace.run("evaluate", RUN, "--split", "train", "--json", *sets("evaluate.bootstrap=0")).stdout)
    return numbers({side: document[side] for side in ("before", "after")})


def next_steps(workspace):
    """Metrics of the steps after the checkpoint's."""
    workspace.run("train", f"{RUN}/config.yaml", "--resume", RUN, *sets(f"train.max_steps={STEPS}"))
    lines = [line for line in workspace.metrics("old") if line["kind"] == "train" and line["step"] > 4]
    return [numbers({key: value for key, value in line.items() if key != "quadruplets_per_s"}) for line in lines]


class Compatibility(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        root = pathlib.Path(folder.name).resolve() / "copy"
        shutil.copytree(FIXTURE, root)
        config = root / RUN / "config.yaml"
        config.write_text(config.read_text().replace(PLACE, str(root)))
        cls.workspace = Workspace(root)
        cls.expected = json.loads((root / "expected.json").read_text())

    def assert_near(self, found, expected, tolerance):
        self.assertEqual(set(found), set(expected))
        for name, number in expected.items():
            self.assertLessEqual(abs(found[name] - number), tolerance * max(1, abs(number)), f"{name}: {found[name]}, expected {number}")

    def assert_rows(self, weights):
        found = embeddings(self.workspace, weights)
        self.assertEqual(set(found), set(self.expected["embeddings"]))
        for kind, rows in self.expected["embeddings"].items():
            self.assert_near(dict(enumerate(found[kind])), dict(enumerate(rows)), 1e-5)

    def test_checkpoint_embeds(self):
        self.assert_rows(RUN)

    def test_exports_embed(self):
        for form in FORMS:
            with self.subTest(form=form):
                self.assert_rows(form)

    def test_checkpoint_evaluates(self):
        found = figures(self.workspace)
        self.assert_near({name: found[name] for name in self.expected["figures"] if name in found}, self.expected["figures"], 1e-4)
        new = {name.rpartition(".")[2] for name in set(found) - set(self.expected["figures"])}
        self.assertEqual(new, {"spread_ratio", "neighbour_jaccard"})  # later figures

    def test_checkpoint_goes_on(self):
        root = self.workspace.root / "resumed"
        shutil.copytree(self.workspace.root, root, ignore=shutil.ignore_patterns("resumed", "cache"))
        config = root / RUN / "config.yaml"
        config.write_text(config.read_text().replace(str(self.workspace.root), str(root)))
        found = next_steps(Workspace(root))
        self.assertEqual(len(found), len(self.expected["next_steps"]))
        for line, expected in zip(found, self.expected["next_steps"]):
            self.assert_near(line, expected, 1e-4)


if __name__ == "__main__":
    main()
