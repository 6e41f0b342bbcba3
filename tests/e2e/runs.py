"""The list of runs, and what cleaning removes.

    runs.py --program build/release/saferclip [unittest arguments]
"""
import json
import shutil
import signal
import subprocess
import time

from world import Workspace, WorldCase, main


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Runs(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.train("whole", "--set", "checkpoint.keep_last=20")

    def setUp(self):
        """runs/whole as it was, and nothing else."""
        w = self.world
        if not (w.root / "kept").exists():
            shutil.copytree(w.root / "runs/whole", w.root / "kept")
        shutil.rmtree(w.root / "runs")
        shutil.copytree(w.root / "kept", w.root / "runs/whole")

    def listed(self, folder="runs"):
        return {run["path"].removeprefix(f"{folder}/"): run for run in json.loads(self.world.run("runs", folder, "--json").stdout)}

    def steps(self, name="whole"):
        return sorted(int(path.name.removeprefix("step_")) for path in (self.world.root / "runs" / name / "checkpoints").glob("step_*"))

    def test_states(self):
        w = self.world
        root = w.root / "runs"
        w.train("short", "--set", "train.max_steps=4000", "--max-time", "1s", code=75)
        (root / "deep").mkdir()
        shutil.copytree(root / "whole", root / "deep/inner")
        shutil.copytree(root / "whole", root / "broken")
        (root / "broken/config.yaml").write_text("train: {batch_size: many}\n")
        shutil.copytree(root / "whole", root / "bare")
        shutil.rmtree(root / "bare/checkpoints")
        (root / "other").mkdir()
        (root / "other/config.yaml").write_text("not: ours\n")
        runs = self.listed()
        self.assertEqual({name: run["state"] for name, run in runs.items()},
                         {"whole": "finished", "deep/inner": "finished", "short": runs["short"]["state"], "broken": "unreadable", "bare": "empty"})
        self.assertIn(runs["short"]["state"], ("stopped", "empty"))
        self.assertEqual((runs["whole"]["step"], runs["whole"]["planned_steps"]), (40, 40))
        self.assertEqual(runs["whole"]["bytes"], size_of(root / "whole"))
        state = json.loads((w.checkpoint("whole") / "state.json").read_text())
        self.assertEqual((runs["whole"]["best"]["value"], runs["whole"]["best"]["step"]), (state["best_value"], state["best_step"]))
        done = w.run("runs", "runs")
        self.assertRegex(done.stdout, r"whole +finished +40 of 40 +-?\d+\.\d\d at \d+ +\d+\.\d [KM]iB")
        self.assertTrue(all(len(line) <= 100 for line in done.stdout.splitlines()), done.stdout)
        self.assertIn("train.batch_size", done.stderr)
        self.assertIn("README.txt", [path.name for path in (root / "whole").iterdir()])
        self.assertEqual(list(self.listed("runs/whole")), ["runs/whole"])

    def test_a_stopped_run_goes_on_as_the_last_line_says(self):
        w = self.world
        shutil.rmtree(w.root / "runs")
        started = subprocess.Popen([Workspace.program, "train", "safe.yaml", "--set", "run.name=cut", "--set", "train.max_steps=600"],
                                   cwd=w.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (w.root / "runs/cut/checkpoints/latest").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.listed()["cut"]["state"], "running")
        self.assertIn("in use", w.run("clean", "runs", "--yes").stdout)
        started.send_signal(signal.SIGTERM)
        self.assertEqual(started.wait(60), 128 + signal.SIGTERM)
        self.assertEqual(self.listed()["cut"]["state"], "stopped")
        following = w.run("runs", "runs").stderr.split("next: saferclip ")[1].split()
        w.run(*following)
        run = self.listed()["cut"]
        self.assertEqual((run["state"], run["step"], run["planned_steps"]), ("finished", 600, 600))

    def test_clean_keeps_the_newest_and_the_best(self):
        w = self.world
        before = self.steps()
        best = before[1]
        (w.root / "runs/whole/checkpoints/best").write_text(f"step_{best:08}\n")
        others = {path: path.read_bytes() for path in (w.root / "runs/whole").rglob("*")
                  if path.is_file() and path.parent.name not in {f"step_{step:08}" for step in before}}
        said = w.run("clean", "runs", code=2).stderr
        self.assertIn("--yes", said)
        self.assertEqual(self.steps(), before)
        said = w.run("clean", "runs", "--yes").stdout
        self.assertIn(f"old checkpoints: {len(before) - 2}, ", said)
        self.assertEqual(self.steps(), [best, before[-1]])
        self.assertEqual({path: path.read_bytes() for path in others}, others)
        self.assertIn("nothing to remove", w.run("clean", "runs", "--yes").stdout)
        w.run("evaluate", "runs/whole", "--checkpoint", "best")

    def test_clean_keeps_the_newest_that_is_good(self):
        w = self.world
        good = self.steps()[-2]
        weights = w.checkpoint("whole") / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        w.run("clean", "runs", "--yes")
        self.assertIn(good, self.steps())

    def test_clean_caches(self):
        w = self.world
        shutil.copytree(w.root / "cache", w.root / "copy")
        (w.root / "copy/mine").mkdir()
        (w.root / "copy/mine/manifest.json").write_text("{}")
        (w.root / "copy/notes.txt").write_text("mine")
        w.run("clean", "--caches", "copy", "--yes")
        left = {path.name for path in (w.root / "copy").iterdir() if path.is_dir()}
        self.assertEqual(left, {"mine"})
        self.assertTrue((w.root / "copy/notes.txt").exists())
        for cache in ("copy", "fresh"):
            w.run("prepare", "safe.yaml", "--set", f"data.cache_dir={cache}")
        self.assert_same_artifacts("copy", "fresh")

    def test_what_is_not_there(self):
        w = self.world
        self.assertIn("nowhere: no such folder", w.run("runs", "nowhere", code=3).stderr)
        self.assertIn("nowhere: no such folder", w.run("clean", "nowhere", "--yes", code=3).stderr)
        self.assertIn("nowhere: no such folder", w.run("clean", "--caches", "nowhere", "--yes", code=3).stderr)
        self.assertIn("name a folder", w.run("clean", "--yes", code=2).stderr)
        self.assertIn("no runs below images", w.run("runs", "images").stdout)


if __name__ == "__main__":
    main()
