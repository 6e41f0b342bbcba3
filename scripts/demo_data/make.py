"""Makes the demo's emoji data: images, captions, manifests, tokenizer.

    make.py --out demo/data [--cache demo/art] [--seed 1]

Benign stand-ins (weapons, alcohol, gambling, horror) play "unsafe": the data show the mechanics and say
nothing about real unsafe material. The same inputs and seed give the same bytes. A finished folder is left
alone; an interrupted one, or one that other scripts made, is made again.
"""
import argparse
import csv
import pathlib
import random

import art
import bpe
import folder
import scenes

HERE = pathlib.Path(__file__).parent
CONTEXT = 16
VOCABULARY = 1000
QUADRUPLETS = 3000
GALLERIES = {"val": 6, "unseen_val": 3, "trained": 10, "unseen_pairs": 6, "unseen_art": 6}
# Objects that the base model never saw, for unlabeled images: neither neutral nor part of any pair.
OTHER_GROUPS = {"Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"}
OTHER_OBJECTS = 200
SHOWN_ART = ["noto", "fluent"]  # what published pictures may show


class Maker(folder.Folder):
    def __init__(self, out, cache, seed):
        super().__init__(out, seed)
        with open(HERE / "unsafe_to_safe.tsv", newline="") as file:
            pairs = list(csv.DictReader(file, delimiter="\t"))
        self.pairs = [p for p in pairs if p["in_base"] == "yes"]
        cache.mkdir(parents=True, exist_ok=True)
        codes = art.emoji_codes(cache)
        known = {p[f"{side}_name"] for p in pairs for side in ("unsafe", "safe")} | set(scenes.NEUTRAL)
        free = sorted(name for name, code in art.emoji_codes(cache, OTHER_GROUPS).items()
                      if name not in known and "200D" not in code)
        others = {name: codes[name] for name in random.Random(seed).sample(free, OTHER_OBJECTS)}
        self.others = list(others)
        concepts = {p["unsafe_name"]: p["unsafe_code"] for p in self.pairs}
        concepts |= {p["safe_name"]: p["safe_code"] for p in self.pairs}
        concepts |= {name: codes[name] for name in scenes.NEUTRAL}
        assert len(self.pairs) == 29 and len(scenes.NEUTRAL) == 60 and len(concepts) == 118, len(concepts)
        self.concepts = list(concepts)
        self.files = art.render_all(concepts | others, cache)
        # Held-out combinations go by pair, so that an unsafe test picture's safe twin is unseen too.
        self.index = {name: 29 + i for i, name in enumerate(scenes.NEUTRAL)}
        for i, pair in enumerate(self.pairs):
            self.index[pair["unsafe_name"]] = self.index[pair["safe_name"]] = i

    def base(self):
        """Each image has two captions, of which training draws one. With the longer one alone most rows of a batch differ
        in the background, so that the names of the objects are learned late."""
        for part, each in (("train", 4), ("val", 1)):
            rows = []
            for name in self.concepts:
                for combination in self.combinations(name, part):
                    for art_set in self.rng.sample(self.sets_of(name), min(each, len(self.sets_of(name)))):
                        captions = [scenes.caption(name, combination), scenes.noun(name)]
                        rows.append({"id": f"{part}-{len(rows)}", "safe_caption": captions if part == "train" else captions[0],
                                     "safe_image": self.picture(f"base_{part}", name, combination, art_set)})
            self.write_rows(f"base_{part}", rows)

    def quadruplets(self):
        safe_names = [p["safe_name"] for p in self.pairs] + scenes.NEUTRAL
        pairs = [p for p in self.pairs if p["split"] == "train"]
        rows = self.loose_rows(QUADRUPLETS, pairs, safe_names)
        for row in rows:
            del row["pair"]  # the intervals of this world's training rows are by row
        self.write_rows("train", rows)

    def aligned(self, name, pairs, part, wanted):
        """Galleries with at most one row a background, so that each query has one right answer."""
        rows = []
        for gallery in range(GALLERIES[name]):
            for combination in scenes.COMBINATIONS:
                choices = [p for p in pairs if self.part(p["unsafe_name"], combination) == part]
                if not choices:
                    continue
                pair = self.rng.choice(choices)
                sets = wanted or (SHOWN_ART if gallery < 2 else None)
                art_set = self.rng.choice(self.shared_sets(pair, sets))
                rows.append({"id": f"{name}-{len(rows)}", "gallery": str(gallery), "tag": pair["category"],
                             "pair": pair["unsafe_name"],
                             "safe_caption": scenes.caption(pair["safe_name"], combination),
                             "safe_image": self.picture(name, pair["safe_name"], combination, art_set),
                             "unsafe_caption": scenes.caption(pair["unsafe_name"], combination),
                             "unsafe_image": self.picture(name, pair["unsafe_name"], combination, art_set)})
        self.write_rows(name, rows)

    def zero_shot(self):
        groups = {p["unsafe_name"]: "unsafe" for p in self.pairs} | {p["safe_name"]: "safe" for p in self.pairs}
        groups |= {n: "neutral_anchored" if i % 2 == 0 else "neutral_held_out" for i, n in enumerate(scenes.NEUTRAL)}
        with open(self.out / "classes.tsv", "w") as file:
            for name in self.concepts:
                file.write(f"{scenes.noun(name)}\t{art.slug(name)}\t{groups[name]}\n")
        for part in ("val", "test"):
            with open(self.out / f"zero_shot_{part}.csv", "w") as file:
                file.write("file,label\n")
                for name in self.concepts:
                    for combination in self.combinations(name, part):
                        art_set = self.rng.choice(self.sets_of(name))
                        path = self.picture(f"zero_shot_{part}", name, combination, art_set)
                        file.write(f"{path},{art.slug(name)}\n")
        with open(self.out / "templates.txt", "w") as file:
            for colour, pattern in scenes.COMBINATIONS:
                file.write(f"{{}} on a {pattern} {colour} background\n")
        anchored = [n for n in self.concepts if groups[n] in ("neutral_anchored", "safe")]
        with open(self.out / "prompts.txt", "w") as file:
            for name in anchored:
                for combination in self.combinations(name, "train"):
                    file.write(scenes.caption(name, combination) + "\n")

    def anchor_pictures(self):
        """Unlabeled images: the objects of the anchor prompts, and objects that nothing else shows."""
        names = (self.out / "classes.tsv").read_text().splitlines()
        anchored = {line.split("\t")[1] for line in names if line.split("\t")[2] in ("neutral_anchored", "safe")}
        for name in [n for n in self.concepts if art.slug(n) in anchored]:
            for combination in self.rng.sample(self.combinations(name, "train"), 6):
                self.picture("anchors", name, combination, self.rng.choice(self.sets_of(name)))
        for name in self.others:
            for combination in self.rng.sample(scenes.COMBINATIONS, 2):
                self.picture("anchors", name, combination, self.rng.choice(self.sets_of(name)))

    def tokenizer(self):
        captions = [scenes.caption(n, c) for n in self.concepts for c in scenes.COMBINATIONS]
        folder.require_vocabulary("demo", bpe.write(self.out / "tokenizer", captions, VOCABULARY, CONTEXT))

    def run(self):
        by_split = {s: [p for p in self.pairs if p["split"] == s] for s in ("train", "val", "test")}
        self.base()
        self.quadruplets()
        self.aligned("val", by_split["train"], "val", None)
        self.aligned("trained", by_split["train"], "test", None)
        self.aligned("unseen_pairs", by_split["test"], "test", None)
        self.aligned("unseen_art", by_split["train"], "test", [art.UNSEEN_ART])
        self.zero_shot()
        self.tokenizer()
        self.anchor_pictures()
        self.aligned("unseen_val", by_split["val"], "val", None)
        (self.out / "ATTRIBUTION.md").write_text(folder.ATTRIBUTION)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to create")
    parser.add_argument("--cache", type=pathlib.Path, help="archives and rendered art (default: OUT/../art)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    cache = (arguments.cache or out.parent / "art").absolute()

    def make(temporary):
        maker = Maker(temporary, cache, arguments.seed)
        maker.run()
        return maker.count

    folder.make_once(out, arguments.seed, make)


main()
