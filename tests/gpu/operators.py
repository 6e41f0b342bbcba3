#!/usr/bin/env python3
"""Checks that CUDA has what ran on the fake device: for each operator a kernel, or a composite made of others.

    operators.py --torch-python PYTHON FILE...    FILE: what FAKE_CUDA_OPERATORS wrote
    operators.py --torch-python PYTHON --rules    what rules.cpp and tensors.cpp list, read off that torch

PYTHON has a torch with CUDA; no card is needed, the tables of the dispatcher tell. Exit status 1: an operator lacks,
77: that Python or its CUDA is not there.
"""
import argparse
import os
import pathlib
import subprocess
import sys

SKIPPED = 77
COMPOSITES = ("CompositeExplicitAutograd", "CompositeImplicitAutograd", "CompositeExplicitAutogradNonFunctional")


def has_kernel(torch, name, key):
    try:
        return torch._C._dispatch_has_kernel_for_dispatch_key(name, key)
    except RuntimeError:  # this torch has no such operator
        return False


def runs_on_cuda(torch, name):
    return any(has_kernel(torch, name, key) for key in ("CUDA", *COMPOSITES))


def check(torch, files):
    names = sorted({line.strip() for file in files for line in pathlib.Path(file).read_text().splitlines() if line.strip()})
    if not names:
        print(f"no operators in {', '.join(files)}")
        return 1
    missing = [name for name in names if not runs_on_cuda(torch, name)]
    for name in missing:
        print(f"{name}: no CUDA kernel in torch {torch.__version__}")
    print(f"{len(names)} operators, {len(missing)} without a CUDA kernel or composite in torch {torch.__version__}")
    return 1 if missing else 0


def print_rules(torch):
    names = [name for name in sorted(torch._C._dispatch_get_all_op_names()) if name.startswith("aten::")]
    print("The CPU has a kernel, CUDA nothing:")
    for name in names:
        if has_kernel(torch, name, "CPU") and not runs_on_cuda(torch, name):
            print(f"  {name}")
    print("CUDA has a kernel where others have a composite:")
    for name in names:
        if has_kernel(torch, name, "CUDA") and any(has_kernel(torch, name, key) for key in COMPOSITES[:2]):
            print(f"  {name}")
    return 0


def in_torch_python(python):
    """Runs this script again with the Python that has CUDA's torch; its exit status."""
    if not os.access(python, os.X_OK):
        print(f"skipped: {python} is not there")
        return SKIPPED
    return subprocess.run([python, __file__, *sys.argv[1:]], env={**os.environ, "OPERATORS_INSIDE": "1"}).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", required=True)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if not arguments.rules and not arguments.files:
        parser.error("no file of operators")
    if "OPERATORS_INSIDE" not in os.environ:
        return in_torch_python(arguments.torch_python)
    try:
        import torch
    except ImportError:
        print("skipped: no torch")
        return SKIPPED
    if not has_kernel(torch, "aten::mm", "CUDA"):
        print(f"skipped: torch {torch.__version__} has no CUDA kernels")
        return SKIPPED
    return print_rules(torch) if arguments.rules else check(torch, arguments.files)


if __name__ == "__main__":
    sys.exit(main())
