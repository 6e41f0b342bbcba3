"""Makes the study's larger world of emoji: about 650 concepts with category words, and photographs beside them.

    world2.py --out demo/world2/data [--cache demo/art] [--seed 1] [--without-photos]

Unlike the demo's world, captions also name categories ("a weapon", "a bird"), so that a base model can know what an unsafe
concept is that tuning never sees. As in the demo, benign stand-ins play "unsafe". The photographs are stamps of Tux
Paint (GPL-2), fetched from Debian (161 MB).
"""
import argparse
import csv
import pathlib
import random

import art
import bpe
import folder
import scenes
import stamps

HERE = pathlib.Path(__file__).parent
CONTEXT = 24
VOCABULARY = 2000
NEUTRAL = 500
QUADRUPLETS = 8000
CATEGORY_TEXTS = 2000
# How often a generated caption and its image are both unsafe, the caption alone, the image alone, neither (ViSUv2's shares).
LABELS = {(1, 1): 0.523, (1, 0): 0.305, (0, 1): 0.084, (0, 0): 0.088}
LEFT_OUT = {"adult", "emergency"}  # categories of the pair list whose objects share nothing that can be seen
UNSEEN = {"test": {"horror": 4, "alcohol": 3, "rude": 2, "weapon": 2, "violence": 2, "death": 2, "disgust": 2, "gambling": 1},
          "val": {"horror": 2, "alcohol": 1, "rude": 1, "weapon": 1, "violence": 1, "death": 1, "disgust": 1}}
UNSAFE_CATEGORIES = {"weapon": "a weapon", "violence": "a sign of violence", "death": "a symbol of death", "horror": "a scary thing",
                     "alcohol": "an alcoholic drink", "tobacco": "a tobacco product", "drugs": "a drug", "gambling": "a gambling game",
                     "rude": "a rude sign", "hazard": "a hazard sign", "disgust": "a disgusting thing"}
# Keywords that serve as category words of neutral concepts, the narrower first. Others hold slang and unsafe senses.
CATEGORIES = ["bird", "insect", "animal", "fruit", "vegetable", "dessert", "food", "flower", "plant", "vehicle", "building", "tool",
              "clothing", "instrument", "sports", "game", "planet", "weather", "stationery"]
WITHOUT_ARTICLE = {"fruit", "food", "clothing", "sports", "weather", "stationery"}
GROUPS = {"Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"}


def category_noun(word):
    return word if word in WITHOUT_ARTICLE else scenes.noun(word)


def unseen_parts(pairs):
    """Gives each pair its `split`: of each category some pairs are never tuned on, and some are for choices."""
    rng = random.Random(1)
    for category in sorted({p["category"] for p in pairs}):
        members = [p for p in pairs if p["category"] == category]
        order = rng.sample(members, len(members))
        counts = [UNSEEN[part].get(category, 0) for part in ("test", "val")]
        for i, pair in enumerate(order):
            pair["split"] = "test" if i < counts[0] else "val" if i < sum(counts) else "train"


