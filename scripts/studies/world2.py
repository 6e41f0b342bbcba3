"""The study in world 2: every method with the same effort, on rows that no choice has seen (docs/lab/world2.md).

Each method chooses one of up to six settings by the validation splits, with one seed. The chosen setting is then trained with
three seeds, and the test splits are read once.
"""
import concurrent.futures
import json
import statistics
import subprocess

import front
from methods import METHODS
from runs import ROOT, SEEDS, by_split, look, saferclip, set_all, spread

HOME = ROOT / "demo/world2"
DATA = HOME / "data"
CHOICE_SPLITS = ["validation", "unseen_val", "photos_val"]
SPLITS = [("trained", "Trained concepts, new images"), ("unseen_art", "Trained concepts, unseen art"),
          ("unseen_pairs", "Unseen unsafe concepts")]
UNSAFE_FIRST = [("unsafe text → unsafe first, %", "unsafe_top1.text"), ("unsafe image → unsafe first, %", "unsafe_top1.image")]
SAFE_R1 = [("safe text → image, R@1", "retrieval.text_to_image.r@1"), ("safe image → text, R@1", "retrieval.image_to_text.r@1")]
COLUMNS = [*UNSAFE_FIRST, ("SafeGround GS", "safeground.gs"), *SAFE_R1]
GROUPS = ["neutral_anchored", "neutral_held_out", "safe"]
NAMES = [(title, f"zero_shot.objects.groups.{group}.top1") for title, group in
         zip(["neutral, anchored", "neutral, never anchored", "safe objects"], GROUPS)]
NAMES.append(("unsafe by an unsafe name", "zero_shot.objects.groups.unsafe.predicted.unsafe"))
KEPT = [("spread, safe texts", "space.safe_text.spread_ratio"), ("safe images", "space.safe_image.spread_ratio"),
        ("neighbors kept, texts", "space.safe_text.neighbour_jaccard"), ("images", "space.safe_image.neighbour_jaccard"),
        ("cosine to before, texts", "drift.text.embedding_cos"), ("images", "drift.vision.embedding_cos"),
        ("hidden states moved, %", "drift.text.hidden_states")]
TEST = [f"data.evaluation={{{', '.join(f'{name}: {DATA}/{name}.jsonl' for name in [*dict(SPLITS), 'photos'])}}}",
        f"evaluate.zero_shot=[{{name: objects, images: {DATA}/zero_shot_test.csv, classes: {DATA}/classes.tsv, "
        f"templates: [{DATA}/templates.txt]}}]"]


def make(program):
    """The data and the base model, as far as they are not there."""
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "scripts/demo_data/world2.py", "--out", DATA], check=True, cwd=ROOT)
    for name, out in (("base", "base_3000"), ("base_longer", "base")):
        if not (HOME / "base").exists() and not (HOME / out).exists():
            subprocess.run([program, "train", f"configs/world2/{name}.yaml", "--resume", "auto"], check=True, cwd=ROOT)
            saferclip(program, "export", HOME / "runs" / name, "--to", "hf", "--out", HOME / out)


def safety(document):
    return [100 - look(document, path) for _, path in UNSAFE_FIRST]


def names(document):
    return statistics.mean(look(document, path) for _, path in NAMES[:3])


def kept(splits, side):
    """Names of what is not unsafe, and R@1 of safe pairs and photographs, each half of the sum."""
    pairs = [look(splits[split][side], path) for split in ("validation", "photos_val") for _, path in SAFE_R1]
    return (names(splits["validation"][side]) + statistics.mean(pairs)) / 2


def score(splits):
    """By which settings are chosen: safety in both directions on trained and on unseen pairs, and the share of knowledge kept."""
    safe = [value for split in ("validation", "unseen_val") for value in safety(splits[split]["after"])]
    return statistics.mean(safe) + 100 * kept(splits, "after") / kept(splits, "before")


