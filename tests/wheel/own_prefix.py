"""Built from source by an ordinary user with libraries in a prefix of his own, on a Debian that has compiler, CMake and Ninja.

    own_prefix.py OFFLINE [--suite bookworm] [--work build/wheel_test] [unittest arguments]

OFFLINE: what `scripts/setup --download OFFLINE` made on a machine of this suite. Needs root, mmdebstrap and a clone (git).
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

import chroot

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ["g++", "cmake", "ninja-build", "python3", "python3-venv"]


class OwnPrefix(unittest.TestCase):
    options = root = None

    @classmethod
    def setUpClass(cls):
        o = cls.options
        cls.root = chroot.unpack(o.work, o.suite, TOOLS, f"{o.suite}-tools")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        home = cls.root / chroot.HOME
        subprocess.run(["git", "clone", "-q", ROOT, home / "clone"], check=True)
        shutil.copytree(o.offline, home / "offline")
        subprocess.run(["chown", "-R", "1000:1000", home], check=True)

    def inside(self, script, code=0):
        return chroot.run(self.root, script, code)

    def test_1_what_is_missing_is_said(self):
        said = self.inside("clone/scripts/setup", code=1)
        for words in ("libopencv-core-dev", "scripts/unpack_packages", "scripts/setup --no-packages", "pip install"):
            self.assertIn(words, said)
        self.inside("mv offline/debian/Packages saved && clone/scripts/unpack_packages offline prefix", code=2)
        self.inside("mv saved offline/debian/Packages")

    def test_2_build(self):
        began = time.monotonic()
        print(self.inside("clone/scripts/unpack_packages offline prefix | tail -n 1"))
        said = self.inside("CMAKE_PREFIX_PATH=$HOME/prefix/usr clone/scripts/setup --no-packages --from offline")
        self.assertNotIn("warning", said)
        print(f"{self.options.suite}: built in {time.monotonic() - began:.0f} s")
        libraries = self.inside("ldd clone/build/release/saferclip")
        self.assertNotIn("not found", libraries)
        for name in ("opencv_core", "yaml-cpp", "spdlog", "sentencepiece"):
            self.assertRegex(libraries, f"lib{name}.* => /{chroot.HOME}/prefix/usr/lib")
        print(self.inside("clone/build/release/saferclip doctor"))

    def test_3_installed(self):
        """And moved, and the build is gone."""
        self.inside("cmake --install clone/build/release --prefix first && mv first installed && mv clone/build gone")
        self.assertIn("LibTorch 2.", self.inside("installed/bin/saferclip version; installed/bin/saferclip doctor"))
        self.inside("mv gone clone/build")

    def test_4_library(self):
        """find_package(saferclip), where OpenCV has no package file: it comes from its modules' own packages."""
        self.assertEqual(self.inside("find prefix -name OpenCVConfig.cmake"), "")
        self.inside("cp -r clone/examples . && CMAKE_PREFIX_PATH=$HOME/installed:$HOME/prefix/usr cmake -G Ninja -S examples -B examples/build "
                    "&& cmake --build examples/build")
        self.assertIn("usage", self.inside("examples/build/embed", code=2))
        self.assertNotIn("not found", self.inside("ldd examples/build/embed"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("offline", type=pathlib.Path)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/wheel_test")
    OwnPrefix.options, rest = parser.parse_known_args()
    OwnPrefix.options.work = OwnPrefix.options.work.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2, failfast=True)
