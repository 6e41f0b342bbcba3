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

    def failed(self, *words, code):
        """The document of a failure; its message is the one on stderr."""
        done = self.world.run(*words, "--json", code=code)
        document = json.loads(done.stdout)
        self.assertEqual([document["exit"]["code"], document["exit"]["reason"]], [code, "failed"])
        self.assertIn(document["exit"]["message"], done.stderr)
        return document

    FINISHED = dict(code=0, reason="finished", message="")

    def test_init(self):
        document = self.document("init", "--weights", "base", "--data", "train.jsonl", "--validation", "train.jsonl", "--out", "begun.yaml")
        self.assertEqual([document[key] for key in ("path", "written", "open", "problems", "exit")], ["begun.yaml", ["begun.yaml"], [], [], self.FINISHED])
        self.assertTrue(document["run"].startswith("runs/") and document["seen"])
        self.assertEqual(self.world.run("config", "check", "begun.yaml").stdout.strip(), "begun.yaml: ok")
        self.assertIn("exists; add --overwrite", self.failed("init", "--weights", "base", "--data", "train.jsonl", "--out", "begun.yaml",
                                                             code=2)["exit"]["message"])
        self.assertIn("--weights PATH and --data PATH are missing", self.failed("init", "--out", "other.yaml", code=2)["exit"]["message"])
        self.world.write_rows("gone.jsonl", [dict(id=str(i), safe_caption="a", unsafe_caption="b", safe_image="gone.png") for i in range(3)])
        faulty = self.failed("init", "--weights", "base", "--data", "gone.jsonl", "--out", "faulty.yaml", code=2)
        self.assertIn("absent safe image: 3 rows", faulty["problems"][0])
        self.assertTrue((self.root / "faulty.yaml").exists())
        self.assertEqual(faulty["written"], ["faulty.yaml"])
        listed = self.document("init", "--list")
        self.assertEqual(listed["exit"], self.FINISHED)
        self.assertIn("saferclip-vit-l14", [template["name"] for template in listed["templates"]])
        self.assertTrue(all(template["description"] for template in listed["templates"]))

    def test_clean(self):
        self.world.train("many", *sets("train.max_steps=9", "checkpoint.every_steps=2", "checkpoint.keep_last=4", "data.cache_dir=cleaned"))
        checkpoints = self.root / "runs/many/checkpoints"
        before = {path.name for path in checkpoints.glob("step_*")}
        words = ["clean", "runs/many", "--caches", "cleaned"]
        found = self.failed(*words, code=2)
        self.assertIn("--json does not ask; add --yes", found["exit"]["message"])
        self.assertEqual([found["removed_bytes"], {path.name for path in checkpoints.glob("step_*")}], [0, before])
        run, = found["runs"]
        size = lambda folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        self.assertEqual(run["bytes"], sum(size(self.root / folder) for folder in run["folders"]))
        self.assertEqual(sorted(pathlib.Path(f).name for f in found["caches"]["folders"]), sorted(p.name for p in (self.root / "cleaned").glob("*-*")))
        removed = self.document(*words, "--yes")
        self.assertEqual([removed["removed_bytes"], removed["exit"]], [run["bytes"] + found["caches"]["bytes"], self.FINISHED])
        self.assertEqual({path.name for path in checkpoints.glob("step_*")}, before - {pathlib.Path(folder).name for folder in run["folders"]})
        nothing = self.document(*words)
        self.assertEqual([nothing["runs"], nothing["caches"]["folders"], nothing["removed_bytes"], nothing["exit"]], [[], [], 0, self.FINISHED])
        self.assertEqual(self.document("clean", "runs/many")["caches"], None)
        self.assertEqual(list(self.failed("clean", "none", code=3)), ["exit"])

    def test_sweep(self):
        words = ["sweep", "safe.yaml", "--set", "train.max_steps=2", "--set", "run.name=swept", "--set", "optimizer.lr=1e-3,2e-3"]
        printed = self.document(*words, "--print", "--evaluate", "validation")
        self.assertEqual([printed["split"], printed["exit"]], ["validation", self.FINISHED])
        lines = self.world.run(*words, "--print", "--evaluate", "validation").stdout.splitlines()
        self.assertEqual([" && ".join(run["commands"]) for run in printed["runs"]], lines)
        self.assertFalse((self.root / printed["runs"][0]["path"]).exists())
        swept = self.document(*words, "--evaluate", "validation", "--quiet")  # else the runs say what comes next
        self.assertEqual([[run[key] for key in ("name", "state", "step", "evaluated", "exit_code")] for run in swept["runs"]],
                         [[f"swept,lr={lr}", "finished", 2, True, 0] for lr in ("1e-3", "2e-3")])
        self.assertEqual([run["path"] for run in swept["runs"]], [run["path"] for run in printed["runs"]])
        wild = self.failed("sweep", "safe.yaml", "--set", "schedule.warmup_steps=0", "--set", "run.name=wild-swept", "--set", "train.max_steps=3",
                           "--set", "optimizer.lr=1e-3,1e30", code=5)
        self.assertEqual([[run["state"], run["exit_code"]] for run in wild["runs"]][0], ["finished", 0])
        self.assertEqual(wild["runs"][1]["exit_code"], 5)
        self.assertIn("1 of 2 runs failed", wild["exit"]["message"])
        refused = self.failed("sweep", "safe.yaml", "--set", "optimizer.lr=x,1", code=2)
        self.assertEqual([refused["split"], "runs" in refused], [None, False])

    def test_a_sweep_that_is_stopped(self):
        command = [self.world.program, "--threads", "1", "sweep", "safe.yaml", "--set", "train.max_steps=1000000", "--set", "run.name=halted",
                   "--set", "optimizer.lr=1e-3,2e-3", "--json"]
        process = subprocess.Popen(command, cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        metrics = self.root / "runs/halted,lr=1e-3/metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        document = json.loads(process.communicate()[0])
        self.assertEqual([process.returncode, document["exit"]["code"], document["exit"]["reason"]], [143, 143, "stopped"])
        self.assertEqual([run.get("state") for run in document["runs"]], ["stopped", None])

    def test_embed(self):
        words = ["embed", "base", "--images", "images/safe0.png", "images/safe1.png", "--texts", "a dog", "--out", "rows.safetensors"]
        document = self.document(*words)
        path = self.root / "rows.safetensors"
        self.assertEqual(document, dict(source="base", path="rows.safetensors", bytes=path.stat().st_size, sha256=file_hash(path),
                                        arrays=dict(image=[2, 8], text=[1, 8]), exit=self.FINISHED))
        self.assertEqual({name: shape for name, (_, shape, _) in read_safetensors(path).items()}, document["arrays"])
        self.assertIn("gone.png", self.failed("embed", "base", "--images", "gone.png", "--out", "never.npy", code=3)["exit"]["message"])
        self.assertIn("give --images, --texts or --texts-file", self.failed("embed", "base", "--out", "never.npy", code=2)["exit"]["message"])
        self.assertEqual(self.world.run("embed", "base", "--json", code=2).stdout, "")  # a wrong command line

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
