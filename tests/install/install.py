"""The program as `cmake --install` leaves it: moved, with LibTorch from several places, and removed again.

    install.py --build build/release --torch TORCH_FOLDER [unittest arguments]
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import Workspace, World  # noqa: E402

LAUNCHER, PROGRAM = "bin/saferclip", "lib/saferclip/saferclip"


class Install(unittest.TestCase):
    build = torch = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name).resolve()
        cls.first = cls.folder / "first"
        cls.install(cls.first)

    @classmethod
    def install(cls, prefix, *words):
        subprocess.run(["cmake", "--install", cls.build, "--prefix", prefix, *words], check=True, stdout=subprocess.DEVNULL)

    def run_program(self, prefix, *words, code=0, **variables):
        """Runs the program without this process's environment. Returns what it prints."""
        done = subprocess.run([prefix / LAUNCHER, *words], env={"PATH": "/usr/bin:/bin", **variables}, cwd=self.folder,
                              text=True, capture_output=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def moved(self, name, built_with="/nowhere"):
        """The first prefix at another place, on a machine that lacks what it was built with."""
        prefix = self.folder / name
        shutil.copytree(self.first, prefix, symlinks=True)
        launcher = prefix / LAUNCHER
        text = launcher.read_text()
        recorded = next(line for line in text.splitlines() if line.startswith("built_with="))
        launcher.write_text(text.replace(recorded, f"built_with='{built_with}'"))
        return prefix

    def test_what_is_there(self):
        self.assertIn("saferclip 0.", self.run_program(self.first, "version"))
        library_path = subprocess.run(["readelf", "-d", self.first / PROGRAM], check=True, text=True, capture_output=True).stdout
        self.assertIn("[$ORIGIN/torch]", library_path)
        listed = set((self.first / "share/saferclip/manifest.txt").read_text().split("\n")[:-1])
        self.assertEqual(listed, {str(path.relative_to(self.first)) for path in self.first.rglob("*") if not path.is_dir()})
        for name in ("saferclip/configs/saferclip-vit-b32.yaml", "saferclip/bpe_simple_vocab_16e6.txt.gz", "man/man1/saferclip-train.1",
                     "bash-completion/completions/saferclip", "zsh/site-functions/_saferclip", "fish/vendor_completions.d/saferclip.fish"):
            self.assertIn(f"share/{name}", listed)

    def test_moved_it_trains_and_embeds(self):
        prefix = self.moved("moved")
        (self.folder / "world").mkdir()
        world = World(self.folder / "world")
        Workspace.program = str(prefix / LAUNCHER)
        os.environ["SAFERCLIP_TORCH"] = self.torch
        self.addCleanup(os.environ.pop, "SAFERCLIP_TORCH")
        world.make_base()
        world.run("train", "safe.yaml", "--set", "train.max_steps=4")
        world.run("embed", "base", "--texts", "a red bird", "--out", "rows.safetensors")
        # CLIP's vocabulary is found, and does not fit the toy model.
        refused = world.run("embed", "base", "--tokenizer", "clip", "--texts", "a red bird", "--out", "none.safetensors", code=2)
        self.assertIn("CLIP's vocabulary has 49408 entries, but the model has 514", refused.stderr)

    def test_libtorch_beside_it(self):
        prefix = self.moved("whole")
        self.install(prefix, "--component", "torch")
        self.assertIn("saferclip 0.", self.run_program(prefix, "version"))
        subprocess.run([prefix / "share/saferclip/uninstall"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(list(prefix.rglob("*")), [])

    def test_libtorch_that_is_not_there_or_another(self):
        prefix = self.moved("alone")
        said = self.run_program(prefix, "version", code=1)
        for words in ("LibTorch 2.", "SAFERCLIP_TORCH", "--component torch"):
            self.assertIn(words, said)
        self.assertIn("has no lib/libtorch_cpu.so", self.run_program(prefix, "version", code=1, SAFERCLIP_TORCH="/usr"))
        other = self.folder / "other"
        (other / "lib").mkdir(parents=True)
        (other / "lib/libtorch_cpu.so").touch()
        for file, text in (("version.py", "__version__ = '2.11.0+cpu'\n"), ("build-version", "1.9.0\n")):
            for old in ("version.py", "build-version"):
                (other / old).unlink(missing_ok=True)
            (other / file).write_text(text)
            said = self.run_program(prefix, "version", code=1, SAFERCLIP_TORCH=str(other))
            self.assertIn("but this program was built for 2.", said)

    def test_prefix_may_be_relative(self):
        subprocess.run(["cmake", "--install", self.build, "--prefix", "relative"], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        listed = (self.folder / "relative/share/saferclip/manifest.txt").read_text().split("\n")
        self.assertIn("bin/saferclip", listed)
        self.assertEqual([name for name in listed if name.startswith("/")], [])

    def test_uninstall_leaves_what_is_not_its_own(self):
        prefix = self.moved("kept")
        (prefix / "bin/other").touch()
        subprocess.run([pathlib.Path(__file__).resolve().parents[2] / "scripts/uninstall", prefix], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual([path.name for path in prefix.rglob("*")], ["bin", "other"])
        done = subprocess.run([pathlib.Path(__file__).resolve().parents[2] / "scripts/uninstall", prefix], text=True, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no such file; expected the prefix", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--torch", required=True)
    options, rest = parser.parse_known_args()
    Install.build, Install.torch = os.path.abspath(options.build), os.path.abspath(options.torch)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
