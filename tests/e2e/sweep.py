"""Sweeps: which runs a product of values makes, what becomes of a sweep that is stopped, killed or has a run that fails.

    sweep.py --program build/release/saferclip
"""
import json
import os
import shlex
import signal
import subprocess
import time

from world import WorldCase, Workspace, file_hash, main, sets


class Sweep(WorldCase):
    short = ("--set", "train.max_steps=4", "--set", "evaluate.bootstrap=50")

    def sweep(self, *arguments, code=0):
        return self.world.run("sweep", "safe.yaml", *arguments, code=code)

    def printed(self, *arguments):
        lines = self.sweep(*arguments, "--print").stdout.replace(" --threads 1", "").splitlines()
        return [shlex.split(line) for line in lines]

    def settings(self, *arguments):
        """The --set arguments of each run."""
        return [[b for a, b in zip(words, words[1:]) if a == "--set"] for words in self.printed(*arguments)]

    def folder(self, name):
        return self.world.root / "runs" / name

    # --- the runs
    def test_the_product_is_printed(self):
        found = self.printed("--set", "optimizer.lr=1e-2,1e-3", "--set", "adapter.rank=2", "--seeds", "7,8", "--evaluate", "validation")
        self.assertEqual(len(found), 4)
        for words, (lr, seed) in zip(found, [("1e-2", "7"), ("1e-2", "8"), ("1e-3", "7"), ("1e-3", "8")], strict=True):
            name = f"safe,lr={lr},seed={seed}"
            train = ["saferclip", "train", "safe.yaml", *sets(f"optimizer.lr={lr}", "adapter.rank=2", f"train.seed={seed}", f"run.name={name}"),
                     "--resume", "auto"]
            self.assertEqual(words, [*train, "&&", "saferclip", "evaluate", str(self.folder(name)), "--split", "validation"])
            self.assertFalse(self.folder(name).exists())
        self.assertEqual([s[-1] for s in self.settings("--set", "optimizer.lr=1e-2,1e-3", "--set", "run.name=mine")],
                         ["run.name=mine,lr=1e-2", "run.name=mine,lr=1e-3"])
        self.assertEqual(self.settings(), [["run.name=safe"]])

    def test_a_printed_line_is_a_command(self):
        line = self.sweep(*self.short, "--seeds", "3,4", "--set", "run.name=by hand", "--evaluate", "validation", "--print").stdout.splitlines()[1]
        done = subprocess.run(["sh", "-c", f'saferclip() {{ "$PROGRAM" "$@"; }}; {line}'], cwd=self.world.root, text=True,
                              capture_output=True, env={**os.environ, "PROGRAM": Workspace.program})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder("by hand,seed=4") / "evaluations/step_00000004.validation.json").exists())

    def test_values_with_commas(self):
        found = self.settings("--set", "adapter.targets=[q_proj,v_proj],[fc1]", "--set", "objective.anchors.prompts='a,b.txt',prompts.txt")
        self.assertEqual([s[:2] for s in found], [[f"adapter.targets={t}", f"objective.anchors.prompts={p}"]
                                                  for t in ("[q_proj,v_proj]", "[fc1]") for p in ("'a,b.txt'", "prompts.txt")])
        names = [s[2] for s in found]
        self.assertEqual(len(set(names)), 4)
        for name in names:
            self.assertRegex(name, r"^run.name=safe,targets=(q_proj_v_proj|fc1)~[0-9a-f]{4},prompts=(a_b.txt~[0-9a-f]{4}|prompts.txt)$")
        self.assertEqual(found, self.settings("--set", "adapter.targets=[q_proj,v_proj],[fc1]", "--set",
                                              "objective.anchors.prompts='a,b.txt',prompts.txt"))

    def test_refusals(self):
        for arguments, words in (
                (["--set", "optimizer.lr=1,,2"], ["optimizer.lr", "a value is empty"]),
                (["--set", "adapter.targets=[q_proj,v_proj"], ["misses ]"]),
                (["--set", "objective.anchors.prompts='a,b"], ["misses '"]),
                (["--set", "optimizer.lr"], ["KEY=VALUE,VALUE"]),
                (["--set", "optimizer.lr=1,2", "--set", "optimizer.lr=3"], ["set twice"]),
                (["--set", "train.seed=1", "--seeds", "2"], ["train.seed: is set twice"]),
                (["--set", "adapter.rank=2,4,2"], ["a value is given twice"]),
                (["--set", "run.name=a,b"], ["run.name: has one value"]),
                (["--set", "optimizer.lrr=1,2"], ["optimizer.lrr", "lr"]),
                (["--set", "adapter.rank=2,x", "--set", "optimizer.lr=y,1"], ["adapter.rank", "optimizer.lr"]),
                (["--seeds", "1,x"], ["--seeds"]),
                (["--seeds", "-1"], ["--seeds"]),
                (["--seeds", ",".join(map(str, range(101))), "--set", f"adapter.rank={','.join(map(str, range(1, 101)))}"], ["more than 10000 runs"])):
            said = self.sweep(*arguments, code=2).stderr
            for word in words:
                self.assertIn(word, said)
            self.assertLessEqual(len(said.splitlines()), 4, said)
        self.assertEqual(self.world.run("sweep", "gone.yaml", code=2).stdout, "")
        many = dict(os.environ, RANK="0", WORLD_SIZE="2", LOCAL_RANK="0", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
        self.assertIn("--print", self.world.run("sweep", "safe.yaml", code=2, env=many).stderr)

    # --- running them
    def test_runs_are_made_compared_and_skipped(self):
        w = self.world
        arguments = (*self.short, "--set", "run.name=done", "--set", "adapter.rank=2,3", "--seeds", "1,2", "--evaluate", "validation")
        done = self.sweep(*arguments)
        names = [f"done,rank={r},seed={s}" for r in (2, 3) for s in (1, 2)]
        for i, name in enumerate(names):
            self.assertIn(f"run {i + 1} of 4: {name}", done.stderr)
            config = (self.folder(name) / "config.yaml").read_text()
            self.assertIn(f"rank: {name[10]}", config)
            self.assertIn(f"seed: {name[-1]}", config)
        # A column each, in one block or in two.
        for name in ("done,rank=2", "done,rank=3"):
            self.assertRegex(done.stdout, rf"(?m)^ .*\b{name}.*\n.*\(2 seeds\)")
        w.train("alone", *sets("train.max_steps=4", "evaluate.bootstrap=50", "adapter.rank=3", "train.seed=2"))
        self.assert_same_run(names[3], "alone")
        compared = w.run("compare", *(f"runs/{n}" for n in names))
        self.assertTrue(done.stdout.endswith(compared.stdout))
        before = {n: file_hash(w.checkpoint(n) / "manifest.json") for n in names}
        times = {n: (self.folder(n) / "config.yaml").stat().st_mtime_ns for n in names}
        again = self.sweep(*arguments)
        self.assertEqual(again.stderr.count("is finished"), 4)
        self.assertEqual(again.stdout, compared.stdout)
        self.assertEqual(before, {n: file_hash(w.checkpoint(n) / "manifest.json") for n in names})
        self.assertEqual(times, {n: (self.folder(n) / "config.yaml").stat().st_mtime_ns for n in names})
        # A run started over and left early is not finished.
        w.run("train", "safe.yaml", *self.short, *sets("run.name=done,rank=2,seed=1", "train.seed=1"), "--overwrite")
        self.assertEqual(self.sweep(*arguments).stderr.count("is finished"), 3)

    def test_a_failed_run_does_not_stop_the_others(self):
        w = self.world
        (w.root / "empty.txt").write_text("")
        arguments = (*self.short, "--set", "run.name=part", "--set", "objective.anchors.prompts=gone.txt,prompts.txt,empty.txt",
                     "--evaluate", "validation")
        done = self.sweep(*arguments, code=3)
        self.assertRegex(done.stderr, r"2 of 3 runs failed.*\n  part,prompts=gone.txt: exit code 3\n  part,prompts=empty.txt: exit code 3\n$")
        self.assertIn("1 of 3 runs are evaluated", done.stderr)
        self.assertIn("split validation", done.stdout)
        (w.root / "gone.txt").write_text("a dog\na cat\n")
        (w.root / "empty.txt").write_text("a sun\na moon\n")
        self.assertEqual(self.sweep(*arguments).stderr.count("is finished"), 1)
        (w.root / "gone.txt").unlink()

    def start(self, name):
        return subprocess.Popen([Workspace.program, "--threads", "1", "sweep", "safe.yaml", *sets(f"run.name={name}", "adapter.dropout=0.1,0.2")],
                                cwd=self.world.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait_for_steps(self, name, least):
        path = self.folder(name) / "metrics.jsonl"
        until = time.monotonic() + 200
        while time.monotonic() < until and not (path.exists() and len(path.read_text().splitlines()) > least):
            time.sleep(0.02)

    def wait_until_free(self, name):
        """Until the orphaned training has saved and ended."""
        until = time.monotonic() + 200
        while time.monotonic() < until and subprocess.run(["flock", "-n", self.folder(name) / ".lock", "true"], check=False).returncode:
            time.sleep(0.05)

    def test_a_sweep_ended_early_is_continued(self):
        w = self.world
        w.train("whole", *sets("adapter.dropout=0.2"))
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
            name = f"ended{number.value}"
            second = f"{name},dropout=0.2"
            with self.start(name) as sweep:
                self.wait_for_steps(second, 6)
                sweep.send_signal(number)
                said = sweep.communicate()[1]
            self.assertEqual(sweep.returncode, code, said)
            self.wait_until_free(second)
            step = json.loads((w.checkpoint(second) / "state.json").read_text())["step"]
            self.assertTrue(3 <= step < 40, step)
            if code > 0:
                self.assertEqual(step, len([m for m in w.metrics(second) if m["kind"] == "train"]))  # saved when asked
                self.assertIn("the same command continues it", said)
            done = self.sweep("--set", f"run.name={name}", "--set", "adapter.dropout=0.1,0.2")
            self.assertEqual(done.stderr.count("is finished"), 1)
            self.assertIn(f"resuming from {w.checkpoint(second).parent}", done.stderr)
            self.assert_same_run(second)


if __name__ == "__main__":
    main()
