"""The wheel on a bare system: installed with pip by an ordinary user in a chroot that has Python and nothing else.

    bare_system.py WHEEL [--suite bookworm] [--data demo/data] [--torch FOLDER] [--work build/wheel_test] [unittest arguments]

Needs root, mmdebstrap, and the demo's pictures (scripts/demo_data/make.py). The chroot has no network: pip installs from a
folder that this script fills. --torch: a torch package folder that is used as SAFERCLIP_TORCH instead of pip's, for
systems for whose Python no CPU build of torch is at hand.
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
SETTINGS = "--set data.cache_dir=cache --set run.dir=runs"


def call(*command, **arguments):
    subprocess.run([*map(str, command)], check=True, **arguments)


class BareSystem(unittest.TestCase):
    options = root = None

    @classmethod
    def setUpClass(cls):
        o = cls.options
        cls.root = chroot.unpack(o.work, o.suite, ["python3", "python3-venv"], o.suite)
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.fill()

    @classmethod
    def fill(cls):
        o, home = cls.options, cls.root / chroot.HOME
        wheels = cls.root / "wheels"
        wheels.mkdir()
        shutil.copy(o.wheel, wheels)
        if o.torch:
            shutil.copytree(o.torch, cls.root / "torch", ignore=shutil.ignore_patterns("*.py[co]", "include", "test", "libtorch_python*"))
        else:
            call(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary=:all:", "-d", wheels, "torch==2.13.*")
        shutil.copytree(o.data, home / "demo/data")
        shutil.copytree(ROOT / "configs", home / "configs")
        call("chown", "-R", "1000:1000", home)

    @classmethod
    def inside(cls, script, code=0, variables=""):
        torch = "export SAFERCLIP_TORCH=/torch; " if cls.options.torch else ""
        return chroot.run(cls.root, torch + variables + script, code)

    def test_1_install(self):
        began = time.monotonic()
        extra = "--no-deps" if self.options.torch else ""
        self.inside(f"python3 -m venv env && env/bin/pip install -q --no-index --find-links /wheels {extra} saferclip")
        print(f"\n{self.options.suite}: installed in {time.monotonic() - began:.0f} s")
        said = self.inside("saferclip version; saferclip doctor; python3 --version; cat /etc/os-release | head -n 1")
        print(said)
        self.assertIn("LibTorch 2.13", said)
        size = self.inside("du -sm env/lib/python3*/site-packages/saferclip env/lib/python3*/site-packages/saferclip.libs")
        print(size)
        libraries = self.inside("LD_LIBRARY_PATH=$(python3 -c 'import saferclip; print(saferclip.torch_folder())')/lib "
                                "/lib64/ld-linux-x86-64.so.2 --list env/lib/python3*/site-packages/saferclip/lib/saferclip/saferclip")
        print(libraries)
        self.assertNotIn("not found", libraries)
        for path in ("share/man/man1/saferclip-train.1", "share/bash-completion/completions/saferclip"):
            self.inside(f"test -s env/{path}")

    def test_2_demo_steps(self):
        config = "configs/demo"
        began = time.monotonic()
        self.inside(f"saferclip train {config}/base.yaml {SETTINGS} --set train.max_steps=60 && saferclip export runs/base --to hf --out demo/base")
        train = f"saferclip train {config}/saferclip_plus.yaml {SETTINGS} --set train.max_steps=40 --set checkpoint.every_steps=10 --resume auto"
        # Killed once, in the middle.
        self.inside(f"{train} & pid=$!; until grep -q '\"step\":15,' runs/saferclip_plus/metrics.jsonl 2>/dev/null; do sleep 0.1; done; "
                    f"kill -9 $pid; if wait $pid; then echo ended before the kill; exit 9; fi; {train}")
        said = self.inside("saferclip evaluate runs/saferclip_plus --split trained --out after.json")
        self.assertIn("before", said)
        self.inside("saferclip report runs/saferclip_plus --out report.html && grep -q '<svg' report.html && "
                    "saferclip export runs/saferclip_plus --to hf --out safe && saferclip export runs/saferclip_plus --to peft --out adapter && "
                    "saferclip embed safe --texts 'a red circle' --out texts.safetensors && "
                    "saferclip embed safe --images $(find demo/data/images -name '*.png' | head -n 3) --out images.safetensors")
        said = self.inside("saferclip inspect safe")
        print(said, f"demo's steps in {time.monotonic() - began:.0f} s")

    def test_3_what_is_wrong_is_said(self):
        package = "env/lib/python3*/site-packages/saferclip"
        self.inside("mkdir -p other/lib && touch other/lib/libtorch_cpu.so && echo \"__version__ = '2.11.0'\" > other/version.py")
        said = self.inside("saferclip version", code=1, variables="export SAFERCLIP_TORCH=/home/user/other; ")
        self.assertIn("is torch 2.11, but this program was built for 2.13", said)
        said = self.inside("saferclip version", code=1, variables="export SAFERCLIP_TORCH=/home/user; ")
        self.assertIn("has no lib/libtorch_cpu.so", said)
        said = self.inside(f"mv {package}/share/saferclip/bpe_simple_vocab_16e6.txt.gz vocabulary.gz; "
                           "saferclip embed demo/base --tokenizer clip --texts a --out none.safetensors", code=3)
        self.assertIn("install saferclip again", said)
        self.inside(f"mv vocabulary.gz $(echo {package})/share/saferclip/bpe_simple_vocab_16e6.txt.gz")
        said = self.inside("python3 -m venv plain && plain/bin/pip install -q --no-index --find-links /wheels --no-deps saferclip && "
                           "unset SAFERCLIP_TORCH; plain/bin/saferclip version", code=1)
        self.assertIn("torch 2.13 is not installed for", said)
        self.inside("chmod -R a-w env; saferclip version; saferclip embed demo/base --texts a --out rows.safetensors; chmod -R u+w env")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "demo/data")
    parser.add_argument("--torch", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/wheel_test")
    BareSystem.options, rest = parser.parse_known_args()
    for name in ("wheel", "data", "work"):
        setattr(BareSystem.options, name, getattr(BareSystem.options, name).resolve())
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2, failfast=True)
