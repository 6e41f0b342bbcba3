"""Captions a second beside open_clip's tokenizer and transformers' fast one, and whether the ids are equal.

    .venv-open-clip/bin/python tests/bench/tokenizer.py [--count 1000000] [--transformers-count 250000] [--open-clip-count 100000]

Captions are made of the words of CLIP's vocabulary, the frequent ones often (Zipf), with capitals, punctuation, numbers,
unknown words, and in 2 % accents, emoji, curly quotes or HTML entities. saferclip does all of them, each repetition with a
new tokenizer; the others do the first ones, already warm. transformers gets batches of 10,000.
"""
import argparse
import gzip
import importlib.util
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTEXT, BATCH = 77, 10_000
RARE = [" café", " naïve façade", " \N{SLIGHTLY SMILING FACE}", " \N{LEFT DOUBLE QUOTATION MARK}sign\N{RIGHT DOUBLE QUOTATION MARK}", " salt &amp; pepper", " piñata", " 東京", " don\N{RIGHT SINGLE QUOTATION MARK}t"]


def vocabulary_file():
    return str(pathlib.Path(importlib.util.find_spec("open_clip").origin).parent / "bpe_simple_vocab_16e6.txt.gz")


def make_captions(count, vocabulary):
    rng = random.Random(1)
    merges = gzip.open(vocabulary).read().decode().split("\n")[1:49152 - 256 - 2 + 1]
    words = [w[:-4] for w in ("".join(m.split()) for m in merges) if w.endswith("</w>") and w[:-4].isascii() and w[:-4].isalpha()]
    sums = numpy.cumsum(1 / numpy.arange(1, len(words) + 1)).tolist()
    for _ in range(count):
        chosen = rng.choices(words, cum_weights=sums, k=rng.randint(6, 16))
        bend = rng.random()
        if bend < 0.1:
            chosen[-1] += chosen[0]
        elif bend < 0.2:
            chosen[1] = str(rng.randint(0, 2000))
        elif bend < 0.3:
            chosen[2] += ","
        text = " ".join(chosen)
        if rng.random() < 0.3:
            text = text.capitalize() + "."
        yield text + (rng.choice(RARE) if bend > 0.98 else "")


def padded(rows):
    ids = numpy.zeros((len(rows), CONTEXT), numpy.int32)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = row
    return ids


def timed(function, repeats):
    seconds, result = [], None
    for _ in range(repeats + 1):
        began = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - began)
    return seconds[1:], result


def client(name, captions, vocabulary, repeats):
    if name == "open_clip":
        import open_clip
        tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT)
        seconds, ids = timed(lambda: tokenizer(captions), repeats)
        return seconds, ids.numpy().astype(numpy.int32)
    sys.path.insert(0, str(ROOT / "tests/corpus"))
    from tokens import hugging_face_tokenizer
    tokenizer = hugging_face_tokenizer(vocabulary)
    batches = [captions[i:i + BATCH] for i in range(0, len(captions), BATCH)]
    seconds, ids = timed(lambda: [tokenizer(b, truncation=True, max_length=CONTEXT)["input_ids"] for b in batches], repeats)
    return seconds, padded([row for batch in ids for row in batch])


def run_client(arguments):
    """In a process of its own, whose environment says how many threads there are."""
    captions = pathlib.Path(arguments.captions).read_text("utf-8").split("\n")[:arguments.count]
    seconds, ids = client(arguments.client, captions, vocabulary_file(), arguments.repeat)
    ids.tofile(arguments.ids)
    print(json.dumps({"seconds": seconds}))


def measure(command, ids, environment=()):
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ, **dict(environment))).stdout
    return json.loads(out.splitlines()[-1])["seconds"], numpy.fromfile(ids, numpy.int32).reshape(-1, CONTEXT)


def microseconds(seconds, count):
    return {name: 1e6 * f(seconds) / count for name, f in (("median", statistics.median), ("least", min), ("most", max))}


def row(name, threads, arguments, folder):
    count = arguments.open_clip_count if name == "open_clip" else arguments.transformers_count
    cleaning = "openai" if name == "open_clip" else "hf"
    captions, ids = f"{folder}/captions", f"{folder}/ids"
    own_s, own = measure([arguments.program, vocabulary_file(), cleaning, captions, str(threads), str(arguments.repeat), ids], ids)
    environment = {"TOKENIZERS_PARALLELISM": str(threads > 1).lower(), "RAYON_NUM_THREADS": str(threads)}
    their_s, theirs = measure([sys.executable, __file__, "--client", name, "--captions", captions, "--count", str(count),
                               "--repeat", str(arguments.repeat), "--ids", ids], ids, environment)
    result = {"client": name, "threads": threads, "captions": [len(own), count], "saferclip_us": microseconds(own_s, len(own)),
              "client_us": microseconds(their_s, count), "rows_that_differ": int((own[:count] != theirs).any(1).sum())}
    result["ratio"] = result["client_us"]["median"] / result["saferclip_us"]["median"]
    text = lambda us: f"{us['median']:.2f} ({us['least']:.2f} … {us['most']:.2f})"
    print(f"| {name} | {threads} | {text(result['saferclip_us'])} | {text(result['client_us'])} | {result['ratio']:.1f} | {result['rows_that_differ']} of {count:,} |", file=sys.stderr)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "build/release/tests/tokens_bench"))
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--transformers-count", type=int, default=250_000)
    parser.add_argument("--open-clip-count", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--captions", help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        return run_client(arguments)
    print("| beside | threads | saferclip, µs a caption | theirs, µs a caption | ratio | rows of ids that differ |\n|---|---|---|---|---|---|", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "captions").write_text("\n".join(make_captions(arguments.count, vocabulary_file())), "utf-8")
        results = [row(name, threads, arguments, folder) for name, threads in (("open_clip", 1), ("transformers", 1), ("transformers", 2))]
    print(json.dumps(results, indent=1))


main()
