"""What surrounds the program is bad: damaged files, a full disk, a second process, a jumping clock, moved folders,
hostile names; and what it must never do: reach a network, start a program, write elsewhere, keep a secret.

    surroundings.py --program build/release/saferclip --libraries build/release/tests [unittest arguments]
"""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import World, WorldCase, file_hash, sets  # noqa: E402

LIBRARIES = pathlib.Path()
PARTS = ("manifest.json", "weights.safetensors", "optimizer.safetensors", "state.json")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {"cut": lambda p: p.write_bytes(p.read_bytes()[:-3]), "empty": lambda p: p.write_bytes(b""),
           "missing": lambda p: p.unlink(), "flipped": flip, "longer": lambda p: p.write_bytes(p.read_bytes() + b"}")}


class Surroundings(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.world.run(*cls.train("six", 6))
        shutil.copytree(cls.root / "runs/six", cls.root / "runs/nine")
        cls.world.run(*cls.train("nine", 9))

    @staticmethod
    def train(name, steps, *extra, runs="runs", resume="auto"):
        settings = sets(f"run.dir={runs}", f"run.name={name}", f"train.max_steps={steps}", "schedule.name=constant",
                        "data.validation=", "checkpoint.every_steps=3", *extra)
        return ["train", "safe.yaml", "--resume", resume, *settings]

    def copy(self, name, of="six"):
        shutil.copytree(self.root / "runs" / of, self.root / "runs" / name)
        return self.root / "runs" / name

    def assert_same(self, run, of="nine"):
        for file in ("weights.safetensors", "optimizer.safetensors"):
            one, two = (r / "checkpoints" / (r / "checkpoints/latest").read_text().strip() for r in
                        (pathlib.Path(run), self.root / "runs" / of))
            self.assertEqual(one.name, two.name)
            self.assertEqual(file_hash(one / file), file_hash(two / file), file)

    def preloaded(self, library, **settings):
        return dict(os.environ, LD_PRELOAD=str(LIBRARIES / f"lib{library}.so"), **settings)

    # Damage

    def test_each_part_of_a_checkpoint_damaged(self):
        for part in PARTS:
            for name, damage in DAMAGES.items():
                with self.subTest(part=part, damage=name):
                    run = self.copy(f"{part}_{name}")
                    damage(run / "checkpoints/step_00000006" / part)
                    said = self.world.run(*self.train(run.name, 9)).stderr
                    if (part, name) != ("manifest.json", "flipped"):  # what it flips may be a blank
                        self.assertIn("step_00000006: damaged checkpoint skipped", said)
                        self.assertIn(part, said)
                        self.assertIn("(step 3)", said)
                    self.assert_same(run)

    def test_pointers_damaged(self):
        for name, damage in {**DAMAGES, "nonsense": lambda p: p.write_bytes(b"\xff\0step"),
                             "elsewhere": lambda p: p.write_text("../../nine/checkpoints/step_00000009\n")}.items():
            if name == "longer":
                continue
            run = self.copy(f"latest_{name}")
            damage(run / "checkpoints/latest")
            self.assertIn("(step 6)", self.world.run(*self.train(run.name, 9)).stderr)
            self.assert_same(run)

    def test_best_damaged(self):
        """The first of equal validations stays the best, and is kept whatever becomes of the file that names it."""
        settings = ("data.validation=train.jsonl", "evaluate.every_epochs=1", "checkpoint.keep_last=1",
                    "checkpoint.best_metric=retrieval.text_to_image.n")
        self.world.run(*self.train("bests", 9, *settings))
        named = (self.root / "runs/bests/checkpoints/best").read_text()
        self.assertNotEqual(named, "step_00000009\n")
        for name, damage in {"cut": DAMAGES["cut"], "empty": DAMAGES["empty"], "missing": DAMAGES["missing"]}.items():
            run = self.copy(f"best_{name}", of="bests")
            damage(run / "checkpoints/best")
            said = self.world.run("evaluate", f"runs/{run.name}", "--checkpoint", "best", code=4).stderr
            self.assertIn("no such file" if name == "missing" else "--resume auto` rewrites it", said)
            self.world.run(*self.train(run.name, 20, *settings))
            self.assertEqual((run / "checkpoints/best").read_text(), named)
            self.world.run("evaluate", f"runs/{run.name}", "--checkpoint", "best")

    def test_no_good_checkpoint_is_left(self):
        run = self.copy("none_good")
        for step in ("step_00000003", "step_00000006"):
            flip(run / "checkpoints" / step / "weights.safetensors")
        for command in (["evaluate", "runs/none_good"], ["export", "runs/none_good", "--to", "hf", "--out", "x"],
                        self.train("none_good", 9, resume="runs/none_good")):
            said = self.world.run(*command, code=4).stderr
            self.assertIn("weights.safetensors has a wrong checksum", said)
            self.assertIn("contains no good checkpoint", said)
        self.assertFalse((self.root / "x").exists())

    def test_a_checkpoint_folder_that_cannot_be_listed_is_not_an_empty_one(self):
        run = self.copy("unlisted")
        shutil.move(run / "checkpoints", run / "kept")
        (run / "checkpoints").write_text("no folder")
        self.assertIn("checkpoints: cannot be listed", self.world.run(*self.train("unlisted", 9), code=3).stderr)
        (run / "checkpoints").unlink()
        shutil.move(run / "kept", run / "checkpoints")
        self.world.run(*self.train("unlisted", 9))
        self.assert_same(run)

    def test_each_part_of_a_cache_damaged(self):
        prepare = lambda cache: self.world.run("prepare", "safe.yaml", "--set", f"data.cache_dir={cache}").stderr
        prepare("fresh")
        fresh = {p.relative_to(self.root / "fresh"): file_hash(p) for p in (self.root / "fresh").glob("*/data.safetensors")}
        shutil.copytree(self.root / "fresh", self.root / "hurt")
        tried = 0
        for kind in ("images", "tokens", "reference", "targets"):
            folder = next((self.root / "hurt").glob(f"{kind}-*"))
            for part in sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")):
                for name in ("cut", "empty", "missing"):
                    with self.subTest(kind=kind, part=part, damage=name):
                        DAMAGES[name](folder / part)
                        said = prepare("hurt")
                        if (part, name) != ("manifest.json", "missing"):
                            self.assertIn("rebuilding it", said)
                        self.assertEqual({p: file_hash(self.root / "hurt" / p) for p in fresh}, fresh)
                        tried += 1
        self.assertGreaterEqual(tried, 4 * 2 * 3)

    # Disks

    def test_full_and_read_only_file_system(self):
        mount = self.root / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], capture_output=True).returncode:
            self.skipTest("mounting is not allowed here")
        try:
            shutil.copytree(self.root / "runs/six", mount / "six")
            filler = mount / "filler"
            with open(filler, "wb", buffering=0) as out:
                try:
                    while True:
                        out.write(bytes(4096))
                except OSError:
                    pass
            said = self.world.run(*self.train("six", 9, runs=mount), code=1).stderr
            self.assertIn("No space left on device; free some space", said)
            self.assertIn(str(mount / "six"), said)
            for command in (["prepare", "safe.yaml", "--set", f"data.cache_dir={mount}/cache"],
                            ["export", "runs/six", "--to", "hf", "--out", mount / "out"]):
                self.assertIn("No space left on device; free some space", self.world.run(*command, code=1).stderr)
            self.assertFalse((mount / "out").exists())
            subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
            said = self.world.run(*self.train("six", 9, runs=mount), code=1).stderr
            self.assertIn("Read-only file system; make the folder writable", said)
            subprocess.run(["mount", "-o", "remount,rw", mount], check=True)
            filler.unlink()
            self.world.run(*self.train("six", 9, runs=mount))
            self.assert_same(mount / "six")
        finally:
            subprocess.run(["umount", mount], check=True)

    # Two processes, time, places

    def test_second_preparer_waits_and_a_busy_run_is_not_overwritten(self):
        command = ["prepare", "safe.yaml", "--set", "data.cache_dir=shared"]
        self.world.run(*command)
        images = next((self.root / "shared").glob("images-*"))
        (images / "manifest.json").unlink()
        with open(images / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen([World.program, *command], cwd=self.root, stderr=subprocess.PIPE, text=True)
            seen = ""
            while "another process is preparing this" not in seen:
                line = process.stderr.readline()
                self.assertNotEqual(line, "", "it ended without waiting")
                seen += line
            self.assertIsNone(process.poll())
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        pair = [subprocess.Popen([World.program, "prepare", "safe.yaml", "--set", "data.cache_dir=pair"], cwd=self.root,
                                 stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(3)]
        self.assertEqual([p.wait(120) for p in pair], [0, 0, 0])
        self.assert_same_artifacts("pair", "shared")
        run = self.copy("busy")
        with open(run / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for command in (self.train("busy", 9), ["train", "safe.yaml", "--overwrite", "--set", "run.name=busy"]):
                self.assertIn("another process is using it", self.world.run(*command, code=2).stderr)
        self.world.run(*self.train("busy", 9))
        self.assert_same(run)

    def test_clock_that_jumps_and_a_changed_time_zone(self):
        clock = self.preloaded("jumping_clock", TZ="Pacific/Kiritimati")
        years = {subprocess.run(["date", "+%Y"], env=clock, text=True, capture_output=True).stdout for _ in range(2)}
        started = subprocess.run([sys.executable, "-c", "import time; print(len({time.gmtime(time.time()).tm_year for _ in range(6)}))"],
                                 env=clock, text=True, capture_output=True).stdout
        self.assertGreater(int(started), 3, f"the clock does not jump: {years}")
        minutes = ("checkpoint.every_minutes=60", "data.cache_dir=jumping")
        self.world.run(*self.train("jumps", 6, *minutes, "checkpoint.every_steps=0"), env=clock)
        steps = sorted(p.name for p in (self.root / "runs/jumps/checkpoints").glob("step_*"))
        self.assertEqual(steps, ["step_00000006"], "a jump is no reason to save")
        self.world.run(*self.train("jumps", 9, *minutes), env=dict(os.environ, TZ="America/New_York"))
        self.assert_same(self.root / "runs/jumps")
        for stamp in (0, 1, 2**33):  # pictures of 1970 and of the far future
            for picture in (self.root / "images").iterdir():
                os.utime(picture, (stamp, stamp))
            self.assertNotIn("decoding", self.world.run("prepare", "safe.yaml", "--set", "data.cache_dir=jumping").stderr)

    def test_moved_run_and_renamed_data(self):
        self.copy("moving")
        shutil.move(self.root / "runs/moving", self.root / "elsewhere")
        self.world.run(*self.train("moving", 9, resume="elsewhere"))
        self.assert_same(self.root / "elsewhere")
        for command in (["evaluate", "elsewhere"], ["export", "elsewhere", "--to", "peft", "--out", "moved_adapter"],
                        ["report", "elsewhere", "--out", "moved.html"]):
            self.world.run(*command)
        run = self.copy("renamed")
        data = self.root / "renamed_data"
        data.mkdir()
        shutil.copytree(self.root / "images", data / "images")
        shutil.copy(self.root / "train.jsonl", data / "all.jsonl")
        self.world.run(*self.train("renamed", 9, f"data.train={data}/all.jsonl"))
        self.assert_same(run)
        said = self.world.run(*self.train("renamed", 12, "data.train=gone.jsonl"), code=3).stderr
        self.assertIn("gone.jsonl: no such file", said)

    # What it must never do

    def commands(self, secret_free="ends"):
        (self.root / secret_free).mkdir()
        out = lambda name: f"{secret_free}/{name}"
        return [["prepare", "safe.yaml", "--set", f"data.cache_dir={out('cache')}"],
                self.train("r", 3, f"data.cache_dir={out('cache')}", runs=secret_free),
                ["evaluate", out("r"), "--out", out("e.json")], ["report", out("r"), "--out", out("r.html")],
                *(["export", out("r"), "--to", to, "--out", out(to)] for to in ("hf", "open_clip", "openai", "peft", "onnx")),
                ["embed", out("r"), "--texts", "a", "--out", out("v.safetensors")], ["inspect", out("r")],
                ["targets", "safe.yaml", "--csv", out("t.csv"), "--set", f"data.cache_dir={out('cache')}"],
                ["config", "show", "safe.yaml"], ["doctor"]]

    def test_no_network_and_no_other_program(self):
        log = self.root / "outside.log"
        outside = self.preloaded("outside_world", OUTSIDE_LOG=str(log))
        refused = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], env=outside, capture_output=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(log.read_text(), "socket\n")
        log.unlink()
        for command in self.commands("ends_offline"):
            self.world.run(*command, env=outside, code=None if command[0] == "doctor" else 0)
        self.assertFalse(log.exists(), log.exists() and log.read_text())

    def test_nothing_is_written_elsewhere(self):
        log = self.root.parent / f"{self.root.name}.writes"
        watched = self.preloaded("file_faults", FAULT_FOLDER="/", FAULT_AT="0", FAULT_LOG=str(log))
        for command in self.commands("ends_inside"):
            self.world.run(*command, env=watched, code=None if command[0] == "doctor" else 0)
        lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
        log.unlink()
        self.assertGreater(len(lines), 200)
        inside = str(self.root / "ends_inside")
        elsewhere = {(call, path) for _, call, path in lines
                     if not path.startswith((inside, "/dev/", "/proc/", "/pipe:", "pipe:", "/memfd:")) and "pipe:[" not in path}
        self.assertEqual(elsewhere, set())

    def test_secrets_of_the_environment_are_not_kept(self):
        secret = "hf_Zk3SecretOfTheEnvironment"
        environment = dict(os.environ, HF_TOKEN=secret, AWS_SECRET_ACCESS_KEY=secret, SAFERCLIP_ANYTHING=secret)
        said = ""
        for command in self.commands("ends_quiet"):
            result = self.world.run("--log-level", "debug", *command, env=environment, code=None if command[0] == "doctor" else 0)
            said += result.stdout + result.stderr
        self.assertNotIn(secret, said)
        files = [p for p in (self.root / "ends_quiet").rglob("*") if p.is_file()]
        self.assertGreater(len(files), 20)
        for path in files:
            self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_a_picture_that_is_too_large_is_not_read(self):
        large = self.root / "images/large.png"
        large.write_bytes((self.root / "images/safe0.png").read_bytes())
        os.truncate(large, 1 << 40)
        try:
            said = self.world.run("embed", "base", "--images", large, "--out", "large.safetensors", code=3).stderr
            self.assertIn("larger than 256.0 MiB", said)
        finally:
            large.unlink()


if __name__ == "__main__":
    for option in ("--program", "--libraries"):
        index = sys.argv.index(option)
        value = pathlib.Path(sys.argv[index + 1]).absolute()
        del sys.argv[index:index + 2]
        if option == "--program":
            World.program = str(value)
        else:
            LIBRARIES = value
    unittest.main(verbosity=2)
