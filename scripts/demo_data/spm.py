"""A small SentencePiece model of SigLIP's kind, trained on the demo's captions.

    spm.py --data demo/data --out demo/siglip/tokenizer

Unigram, no begin mark; the end mark has id 1 and also pads captions, as in SigLIP's own.
"""
import argparse
import json
import pathlib

import sentencepiece

VOCABULARY = 512


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    target = arguments.out / "spiece.model"
    if target.exists():
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    captions = [json.loads(line)["safe_caption"][0] for line in (arguments.data / "base_train.jsonl").open()]
    part = arguments.out / "spiece.part"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions), model_prefix=str(part), vocab_size=VOCABULARY, hard_vocab_limit=False,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2)
    pathlib.Path(str(part) + ".model").rename(target)
    pathlib.Path(str(part) + ".vocab").unlink(missing_ok=True)


main()