class Maker(folder.Folder):
    def __init__(self, out, cache, seed):
        super().__init__(out, seed)
        with open(HERE / "unsafe_to_safe.tsv", newline="") as file:
            pairs = list(csv.DictReader(file, delimiter="\t"))
        known = {p[f"{side}_name"] for p in pairs for side in ("unsafe", "safe")}
        self.pairs = [p for p in pairs if p["category"] not in LEFT_OUT and "200D" not in p["unsafe_code"]]
        unseen_parts(self.pairs)
        cache.mkdir(parents=True, exist_ok=True)
        keywords = art.keywords(cache)
        codes = {name: code for name, code in art.emoji_codes(cache, GROUPS).items()
                 if name not in known and "200D" not in code and not name.endswith(("o’clock", "thirty"))}
        self.category = {name: next((c for c in CATEGORIES if c in keywords.get(code, [])), None)
                         for name, code in (codes | {p["safe_name"]: p["safe_code"] for p in self.pairs}).items()}
        of_pairs = {p[f"{side}_name"]: p[f"{side}_code"] for p in self.pairs for side in ("unsafe", "safe")}
        self.files = art.render_all(of_pairs | codes, cache)
        drawn = [name for name in sorted(codes) if all((s, name) in self.files for s in ("noto", "fluent", art.UNSEEN_ART))]
        grouped = [name for name in drawn if self.category[name]]
        others = [name for name in drawn if not self.category[name]]
        chosen = random.Random(seed).sample(others, max(0, NEUTRAL - len(grouped)))
        self.neutral = sorted(grouped[:NEUTRAL] + chosen)
        self.concepts = list(of_pairs) + self.neutral
        for i, pair in enumerate(self.pairs):
            self.index[pair["unsafe_name"]] = self.index[pair["safe_name"]] = i
        self.index |= {name: len(self.pairs) + i for i, name in enumerate(self.neutral)}
        self.unsafe_category = {p["unsafe_name"]: UNSAFE_CATEGORIES[p["category"]] for p in self.pairs}
        print(f"world 2: {len(self.concepts)} concepts, {len(self.pairs)} pairs, {len(self.neutral)} neutral")

    def category_of(self, name):
        """"a weapon", "an animal"; None for a concept without a category."""
        word = self.category.get(name)
        return self.unsafe_category.get(name) or (category_noun(word) if word else None)

    def captions(self, name, combination):
        """The full caption, the name alone, and what the category adds."""
        captions = [scenes.caption(name, combination), scenes.noun(name)]
        category, place = self.category_of(name), "on a {1} {0} background".format(*combination)
        return captions + ([f"{scenes.noun(name)}, {category}", f"{category} {place}"] if category else [])

    def base(self, photos):
        for part in ("train", "val"):
            rows = []
            for name in self.concepts:
                for combination in self.combinations(name, part):
                    captions = self.captions(name, combination)
                    rows.append({"id": f"{part}-{len(rows)}", "safe_caption": captions if part == "train" else captions[0],
                                 "safe_image": self.picture(f"base_{part}", name, combination, self.rng.choice(self.sets_of(name)))})
            for photo in photos:
                for _ in range(10 if part == "train" else 0):
                    rows.append({"id": f"{part}-{len(rows)}", "safe_caption": photo.caption,
                                 "safe_image": self.save("base_photos", photo.draw(self.rng))})
            self.write_rows(f"base_{part}", rows)

    def quadruplets(self):
        safe_names = [p["safe_name"] for p in self.pairs] + self.neutral
        rows = self.loose_rows(QUADRUPLETS, [p for p in self.pairs if p["split"] == "train"], safe_names)
        self.write_rows("train", rows)
        self.category_rows(rows)
        return rows

    def category_texts(self):
        """Unsafe captions without an image that name a whole category, beside any safe row: captions are cheap."""
        rows = []
        for i in range(CATEGORY_TEXTS):
            safe = self.rng.choice(self.neutral)
            combination = self.rng.choice(self.combinations(safe, "train"))
            tag, category = self.rng.choice(list(UNSAFE_CATEGORIES.items()))
            rows.append({"id": f"c{i}", "safe_caption": scenes.caption(safe, combination),
                         "safe_image": self.picture("quadruplets", safe, combination, self.rng.choice(self.sets_of(safe))),
                         "unsafe_caption": "{2} on a {1} {0} background".format(*combination, category), "tag": tag})
        return rows

    def labeled(self, rows):
        """The same rows as generators leave them: some unsafe halves show or name a neutral concept; two labels say which."""
        for row in rows:
            caption, image = self.rng.choices(list(LABELS), LABELS.values())[0]
            neutral = self.rng.choice(self.neutral)
            combination = self.rng.choice(self.combinations(neutral, "train"))
            if not caption:
                row["unsafe_caption"] = scenes.caption(neutral, combination)
            if not image:
                art_set = self.rng.choice(self.sets_of(neutral))
                row["unsafe_image"] = self.picture("labeled", neutral, combination, art_set)
            row |= {"unsafe_caption_label": caption, "unsafe_image_label": image}
        self.write_rows("train_labeled", rows)

    def category_rows(self, rows):
        """The quadruplets, of which every third one's caption names the category, and category_texts()."""
        named = [row | {"unsafe_caption": UNSAFE_CATEGORIES[row["tag"]] + row["unsafe_caption"].removeprefix(scenes.noun(row["pair"]))}
                 if i % 3 == 0 else row for i, row in enumerate(rows)]
        self.write_rows("train_with_categories", named + self.category_texts())

    def anchors(self):
        """Pictures that are neither safe nor unsafe rows: of the concepts whose names are in prompts.txt."""
        for name in self.anchored:
            for combination in self.rng.sample(self.combinations(name, "train"), 8):
                self.picture("anchors", name, combination, self.rng.choice(self.sets_of(name)))

    def aligned(self, name, split, part, galleries, wanted=None):
        """Each gallery has every pair of a split on every background of a part once, so each query has one right answer."""
        rows = []
        for gallery in range(galleries):
            for pair in [p for p in self.pairs if p["split"] == split]:
                for combination in self.combinations(pair["unsafe_name"], part):
                    art_set = self.rng.choice(self.shared_sets(pair, wanted))
                    row = {"id": f"{name}-{len(rows)}", "gallery": str(gallery), "tag": pair["category"], "pair": pair["unsafe_name"]}
                    for side in ("safe", "unsafe"):
                        row[f"{side}_caption"] = scenes.caption(pair[f"{side}_name"], combination)
                        row[f"{side}_image"] = self.picture(name, pair[f"{side}_name"], combination, art_set)
                    rows.append(row)
        self.write_rows(name, rows)

    def photographs(self, photos):
        """Safe pairs alone: what the base model knows of photographs, in pictures that it has not seen."""
        for name in ("photos_val", "photos"):
            self.write_rows(name, [{"id": f"{name}-{i}", "safe_caption": photo.caption, "safe_image": self.save(name, photo.draw(self.rng))}
                                   for i, photo in enumerate(photos)])

    def zero_shot(self):
        groups = {p["unsafe_name"]: "unsafe" for p in self.pairs}
        groups |= {p["safe_name"]: "safe" for p in self.pairs}
        groups |= {n: "neutral_anchored" if i % 2 == 0 else "neutral_held_out" for i, n in enumerate(self.neutral)}
        with open(self.out / "classes.tsv", "w") as file:
            for name in self.concepts:
                file.write(f"{scenes.noun(name)}\t{art.slug(name)}\t{groups[name]}\n")
        for part in ("val", "test"):
            with open(self.out / f"zero_shot_{part}.csv", "w") as file:
                file.write("file,label\n")
                for name in self.concepts:
                    for combination in self.rng.sample(self.combinations(name, part), 3):
                        path = self.picture(f"zero_shot_{part}", name, combination, self.rng.choice(self.sets_of(name)))
                        file.write(f"{path},{art.slug(name)}\n")
        with open(self.out / "templates.txt", "w") as file:
            file.write("{}\n" + "".join(f"{{}} on a {p} {c} background\n" for c, p in self.rng.sample(scenes.COMBINATIONS, 7)))
        with open(self.out / "prompts.txt", "w") as file:
            self.anchored = [n for n in self.concepts if groups[n] in ("neutral_anchored", "safe")]
            for name in self.anchored:
                prompts = [scenes.caption(name, c) for c in self.rng.sample(self.combinations(name, "train"), 6)]
                # A name alone is what classification asks: without it, tuning moves it most.
                prompts += 2 * [scenes.noun(name)] + ([f"{scenes.noun(name)}, {self.category_of(name)}"] if self.category_of(name) else [])
                file.write("\n".join(prompts) + "\n")
        with open(self.out / "neutral_prompts.txt", "w") as file:
            for name in [n for n in self.concepts if groups[n] == "neutral_held_out"]:
                file.write(scenes.caption(name, self.rng.choice(scenes.COMBINATIONS)) + "\n")

    def tokenizer(self, photos):
        captions = [c for n in self.concepts for combination in scenes.COMBINATIONS for c in self.captions(n, combination)]
        captions += 40 * [p.caption for p in photos]
        folder.require_vocabulary("world2", bpe.write(self.out / "tokenizer", captions, VOCABULARY, CONTEXT))

    def run(self, photos):
        self.tokenizer(photos)
        self.base(photos)
        rows = self.quadruplets()
        self.aligned("val", "train", "val", 1)
        self.aligned("unseen_val", "val", "val", 3)
        self.aligned("trained", "train", "test", 2)
        self.aligned("unseen_pairs", "test", "test", 3)
        self.aligned("unseen_art", "train", "test", 1, [art.UNSEEN_ART])
        self.photographs(photos)
        self.zero_shot()
        self.labeled(rows)
        self.anchors()
        (self.out / "ATTRIBUTION.md").write_text(folder.ATTRIBUTION + (stamps.ATTRIBUTION if photos else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to create")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("demo/art"), help="archives and rendered art")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-photos", action="store_true", help="leave out the photographs, for a quick try")
    arguments = parser.parse_args()
    cache = arguments.cache.absolute()

    def make(temporary):
        maker = Maker(temporary, cache, arguments.seed)
        maker.run([] if arguments.without_photos else stamps.photos(cache))
        return maker.count

    folder.make_once(arguments.out.absolute(), f"{arguments.seed} {arguments.without_photos}", make)


main()
