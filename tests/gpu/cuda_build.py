r"""Builds the program against a CUDA build of LibTorch and runs what needs no card.

    cuda_build.py --build build/release --torch .venv/lib/python3.11/site-packages/torch/include \
        --python .venv/bin/python --nvidia .venv-open-clip

The CUDA wheel has the version of the CPU wheel that the build uses, so most of its headers are the same: what they make
is not compiled again. Sources that include a header that differs are compiled, and nccl.cpp, which a CPU build does not
have; then everything is linked. Exit 77, which CTest takes as skipped, where CUDA's own libraries are missing or the
build uses another version.
"""
import argparse
import filecmp
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
VERSION = "2.13.0"
SHA256 = "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7"  # of its manylinux_2_28_x86_64 wheel for Python 3.11
# Headers that those of CUDA's runtime include, but that torch does not bring: package, version, hash, folder in its wheel.
HEADERS = (("nvidia-cuda-crt", "13.0.88", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4", "crt"),
           ("nvidia-cuda-cccl", "13.0.85", "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649", "nv"))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def call(*command, code=0, **arguments):
    done = subprocess.run([*map(str, command)], text=True, capture_output=True, **arguments)
    if done.returncode != code:
        sys.exit(f"{shlex.join(map(str, command))}: exit {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def fetch_wheel(folder, python, package, version, sha256, wanted):
    """Extracts the files of a wheel whose names start with one of `wanted` into the folder, in the order of `wanted`."""
    folder.mkdir(parents=True, exist_ok=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
    # A configured folder of wheels may hold the CPU build under the same version.
    environment = {k: v for k, v in os.environ.items() if k not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")}
    call(python, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--only-binary=:all:", "--python-version=3.11",
         "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64", "--dest", folder, "-r", requirement,
         env=environment | {"PIP_CONFIG_FILE": os.devnull})
    wheel, = folder.glob(f"{package.replace('-', '_')}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for start in wanted for name in archive.namelist() if name.startswith(start)])
    wheel.unlink()


def fetch_torch(folder, python):
    """The CUDA wheel's libraries and headers in folder/torch."""
    if not (folder / "torch/version.py").exists():
        fetch_wheel(folder, python, "torch", VERSION, SHA256, ("torch/lib/", "torch/include/", "torch/version.py"))  # says that it is all there
    return folder / "torch"


def fetch_headers(folder, python):
    """HEADERS in folder/nvidia/cu13/include, which is returned."""
    include = folder / "nvidia/cu13/include"
    for package, version, sha256, name in HEADERS:
        if not (include / name).exists():
            fetch_wheel(folder, python, package, version, sha256, (f"nvidia/cu13/include/{name}/",))
    return include


def differing_headers(build, ours, theirs):
    """Headers of LibTorch that this build read and that the CUDA build has differently."""
    read = {line.strip() for line in call("ninja", "-C", build, "-t", "deps").splitlines() if line.startswith("    ")}
    headers = [pathlib.Path(path).relative_to(ours) for path in read if path.startswith(f"{ours}/")]
    if not headers:
        sys.exit(f"{build} names no header of {ours}")
    return {ours / header for header in headers
            if not (theirs / header).exists() or not filecmp.cmp(ours / header, theirs / header, shallow=False)}


def readers_of(build, headers):
    """Objects of the build that depend on one of the headers."""
    objects, current = set(), ""
    for line in call("ninja", "-C", build, "-t", "deps").splitlines():
        if line and not line.startswith(" "):
            current = line.split(":")[0]
        elif pathlib.Path(line.strip()) in headers:
            objects.add(current)
    return objects


def build_program(build, target, differing):
    """Runs the commands that build the program in `target`; takes an object of `build` where nothing it read differs."""
    stale = readers_of(build, differing)
    must_compile = any(name.endswith(".gch") for name in stale)  # whatever includes a precompiled header
    compiled = taken = 0
    for command in call("ninja", "-C", target, "-t", "commands", "saferclip").splitlines():
        made = re.search(r" -o (\S+\.(?:o|gch)) ", command)
        if made and not must_compile and made[1] not in stale and (build / made[1]).exists():
            (target / made[1]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(build / made[1], target / made[1])
            taken += 1
            continue
        compiled += bool(made)
        began = time.monotonic()
        call("bash", "-c", command, cwd=target)
        if made and made[1].endswith("/nccl.cpp.o"):
            print(f"nccl.cpp compiled in {time.monotonic() - began:.1f} s")
    return compiled, taken


def require(words, text):
    for word in words:
        if word not in text:
            sys.exit(f"expected {word!r} in:\n{text}")


def wheels_way(build, target, environment):
    """The program of the CPU build takes NCCL from the library beside it, where LibTorch is a CUDA build of its version."""
    call("ninja", "-C", target, "saferclip_nccl")
    folder = target / "beside"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(build / "saferclip", folder)
    (folder / "data").symlink_to(build / "data")
    require(["gloo (libsaferclip_nccl.so is not beside the program)"], call(folder / "saferclip", "doctor", env=environment))
    shutil.copy(target / "libsaferclip_nccl.so", folder)
    require(["gloo, nccl 2."], call(folder / "saferclip", "doctor", env=environment))
    other = folder / "other_nccl.cpp"
    other.write_text('extern "C" int ncclGetVersion(int* version) { *version = 22705; return 0; }\n')
    call("c++", "-shared", "-fPIC", other, "-o", other.with_suffix(".so"))
    require(["this torch has NCCL 2.27.5 and CUDA 13.0, the program was built for NCCL 2."],
            call(folder / "saferclip", "doctor", env=environment | {"LD_PRELOAD": str(other.with_suffix(".so"))}))
    without = {name: value for name, value in environment.items() if name != "LD_LIBRARY_PATH"}
    require(["gloo; this is one process"], call(folder / "saferclip", "doctor", env=without))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--torch", type=pathlib.Path, required=True, help="include folder of the LibTorch that the build uses")
    parser.add_argument("--python", required=True)
    parser.add_argument("--nvidia", type=pathlib.Path, required=True, help="a virtual environment with NVIDIA's packages for CUDA 13")
    a = parser.parse_args()
    a.build, a.torch = a.build.resolve(), a.torch.resolve()
    packages = next(a.nvidia.glob("lib/python3.*/site-packages/nvidia/cu13"), None)
    if packages is None:
        skip(f"{a.nvidia} has no NVIDIA packages for CUDA 13: they come with the clients' tests")
    version = re.search(r"__version__ = '([^']+)'", (a.torch.parent / "version.py").read_text())[1]
    if version.split("+")[0] != VERSION:
        skip(f"the build uses LibTorch {version}, the wheel is {VERSION}: all of it would have to be compiled")
    if os.uname().machine != "x86_64":
        skip("the wheel is for x86-64")
    folder = a.build.parent / "cuda_torch"
    torch = fetch_torch(folder, a.python)
    if not (folder / "nvidia").exists():
        (folder / "nvidia").symlink_to(packages.parent.resolve())
    headers = fetch_headers(a.build.parent / "cuda_headers", a.python)
    target = a.build.parent / "cuda"
    unity = re.search(r"SAFERCLIP_UNITY:BOOL=(\w+)", (a.build / "CMakeCache.txt").read_text())[1]  # objects of the same files
    said = call("cmake", "-S", ROOT, "-B", target, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DSAFERCLIP_WERROR=ON",
                "-DSAFERCLIP_BUILD_TESTS=OFF", f"-DSAFERCLIP_UNITY={unity}", f"-DSAFERCLIP_TORCH={torch}", f"-DNCCL_INCLUDE_DIR={headers}")
    require(["NCCL: /", str(headers)], said)
    differing = differing_headers(a.build, a.torch, torch / "include")
    compiled, taken = build_program(a.build, target, differing)
    print(f"headers that differ: {len(differing)}; sources compiled: {compiled}, objects taken over: {taken}")
    program = target / "saferclip"
    require([f"{torch}/lib/libtorch_cuda.so", "/nccl/lib/libnccl.so"], call("ldd", program))
    require(["c10d::ProcessGroupNCCL::ProcessGroupNCCL("], call("nm", "--dynamic", "--demangle", "--undefined-only", program))
    (target / "data").mkdir(exist_ok=True)
    shutil.copytree(a.build / "data", target / "data", dirs_exist_ok=True)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    said = call(program, "doctor", env=environment)
    print(said)
    wheels_way(a.build, target, environment | {"LD_LIBRARY_PATH": str(torch / "lib")})
    require([f"LibTorch {VERSION}", "gloo, nccl 2."], said)
    if not shutil.which("nvidia-smi"):
        require(["no NVIDIA driver"], said)
        # A program linked with the CPU build finds the CUDA build's library beside the CPU one's.
        require(["no NVIDIA driver"], call(a.build / "saferclip", "doctor", env=environment | {"LD_LIBRARY_PATH": torch / "lib"}))
        require(["no CUDA device", "no NVIDIA driver"], call(program, "--device", "cuda", "embed", "x", "--texts", "a", "--out", "y.npy", code=2))
    suite = subprocess.run([sys.executable, ROOT / "tests/e2e/e2e.py", "--program", program, *E2E], env=environment)
    sys.exit(suite.returncode)


# Of the end-to-end tests: train, stop, resume, evaluate, export, embed.
E2E = ("-k", "sigterm", "-k", "export")

main()
