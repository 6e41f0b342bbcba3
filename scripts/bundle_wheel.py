"""Puts the libraries that a built wheel needs into it, and the licenses of all that it contains.

    bundle_wheel.py WHEEL --opencv PREFIX --out DIR

Libraries of torch stay out: they are those of the torch package that the wheel depends on. Prints the wheel's path.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TORCH = ("libtorch*.so*", "libc10*.so*", "libgomp*.so*")
# What is compiled in without being a library of its own.
HEADERS = ("nlohmann-json3-dev", "libcli11-dev", "libspdlog-dev", "libgloo-dev")
DOC = "saferclip/share/doc/saferclip/third_party"


def call(*command):
    done = subprocess.run([*map(str, command)], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def package_of(library):
    """The Debian package of a bundled library such as libwebp-1a2b3c4d.so.7.1.5."""
    name = re.sub(r"-[0-9a-f]{8}(?=\.so)", "", library.name)
    return call("dpkg", "-S", f"*/{name}").split(":")[0]


def copy_licenses(tree, opencv):
    target = tree / DOC
    target.mkdir(parents=True, exist_ok=True)
    packages = {package_of(library) for library in (tree / "saferclip.libs").iterdir()} | set(HEADERS)
    for package in sorted(packages):
        shutil.copy(f"/usr/share/doc/{package}/copyright", target / f"{package}.txt")
    shutil.copy(opencv / "LICENSE", target / "opencv.txt")
    shutil.copy(opencv / "LICENSE-3RD-PARTY.txt", target / "opencv-third-party.txt")
    return packages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("--opencv", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        excluded = [word for name in TORCH for word in ("--exclude", name)]
        call(sys.executable, "-m", "auditwheel", "repair", *excluded, "--wheel-dir", folder / "repaired", a.wheel)
        repaired, = (folder / "repaired").glob("*.whl")
        call(sys.executable, "-m", "wheel", "unpack", "--dest", folder / "tree", repaired)
        tree, = (folder / "tree").iterdir()
        packages = copy_licenses(tree, a.opencv)
        call(sys.executable, "-m", "wheel", "pack", "--dest-dir", a.out, tree)
        packed = a.out / repaired.name
    print(f"{packed}: {packed.stat().st_size / 1e6:.1f} MB, with {', '.join(sorted(packages - set(HEADERS)))}")


main()
