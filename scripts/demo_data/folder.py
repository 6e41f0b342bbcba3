"""What the makers of both worlds share: pictures and rows of a data folder, and when to make it again."""
import hashlib
import json
import pathlib
import random
import shutil

import art
import scenes

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parents[1] / "configs" / "models"
ATTRIBUTION = """# Pictures

The images in this folder are made from these sets. CC-BY and CC-BY-SA require this note, and CC-BY-SA
(OpenMoji) requires the same license if images with its art are redistributed.

| set | license | source |
|---|---|---|
| Noto Emoji, Noto Emoji v1 | Apache-2.0 | Google, through `@iconify-json/noto` and `@iconify-json/noto-v1` |
| Fluent Emoji (flat) | MIT | Microsoft, through `@iconify-json/fluent-emoji-flat` |
| OpenMoji 17 | CC-BY-SA-4.0 | openmoji.org |
| Twemoji | CC-BY-4.0 | Twitter and contributors, through `@iconify-json/twemoji` |
| names | MIT | `unicode-emoji-json` |
"""


class Folder:
    """A data folder in the making. `files`: art by (set, concept); `index`: each concept's shift of held-out combinations."""

    def __init__(self, out, seed):
        self.out, self.rng = out, random.Random(seed)
        self.files, self.index, self.count = {}, {}, 0

    def part(self, name, combination):
        return scenes.held_out(self.index[name], combination)

    def combinations(self, name, part):
        return [c for c in scenes.COMBINATIONS if self.part(name, c) == part]

    def sets_of(self, name, wanted=None):
        wanted = wanted or [s for s in art.ART_SETS if s != art.UNSEEN_ART]
        return [s for s in wanted if (s, name) in self.files]

    def shared_sets(self, pair, wanted=None):
        """The art sets that have both objects of a pair."""
        safe = self.sets_of(pair["safe_name"], wanted)
        return [s for s in self.sets_of(pair["unsafe_name"], wanted) if s in safe]

    def picture(self, folder, name, combination, art_set):
        """Draws one picture; its path relative to the data folder."""
        return self.save(folder, scenes.draw_scene(self.files[art_set, name], combination, self.rng))

    def save(self, folder, image):
        target = self.out / "images" / folder / f"{self.count:06d}.png"
        self.count += 1
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, compress_level=1)
        return str(target.relative_to(self.out))

    def loose_rows(self, count, pairs, safe_names):
        """Quadruplets, loosely paired as ViSU is: 35 % aligned, 30 % with any safe object, 35 % also on any background."""
        rows = []
        while len(rows) < count:
            pair = self.rng.choice(pairs)
            unsafe, safe, kind = pair["unsafe_name"], pair["safe_name"], self.rng.random()
            combination = safe_combination = self.rng.choice(self.combinations(unsafe, "train"))
            if kind >= 0.35:
                safe = self.rng.choice(safe_names)
                if kind >= 0.65:
                    safe_combination = self.rng.choice(self.combinations(safe, "train"))
                elif self.part(safe, combination) != "train":
                    continue
            art_set = self.rng.choice(self.shared_sets({"unsafe_name": unsafe, "safe_name": safe}))
            rows.append({"id": f"q{len(rows)}", "safe_caption": scenes.caption(safe, safe_combination),
                         "safe_image": self.picture("quadruplets", safe, safe_combination, art_set),
                         "unsafe_caption": scenes.caption(unsafe, combination),
                         "unsafe_image": self.picture("quadruplets", unsafe, combination, art_set),
                         "tag": pair["category"], "pair": unsafe})
        return rows

    def write_rows(self, name, rows):
        with open(self.out / f"{name}.jsonl", "w") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")


def require_vocabulary(model, size):
    """Stops if the size of a tokenizer is not the one that configs/models/MODEL.json declares."""
    path = MODELS / f"{model}.json"
    declared = json.loads(path.read_text())["text_config"]["vocab_size"]
    if size != declared:
        raise SystemExit(f"{path}: vocab_size is {declared}, but the tokenizer has {size} entries; set it to {size}")


def checksum(folder):
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def sources(seed):
    digest = hashlib.sha256(str(seed).encode())
    for path in [*sorted(HERE.glob("*.py")), *sorted(HERE.glob("*.tsv")), MODELS / "demo.json", MODELS / "world2.json"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_once(out, seed, make):
    """Calls make(temporary folder), which returns the number of images, and puts its work at `out` as a whole; leaves a
    folder alone that the same scripts and seed have made."""
    made_by = f"made by scripts {sources(seed)}"
    if (out / "SHA256").exists() and made_by in (out / "SHA256").read_text():
        print(f"data: {out} already exists")
        return
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    temporary.mkdir(parents=True)
    count = make(temporary)
    (temporary / "SHA256").write_text(f"{checksum(temporary)}\n{made_by}\n")
    temporary.rename(out)
    print(f"data: {count} images in {out}")
