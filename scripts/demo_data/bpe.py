"""A small byte-level BPE in CLIP's form, trained on the demo's captions."""
import collections
import json
import re


def byte_symbols():
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = {b: chr(b) for b in printed}
    others = [b for b in range(256) if b not in symbols]
    symbols |= {b: chr(256 + i) for i, b in enumerate(others)}
    return symbols, printed + others


def train(captions, size):
    """(vocabulary, merges) with about `size` entries; the special tokens are the last two."""
    symbols, order = byte_symbols()
    vocabulary = [symbols[b] for b in order]
    vocabulary += [s + "</w>" for s in vocabulary]
    counts = collections.Counter(w for c in captions for w in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", c.lower()))
    words = {w: [symbols[b] for b in w.encode()] for w in counts}
    for parts in words.values():
        parts[-1] += "</w>"
    merges = []
    while len(vocabulary) < size - 2:
        pairs = collections.Counter()
        for word, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        vocabulary.append("".join(best))
        for parts in words.values():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i:i + 2] = ["".join(best)]
                i += 1
    return vocabulary + ["<|startoftext|>", "<|endoftext|>"], merges


def write(folder, captions, size, context):
    folder.mkdir(parents=True)
    vocabulary, merges = train(captions, size)
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(vocabulary)}, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "model_max_length": context,
         "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>"}, indent=2) + "\n")
    return len(vocabulary)
