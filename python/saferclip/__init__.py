"""Starts the native program of the wheel with the LibTorch of the torch package beside it.

Nothing of torch is imported: the program loads its libraries itself.
"""
import importlib.util
import os
import pathlib
import re
import sys

PREFIX = pathlib.Path(__file__).resolve().parent
PROGRAM = PREFIX / "lib/saferclip/saferclip"


class Unusable(Exception):
    """Why the program cannot start, with the cure."""


def wanted_torch():
    """The minor version of torch that the program was built for, as "2.13"."""
    return (PREFIX / "share/saferclip/torch_version").read_text().strip()


def torch_folder():
    """The torch package or libtorch folder to use. Raises Unusable."""
    wanted, named = wanted_torch(), os.environ.get("SAFERCLIP_TORCH")
    cure = f"{sys.executable} -m pip install 'torch=={wanted}.*'"
    if named:
        folder, start, cure = pathlib.Path(named), f"SAFERCLIP_TORCH={named}", f"name the folder of a torch {wanted}, or unset it"
    else:
        spec = importlib.util.find_spec("torch")
        if spec is None or not spec.submodule_search_locations:
            raise Unusable(f"torch {wanted} is not installed for {sys.executable}; {cure}")
        folder = pathlib.Path(spec.submodule_search_locations[0])
        start = str(folder)
    if not (folder / "lib/libtorch_cpu.so").exists():
        raise Unusable(f"{start}: has no lib/libtorch_cpu.so; {cure}")
    found = found_version(folder)
    if found and found != wanted:
        raise Unusable(f"{start}: is torch {found}, but this program was built for {wanted}; {cure}")
    return folder


def found_version(folder):
    """The minor version of a torch package or an unpacked libtorch; None if it does not say."""
    for name, pattern in (("version.py", r"__version__ = '(\d+\.\d+)"), ("build-version", r"(\d+\.\d+)")):
        if (folder / name).exists():
            match = re.search(pattern, (folder / name).read_text())
            if match:
                return match[1]
    return None


def main():
    try:
        if not PROGRAM.exists():
            raise Unusable(f"{PROGRAM}: is missing; {sys.executable} -m pip install --force-reinstall --no-deps saferclip")
        libraries = [str(torch_folder() / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
        os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
        os.execv(PROGRAM, ["saferclip", *sys.argv[1:]])
    except (Unusable, OSError) as problem:
        sys.exit(f"saferclip: {problem}")
