"""What the comparisons with clients share: a folder that the program embeds pictures and texts in."""
import argparse
import os
import subprocess

import torch
from safetensors.torch import load_file


class ClientWorld:
    """`pictures` and `texts` are embedded; a subclass makes them."""
    texts = ()

    def __init__(self, program, root):
        self.program, self.root = os.path.abspath(program), root
        self.pictures = []

    def run(self, *arguments, code=0):
        done = subprocess.run([self.program, *map(str, arguments)], cwd=self.root, capture_output=True, text=True)
        if done.returncode != code:
            raise SystemExit(f"saferclip {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def embed(self, weights, *options):
        out = self.root / "own.safetensors"
        self.run("embed", weights, *options, "--texts", *self.texts, "--images", *self.pictures, "--out", out)
        return load_file(out)


def normal(rows):
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def program_argument():
    """--program, of a script that has no other arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    return os.path.abspath(parser.parse_args().program)
