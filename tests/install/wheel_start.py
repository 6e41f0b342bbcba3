"""How the wheel's Python starts the program: which torch it takes, and what it says if it can take none.

    wheel_start.py --program build/release/saferclip --torch TORCH_FOLDER [unittest arguments]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class WheelStart(unittest.TestCase):
    program = torch = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.package = self.folder / "saferclip"
        shutil.copytree(ROOT / "python/saferclip", self.package)
        (self.package / "lib/saferclip").mkdir(parents=True)
        (self.package / "lib/saferclip/saferclip").symlink_to(self.program)
        (self.package / "share/saferclip").mkdir(parents=True)
        version = re.search(r"__version__ = '(\d+\.\d+)", (self.torch / "version.py").read_text())[1]
        (self.package / "share/saferclip/torch_version").write_text(version + "\n")
        self.minor = version

    def start(self, *words, code=0, **variables):
        """Starts the package with a Python that has no packages of its own. Returns what it prints."""
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.folder), **variables}
        done = subprocess.run([sys.executable, "-S", "-m", "saferclip", *words], env=environment, text=True, capture_output=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def place_torch(self, version):
        (self.folder / "torch/lib").mkdir(parents=True)
        (self.folder / "torch/__init__.py").touch()
        (self.folder / "torch/lib/libtorch_cpu.so").touch()
        (self.folder / "torch/version.py").write_text(f"__version__ = '{version}'\n")

    def test_the_torch_package_beside_it(self):
        (self.folder / "torch").symlink_to(self.torch)
        self.assertRegex(self.start("version"), r"^saferclip \d")
        self.assertIn(f"LibTorch {self.minor}.", self.start("doctor"))
        # The program's own arguments and exit code.
        self.assertIn('unknown command "fly"', self.start("fly", code=2))

    def test_a_torch_that_is_named(self):
        self.assertRegex(self.start("version", SAFERCLIP_TORCH=str(self.torch)), r"^saferclip \d")
        self.assertIn("has no lib/libtorch_cpu.so; name the folder", self.start("version", code=1, SAFERCLIP_TORCH="/usr"))

    def test_no_torch(self):
        said = self.start("version", code=1)
        self.assertIn(f"torch {self.minor} is not installed for {sys.executable}; {sys.executable} -m pip install 'torch=={self.minor}.*'", said)

    def test_another_torch(self):
        self.place_torch("1.9.1+cpu")
        self.assertIn(f"is torch 1.9, but this program was built for {self.minor}; ", self.start("version", code=1))

    def test_a_program_that_is_gone(self):
        (self.package / "lib/saferclip/saferclip").unlink()
        self.assertIn("is missing; ", self.start("version", code=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--torch", required=True)
    options, rest = parser.parse_known_args()
    WheelStart.program, WheelStart.torch = os.path.abspath(options.program), pathlib.Path(options.torch).resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
