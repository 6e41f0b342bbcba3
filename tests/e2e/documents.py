"""--json of the commands that write, and --quiet.

    documents.py --program build/release/saferclip [unittest arguments]
"""
import json
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import WorldCase, file_hash, main, read_safetensors, sets  # noqa: E402


class Documents(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.trained = cls.world.run("train", "safe.yaml", *sets("train.max_steps=4"), "--json")

    def document(self, *words, code=0):
        done = self.world.run(*words, "--json", code=code)
        self.assertNotIn("next:", done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_train(self):
        document = json.loads(self.trained.stdout)
        self.assertEqual(document["exit"], dict(code=0, reason="finished", message=""))
        run, = json.loads(self.world.run("runs", "runs/safe", "--json").stdout)
        self.assertEqual(pathlib.Path(document["path"]), self.root / run["path"])
        self.assertEqual({k: document[k] for k in ("state", "step", "best")}, {k: run[k] for k in ("state", "step", "best")})
        self.assertEqual([document["state"], document["step"], document["planned_steps"]], ["finished", 4, 4])

    def test_a_run_that_ends_early(self):
        last = self.document("train", "safe.yaml", *sets("run.name=wild", "optimizer.lr=1e30", "schedule.warmup_steps=0"), code=5)
        self.assertEqual([last["exit"]["code"], last["exit"]["reason"]], [5, "failed"])
        self.assertTrue(last["exit"]["message"])
        limited = self.document("train", "safe.yaml", *sets("run.name=timed", "train.max_steps=1000000"), "--max-time", "3s", code=75)
        self.assertEqual([limited["exit"]["code"], limited["exit"]["reason"], limited["state"]], [75, "out_of_time", "stopped"])
        self.assertEqual(limited["path"], str(self.root / "runs/timed"))
        self.assertGreater(limited["step"], 0)
        command = [self.world.program, "--threads", "1", "train", "safe.yaml", *sets("run.name=ended", "train.max_steps=1000000"), "--json"]
        process = subprocess.Popen(command, cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        metrics = self.root / "runs/ended/metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[0]
        self.assertEqual([process.returncode, json.loads(said)["exit"]["code"], json.loads(said)["exit"]["reason"]], [143, 143, "stopped"])

    def test_before_there_is_a_run_nothing_is_printed(self):
        for words in (["train", "safe.yaml"], ["train", "none.yaml"], ["export", "runs/none", "--to", "hf", "--out", "none"], ["report", "runs/none"],
                      ["prepare", "safe.yaml", *sets("data.train=none.jsonl")]):
            done = self.world.run(*words, "--json", code=None)
            self.assertIn(done.returncode, (1, 2, 3, 4))
            self.assertEqual(done.stdout, "")
            self.assertTrue(done.stderr)
        self.assertIn("--dry-run excludes --json", self.world.run("train", "safe.yaml", "--dry-run", "--json", code=2).stderr)

    def test_export(self):
        for source, step, words in (("runs/safe", 4, []), ("runs/safe", 4, ["--strength", "0.5", "--dtype", "fp16"]), ("base", None, [])):
            out = f"out{len(list(self.root.glob('out*')))}"
            document = self.document("export", source, "--to", "hf", "--out", out, *words)
            self.assertEqual([document[k] for k in ("source", "format", "step", "strength", "dtype", "tower")],
                             [source, "hf", step, 0.5 if words else 1, "fp16" if words else "fp32", "both"])
            folder = self.root / document["path"]
            files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
            self.assertIn("model.safetensors", files)
            self.assertEqual(document["files"], [dict(path=name, bytes=path.stat().st_size, sha256=file_hash(path)) for name, path in sorted(files.items())])

    def test_report(self):
        document = self.document("report", "runs/safe", "--out", "page.html")
        self.assertEqual([document["path"], document["bytes"]], [str(self.root / document["path"]) if document["path"].startswith("/") else "page.html",
                                                                 (self.root / "page.html").stat().st_size])

    def test_prepare(self):
        words = ["prepare", "safe.yaml", *sets("data.cache_dir=fresh")]
        first = self.document(*words)
        self.assertEqual([first["cache_dir"].split("/")[-1], first["training_rows"]], ["fresh", 24])
        self.assertEqual(sorted(a["path"] for a in first["artifacts"]), sorted({str(p.parent) for p in (self.root / "fresh").glob("*/manifest.json")})
                         if first["artifacts"][0]["path"].startswith("/") else sorted(f"fresh/{p.parent.name}" for p in (self.root / "fresh").glob("*/manifest.json")))
        for artifact in first["artifacts"]:
            folder = self.root / artifact["path"]
            self.assertEqual(json.loads((folder / "manifest.json").read_text())["kind"], artifact["kind"])
            lengths = [shape[0] for _, shape, _ in read_safetensors(folder / "data.safetensors").values() if shape]
            self.assertIn(artifact["rows"], lengths)
            self.assertTrue(artifact["built"])
        self.assertLessEqual({"images", "tokens", "reference", "targets"}, {a["kind"] for a in first["artifacts"]})
        again = self.document(*words)
        self.assertEqual(again["artifacts"], [a | dict(built=False) for a in first["artifacts"]])
        changed = [json.loads(line) for line in (self.root / "train.jsonl").read_text().splitlines()]
        self.world.write_rows("changed.jsonl", [row | dict(unsafe_caption="other words") for row in changed])
        partly = self.document(*words, *sets("data.train=changed.jsonl", "data.validation="))
        self.assertEqual({a["kind"]: a["built"] for a in partly["artifacts"]}["images"], False)
        self.assertEqual({a["kind"]: a["built"] for a in partly["artifacts"]}["tokens"], True)


class Quiet(WorldCase):
    def test_stderr_has_warnings_and_errors_alone(self):
        w = self.world
        loud = w.run("prepare", "safe.yaml")
        quiet = w.run("prepare", "safe.yaml", "--quiet")
        self.assertIn("next: ", loud.stderr)
        self.assertEqual(quiet.stdout, loud.stdout)
        self.assertEqual(quiet.stderr, w.run("--log-level", "warn", "prepare", "safe.yaml").stderr)
        self.assertNotIn("info", quiet.stderr)
        self.assertEqual(w.run("--quiet", "inspect", "base").stdout, w.run("inspect", "base").stdout)
        rows = [json.loads(line) | dict(category="x") for line in (w.root / "train.jsonl").read_text().splitlines()]
        w.write_rows("more.jsonl", rows)
        self.assertIn("unused columns: category", w.run("--quiet", "config", "check", "safe.yaml", *sets("data.train=more.jsonl")).stderr)
        quiet = w.run("train", "safe.yaml", "--quiet", *sets("run.name=quiet", "train.max_steps=2"))
        self.assertNotIn("I ", quiet.stderr)
        self.assertRegex((w.root / "runs/quiet/train.log").read_text(), r"\d\d:\d\d:\d\d I training: 2 steps")
        self.assertIn("none.yaml", w.run("--quiet", "train", "none.yaml", code=2).stderr)

    def test_it_conflicts_with_a_level(self):
        for words in (["--quiet", "--log-level", "debug", "runs"], ["runs", "--log-level=error", "--quiet"]):
            self.assertRegex(self.world.run(*words, code=2).stderr, "--log-level excludes --quiet")


if __name__ == "__main__":
    main()
