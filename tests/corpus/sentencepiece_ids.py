"""Token ids of random captions by SigLIP's two kinds of tokenizer against transformers and open_clip.

    sentencepiece_ids.py --tool build/release/tests/corpus_tool [--count 200000] [--seed 1]

Trains larger models than the fixtures (SigLIP's with NFKC, as the published ones), compares all captions, and then lets
both clients load the files that an export of a bare model file writes. Needs what scripts/fixtures/sentencepiece.py needs.
Prints counts and some of the captions that differ; fails when there are any but of two known classes.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import random
import re
import string
import struct
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "fixtures" / "sentencepiece.py"


def oracle():
    spec = importlib.util.spec_from_file_location("sentencepiece_fixtures", FIXTURES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def captions(made, count, seed):
    """Half from a few scripts with marks between, a quarter of sentences, a quarter of any characters."""
    rng = random.Random(seed)
    texts = list(made.random_texts(count // 2, seed)) + list(made.sentences(count // 4, seed))
    while len(texts) < count:
        code = [rng.randrange(0x110000) if rng.random() < 0.5 else rng.randrange(0x3000) for _ in range(rng.randint(1, 80))]
        texts.append("".join(chr(c) for c in code if not 0xD800 <= c < 0xE000))
    return texts


def own_ids(tool, model, cleaning, texts):
    raws = [t.encode("utf-8") for t in texts]
    given = b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)
    numbers = memoryview(subprocess.run([tool, "ids", model, cleaning], input=given, stdout=subprocess.PIPE, check=True).stdout).cast("i")
    out, at = [], 0
    for _ in raws:
        out.append(numbers[at + 1:at + 1 + numbers[at]].tolist())
        at += 1 + numbers[at]
    return out


def canonical(text):
    """What transformers' SiglipTokenizer does to a caption, for tokenizers that leave it to their caller."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text).strip()


def compare(name, texts, ours, theirs):
    """Prints how many are equal. Two classes are known and counted apart: the same pieces in another order (two ways to cut a
    text with one score, between which releases of SentencePiece choose differently), and U+2581 written in a caption."""
    wrong = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    known = {"the same pieces in another order": [i for i in wrong if sorted(ours[i]) == sorted(theirs[i])],
             "U+2581 written": [i for i in wrong if "\u2581" in texts[i] and sorted(ours[i]) != sorted(theirs[i])]}
    others = sorted(set(wrong) - set(sum(known.values(), [])))
    classes = "".join(f"; {len(found)} with {what}" for what, found in known.items() if found)
    print(f"{len(texts) - len(wrong):>9,} of {len(texts):,}  {name}{classes}", flush=True)
    for i in others[:5] + [found[0] for found in known.values() if found]:
        print("          ", ascii(texts[i][:100]), "\n             ours  ", ours[i][:20], "\n             theirs", theirs[i][:20])
    return len(others)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    made = oracle()
    texts = captions(made, arguments.count, arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        siglip, gemma = scratch / "siglip", scratch / "siglip2"
        lines = list(made.sentences(20_000, 2)) + list(made.random_texts(1_000, 3))
        made.train_siglip(siglip / "spiece.model", lines, 2000, normalization_rule_name="nmt_nfkc")
        made.train_gemma(gemma / "tokenizer.model", lines, 4000)
        made.write_folder(siglip, made.SIGLIP_CONFIG)
        made.write_folder(gemma, made.GEMMA_CONFIG)
        run = lambda folder, cleaning: own_ids(arguments.tool, str(folder), cleaning, texts)
        plain = made.transformers_ids(gemma)
        failures = compare("SigLIP, siglip: transformers' SiglipTokenizer", texts, run(siglip, "siglip"), made.transformers_ids(siglip)(texts))
        failures += compare("SigLIP 2, none: transformers' GemmaTokenizer", texts, run(gemma, "none"), plain(texts))
        failures += compare("SigLIP 2, siglip: GemmaTokenizer after canonicalize_text", texts, run(gemma, "siglip"), plain([canonical(t) for t in texts]))
        clean = made.open_clip_module()._clean_canonicalize
        cleaned = [clean(t) for t in texts]
        for name, folder in (("SigLIP", siglip), ("SigLIP 2", gemma)):
            failures += compare(f"{name}, siglip: open_clip's HFTokenizer, both after open_clip's cleaning", texts,
                                own_ids(arguments.tool, str(folder), "siglip", cleaned), made.open_clip_ids(folder)(texts))
        failures += exports(made, arguments.tool, scratch, siglip, gemma, texts[:2000], cleaned[:2000])
    return min(failures, 1)


def exports(made, tool, scratch, siglip, gemma, texts, cleaned):
    """Bare model files, exported, loaded by both clients with and without a model's config.json beside them."""
    failures = 0
    for source, cleaning in ((siglip / "spiece.model", "siglip"), (gemma / "tokenizer.model", "siglip"), (gemma / "tokenizer.model", "none")):
        for model_type in (None, "siglip"):
            folder = scratch / f"export-{source.stem}-{cleaning}-{model_type}"
            folder.mkdir()
            subprocess.run([tool, "files", source, cleaning, folder], check=True)
            if model_type:
                (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
            given = texts if source.stem == "spiece" or cleaning == "none" else [canonical(t) for t in texts]
            name = f"export of {source.name}, {cleaning}, {'with' if model_type else 'without'} config.json: "
            failures += compare(name + "transformers", texts, own_ids(tool, folder, cleaning, texts), made.transformers_ids(folder)(given))
            failures += compare(name + "open_clip", texts, own_ids(tool, folder, "siglip", cleaned), made.open_clip_ids(folder)(texts))
    return failures


if __name__ == "__main__":
    sys.exit(main())
