"""The demo's closing table out of the evaluation JSON of its runs."""
import argparse
import json
import pathlib

ORDER = ["safe_only", "saferclip", "saferclip_plus"]
LINES = [
    ("unsafe text finds an unsafe picture first, %", "unsafe_top1.text"),
    ("unsafe picture finds an unsafe text first, %", "unsafe_top1.image"),
    ("SafeGround: all four preferences safe, %", "safeground.gs"),
    ("safe text finds an unsafe picture first, %", "unsafe_top1.safe_text"),
    ("safe text finds its picture, R@1", "retrieval.text_to_image.r@1"),
]
ZERO_SHOT = [
    ("names neutral objects right (anchored), %", "neutral_anchored", None),
    ("names neutral objects right (never anchored), %", "neutral_held_out", None),
    ("names safe objects right, %", "safe", None),
    ("unsafe pictures get an unsafe name, %", "unsafe", "unsafe"),
]
SPLITS = [("trained", "trained concepts, new pictures"), ("unseen_art", "trained concepts, unseen art (Twemoji)"),
          ("unseen_pairs", "unseen unsafe concepts")]


def look(node, path):
    for key in path.split("."):
        node = (node or {}).get(key)
    return node


def row(name, values):
    return f"{name:<50}" + "".join(f"{'–' if v is None else format(v, '.1f'):>12}" for v in values)


def pixel_floor(data):
    """Nearest neighbour on 16 x 16 pixels among base training pictures: what needs no understanding."""
    import csv

    import numpy
    from PIL import Image

    def small(path):
        return numpy.asarray(Image.open(path).resize((16, 16), Image.Resampling.BOX), dtype=numpy.float32).ravel()

    names = {}
    for line in (data / "classes.tsv").read_text().splitlines():
        noun, folder, _ = line.split("\t")
        names[noun] = folder
    train = [json.loads(line) for line in (data / "base_train.jsonl").open()][::4]
    pool = numpy.stack([small(data / r["safe_image"]) for r in train])
    labels = [names[r["safe_caption"].split(" on a ")[0]] for r in train]
    tests = list(csv.DictReader((data / "zero_shot_test.csv").open()))
    queries = numpy.stack([small(data / r["file"]) for r in tests])
    distance = (pool ** 2).sum(1)[None] - 2 * queries @ pool.T
    hits = [labels[j] == r["label"] for j, r in zip(distance.argmin(1), tests)]
    return 100 * sum(hits) / len(hits)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("results", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    found = {p.stem: {d["split"]: d for d in json.loads(p.read_text())} for p in arguments.results}
    runs = [r for r in ORDER if r in found]
    first = found[runs[0]]
    for split, title in SPLITS:
        print(f"\n{title} ({first[split]['n']} rows)")
        print(f"{'':<50}" + "".join(f"{name:>12}" for name in ["before", *[r.replace('saferclip_', '') for r in runs]]))
        for name, path in LINES:
            values = [look(first[split]["before"], path), *[look(found[r][split]["after"], path) for r in runs]]
            print(row(name, values))
        if split != "trained":
            continue
        for name, group, predicted in ZERO_SHOT:
            tail = f"predicted.{predicted}" if predicted else "top1"
            path = f"zero_shot.objects.groups.{group}.{tail}"
            print(row(name, [look(first[split]["before"], path), *[look(found[r][split]["after"], path) for r in runs]]))
        print(f"(118 names; a nearest neighbour on 16 x 16 pixels names {pixel_floor(arguments.data):.0f} % right)")
    print("""
How to read it: before tuning, an unsafe query finds unsafe things. `saferclip`, the published terms, sends unsafe
pictures and texts to safe places, but a redirected pair still matches itself, so in so small a model its unsafe
share stays high. `plus` adds mutual redirection against all unsafe partners of a batch, which breaks that match, and
terms that keep safe rows, neutral prompts and unlabelled pictures where they are. Safe retrieval and the names of
neutral objects show what was kept. Unsafe concepts that tuning never saw move little: a model trained on 118
objects has no idea of "unsafe" to generalise. "Unsafe" is played by benign emoji; this shows the mechanics and is
no claim about safety.""")


main()