class Study:
    def __init__(self, program, out, seeds):
        self.program, self.out, self.seeds = program, out, SEEDS[:seeds]
        for folder in ("choices", "results"):
            (out / folder).mkdir(parents=True, exist_ok=True)

    def measure(self, result, method, seed, settings, evaluation):
        """Trains and evaluates one run, once; beside the result lie its settings and cost."""
        if result.exists():
            return
        run = f"{result.parent.name}-{result.stem}"
        own = [f"run.dir={self.out}/runs", f"run.name={run}", *([f"train.seed={seed}"] if method.trains else [])]
        cost = saferclip(self.program, "train", f"configs/world2/{method.config}.yaml", *set_all(own + method.fixed + settings),
                         "--resume", "auto")
        result.with_suffix(".cost").write_text(json.dumps({"settings": settings, **cost}))
        saferclip(self.program, "evaluate", self.out / "runs" / run, *evaluation, "--out", result)
        print(f"{run}: {cost['seconds']:.0f} s", flush=True)

    def choice(self, name, i):
        return self.out / "choices" / f"{name}-{i}.json"

    def result(self, name, seed):
        return self.out / "results" / f"{name}-{seed}.json"

    def tune(self, jobs, only):
        evaluation = [*(word for split in CHOICE_SPLITS for word in ("--split", split)), "--set", "evaluate.bootstrap=0"]
        todo = [(self.choice(name, i), method, SEEDS[0], settings, evaluation) for name, method in METHODS.items()
                for i, settings in enumerate(method.settings) if not only or name in only]
        run_all(jobs, self.measure, todo)

    def chosen(self, name):
        """The setting with the best score; ties go to the first."""
        scores = [score(by_split(self.choice(name, i))) for i in range(len(METHODS[name].settings))]
        return scores.index(max(scores)), scores

    def test(self, jobs, only):
        evaluation = [*(word for split in [*dict(SPLITS), "photos"] for word in ("--split", split)), *set_all(TEST)]
        todo = [(self.result(name, seed), method, seed, method.settings[self.chosen(name)[0]], evaluation)
                for name, method in METHODS.items() if not only or name in only
                for seed in (self.seeds if method.trains else self.seeds[:1])]
        run_all(jobs, self.measure, todo)

    def tested(self):
        return [name for name in METHODS if self.result(name, self.seeds[0]).exists()]

    def documents(self, name, split):
        paths = [self.result(name, seed) for seed in self.seeds]
        return [by_split(path)[split] for path in paths if path.exists()]

    def table(self, split, columns, side="after"):
        lines = ["| | " + " | ".join(title for title, _ in columns) + " | seeds |", "|---|" + "---|" * (len(columns) + 1)]
        first = self.documents(self.tested()[0], split)[0]["before"]
        lines.append("| before | " + " | ".join(spread([look(first, path)]) for _, path in columns) + " | |")
        for name in self.tested():
            documents = self.documents(name, split)
            cells = [spread([look(d[side], path) for d in documents]) for _, path in columns]
            lines.append(f"| {METHODS[name].title} | " + " | ".join(cells) + f" | {len(documents)} |")
        return lines

    def changes(self, split):
        """Paired with the base model on the same rows, intervals over the pairs."""
        lines = ["| after − before, by pairs | " + " | ".join(title for title, _ in UNSAFE_FIRST) + " |", "|---|---|---|"]
        for name in self.tested():
            cells = []
            for _, path in UNSAFE_FIRST:
                found = [d["change"][path] for d in self.documents(name, split)]
                cells.append("; ".join(f"{c['difference']:+.1f} [{c['low']:+.1f}, {c['high']:+.1f}]" for c in found))
            lines.append(f"| {METHODS[name].title} | " + " | ".join(cells) + " |")
        return lines

    def costs(self):
        lines = ["| | setting chosen | score | worst score of its settings | CPU seconds of a run | peak, MiB |", "|---" * 6 + "|"]
        for name in self.tested():
            i, scores = self.chosen(name)
            cost = json.loads(self.choice(name, i).with_suffix(".cost").read_text())
            setting = ", ".join(s.removeprefix("objective.") for s in cost["settings"]) or "–"
            lines.append(f"| {METHODS[name].title} | {setting} | {scores[i]:.1f} | {min(scores):.1f} | {cost['cpu']:.0f} | "
                         f"{cost['memory']:.0f} |")
        return lines

    def points(self, split):
        """For the picture: what a method keeps, how often unsafe is first, their ranges over seeds and over pairs."""
        points = []
        for name in self.tested():
            documents, named = self.documents(name, split), self.documents(name, SPLITS[0][0])
            first = [100 - statistics.mean(safety(d["after"])) for d in documents]
            intervals = [[statistics.mean(d["after"]["intervals"][path][end] for _, path in UNSAFE_FIRST) for d in documents]
                         for end in (0, 1)]
            points.append(front.Point(METHODS[name].title, [names(d["after"]) for d in named], first,
                                      statistics.mean(intervals[0]), statistics.mean(intervals[1])))
        return points

    def write(self):
        parts = []
        for split, title in SPLITS:
            parts += [f"### {title}", "", *self.table(split, COLUMNS), ""]
        parts += ["### Unseen unsafe concepts, paired with the base", "", *self.changes("unseen_pairs"), ""]
        parts += ["### Photographs (safe pairs alone)", "", *self.table("photos", SAFE_R1), ""]
        parts += ["### Names (zero-shot over all 648, test images)", "", *self.table("trained", NAMES), ""]
        parts += ["### What is kept, safe rows of trained concepts", "", *self.table("trained", KEPT), ""]
        parts += ["### Choice and cost", "", *self.costs(), ""]
        (self.out / "results.md").write_text("\n".join(parts))
        base = self.documents(self.tested()[0], SPLITS[0][0])[0]["before"]
        panels = [(title, self.points(split)) for split, title in SPLITS]
        (self.out / "front.svg").write_text(front.draw(panels, names(base), [
            100 - statistics.mean(safety(self.documents(self.tested()[0], split)[0]["before"])) for split, _ in SPLITS]))
        print(f"tables: {self.out / 'results.md'}, picture: {self.out / 'front.svg'}")


def run_all(jobs, function, todo):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda arguments: function(*arguments), todo))


def run(program, out, seeds, jobs, only, tables):
    study = Study(program, out, seeds)
    if not tables:
        make(program)
        study.tune(jobs, only)
        study.test(jobs, only)
    study.write()
