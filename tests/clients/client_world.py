"""What the comparisons with clients share: a folder that the program embeds pictures and texts in."""
import argparse
import os
import random
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


def train_sentencepiece(folder):
    """SigLIP's kind: unigram, no begin mark, the end mark has id 1."""
    import sentencepiece  # only .venv-open-clip has it
    words = "red blue green dog cat car tree sun moon bad caf\u00e9 photo picture of a the isn it".split()
    rng = random.Random(2)
    lines = [" ".join(rng.choice(words) for _ in range(rng.randrange(2, 9))) for _ in range(800)]
    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spiece"), vocab_size=120, model_type="unigram",
        hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    (folder / "spiece.vocab").unlink()
    return sentencepiece.SentencePieceProcessor(str(folder / "spiece.model")).vocab_size()


def program_argument():
    """--program, of a script that has no other arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    return os.path.abspath(parser.parse_args().program)
