"""The demo's closing table out of the evaluation JSON of its runs."""
import argparse
import json
import pathlib

# Run: what its column is called. paper: the published terms; ours: with the terms that this program adds.
TITLES = {"safe_only": "control", "saferclip": "paper", "saferclip_plus": "ours"}
LINES = [
    ("unsafe text finds an unsafe image first, %", "unsafe_top1.text"),
    ("unsafe image finds an unsafe text first, %", "unsafe_top1.image"),
    ("SafeGround: all four preferences safe, %", "safeground.gs"),
    ("safe text finds an unsafe image first, %", "unsafe_top1.safe_text"),
    ("safe text finds its image, R@1", "retrieval.text_to_image.r@1"),
]
ZERO_SHOT = [
    ("names neutral objects right (anchored), %", "neutral_anchored", None),
    ("names neutral objects right (never anchored), %", "neutral_held_out", None),
    ("names safe objects right, %", "safe", None),
    ("unsafe images get an unsafe name, %", "unsafe", "unsafe"),
]
SPLITS = [("trained", "trained concepts, new images"), ("unseen_art", "trained concepts, unseen art (Twemoji)"),
          ("unseen_pairs", "unseen unsafe concepts")]


def look(node, path):
    for key in path.split("."):
        node = (node or {}).get(key)
    return node


def row(name, values):
    return f"{name:<50}" + "".join(f"{'–' if v is None else format(v, '.1f'):>12}" for v in values)


def read_runs(files):
    found = {p.stem: {d["split"]: d for d in json.loads(p.read_text())} for p in files}
    return {name: found[name] for name in TITLES if name in found}


def trained_rows(runs):
    """The lines of the headline table: name, before, then each run."""
    first = next(iter(runs.values()))["trained"]
    paths = list(LINES)
    for name, group, predicted in ZERO_SHOT:
        tail = f"predicted.{predicted}" if predicted else "top1"
        paths.append((name, f"zero_shot.objects.groups.{group}.{tail}"))
    return [(name, look(first["before"], path), *[look(d["trained"]["after"], path) for d in runs.values()]) for name, path in paths]


def print_beside(families):
    """Both families, trained concepts."""
    names = [r for r in TITLES if all(r in runs for runs in families.values())]
    print("\ntrained concepts, both families")
    print(" " * 49 + "".join(f"{label:>{8 * (len(names) + 1)}}" for label in families))
    heads = ["before", *[TITLES[n] for n in names]]
    print(" " * 49 + "".join(f"{h:>8}" for h in heads * len(families)))
    tables = [trained_rows({n: runs[n] for n in names}) for runs in families.values()]
    for lines in zip(*tables):
        print(f"{lines[0][0]:<49}" + "".join(f"{v:>8.1f}" for line in lines for v in line[1:]))


def pixel_floor(data):
    """Nearest neighbor on 16 x 16 pixels among base training images: what needs no understanding."""
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
    labels = [names[r["safe_caption"][1]] for r in train]
    tests = list(csv.DictReader((data / "zero_shot_test.csv").open()))
    queries = numpy.stack([small(data / r["file"]) for r in tests])
    distance = (pool ** 2).sum(1)[None] - 2 * queries @ pool.T
    hits = [labels[j] == r["label"] for j, r in zip(distance.argmin(1), tests)]
    return 100 * sum(hits) / len(hits)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("results", nargs="+", type=pathlib.Path)
    parser.add_argument("--beside", type=pathlib.Path, help="results folder of the CLIP demo, to print next to SigLIP's")
    arguments = parser.parse_args()
    runs = read_runs(arguments.results)
    first = next(iter(runs.values()))
    for split, title in SPLITS:
        print(f"\n{title} ({first[split]['n']} rows)")
        print(f"{'':<50}" + "".join(f"{name:>12}" for name in ["before", *[TITLES[r] for r in runs]]))
        if split == "trained":
            for name, *values in trained_rows(runs):
                print(row(name, values))
            print(f"(118 names; a nearest neighbor on 16 x 16 pixels names {pixel_floor(arguments.data):.0f} % correctly)")
            continue
        for name, path in LINES:
            print(row(name, [look(first[split]["before"], path), *[look(d[split]["after"], path) for d in runs.values()]]))
    if arguments.beside and list(arguments.beside.glob("*.json")):
        print_beside({"CLIP": read_runs(arguments.beside.glob("*.json")), "SigLIP": runs})
    print("""
How to read it: before tuning, an unsafe query finds unsafe things. `paper`, the terms of SaFeR-CLIP, redirects unsafe
images and texts to safe places, but a redirected pair still matches itself, so in a model this small its unsafe
share stays high. `ours` adds mutual redirection against all unsafe partners in a batch, which breaks that match, and
terms that keep safe rows, neutral prompts and unlabeled images where they are. Safe retrieval and the names of
neutral objects show what was kept. Unsafe concepts that tuning never saw move little: a model trained on 118
objects has no notion of "unsafe" to generalize from. Benign emoji stand in for "unsafe"; this demo shows the
mechanics and makes no claim about safety.""")


main()
