"""The study on the demo's data: its objectives and ablations, tables of docs/lab/results.md."""
import concurrent.futures
import json

from runs import ROOT, SEEDS, look, saferclip, set_all, spread, weights

HOME = ROOT / "demo"
ABLATION_SEEDS = 3
NO_UNI = weights(uni_img=0, uni_txt=0)
FLAT = ["objective.curriculum.enabled=false"]
FIXED = ["objective.targets.mode=fixed"]
# name -> title, configuration, overrides
MAIN = {
    "safe_only": ("safe-only (CLIP on the safe pairs)", "safe_only", []),
    "safe_clip": ("Safe-CLIP, published weights", "safe_clip", []),
    "safe_clip_tuned": ("Safe-CLIP, preservation and curriculum tuned", "safe_clip",
                        ["objective.curriculum.enabled=true", *weights(pres_uni_txt=10, pres_uni_img=10)]),
    "shield_clip": ("ShieldCLIP, published weights, all labeled unsafe", "shield_clip", []),
    "saferclip": ("SaFeR-CLIP, published weights", "saferclip", []),
    "saferclip_tuned": ("SaFeR-CLIP, preservation tuned", "saferclip", weights(pres_uni_txt=3, pres_uni_img=8)),
    "ours": ("ours", "saferclip_plus", []),
}
ABLATIONS = {
    "relative": ("relative loss alone, fixed partner", "saferclip", [*NO_UNI, *FLAT, *FIXED]),
    "nearest": ("+ nearest-safe target", "saferclip", [*NO_UNI, *FLAT]),
    "uni": ("+ uni-modal redirection", "saferclip", FLAT),
    "curriculum": ("+ curriculum = SaFeR-CLIP", "saferclip", []),
    "own_negatives": ("ours, mutual terms against the own partner only", "saferclip_plus",
                      ["objective.mutual_negatives=own"]),
    "no_mutual": ("ours without mutual terms", "saferclip_plus", weights(mutual_txt=0, mutual_img=0)),
    "no_pres_uni": ("ours without pres_uni", "saferclip_plus", weights(pres_uni_img=0, pres_uni_txt=0)),
    "no_pres_cross": ("ours without pres_cross", "saferclip_plus", weights(pres_cross_img=0, pres_cross_txt=0)),
    "no_pres_sim": ("ours without pres_sim", "saferclip_plus", weights(pres_sim_img=0, pres_sim_txt=0)),
    "neighbours": ("ours, pres_sim over 5 neighbors", "saferclip_plus",
                   ["objective.pres_sim.form=neighbours", *weights(pres_sim_img=10, pres_sim_txt=5)]),
    "structure": ("ours, spread and neighborhoods preserved (SAGE)", "saferclip_plus",
                  weights(pres_spread_img=2, pres_spread_txt=2, pres_local_img=0.1, pres_local_txt=0.1)),
    "shield_nearest": ("ShieldCLIP, nearest-safe targets", "shield_clip", ["objective.targets.mode=nearest"]),
    "no_anchor_txt": ("ours without anchor_txt", "saferclip_plus", weights(anchor_txt=0)),
    "no_anchor_img": ("ours without anchor_img", "saferclip_plus", weights(anchor_img=0)),
    "full": ("ours, all weights trained instead of LoRA", "saferclip_plus",
             ["adapter.method=full", "optimizer.lr=1e-3", "train.grad_clip=1"]),
}
COLUMNS = [
    ("unsafe text → unsafe first, %", "unsafe_top1.text"),
    ("unsafe image → unsafe first, %", "unsafe_top1.image"),
    ("SafeGround GS", "safeground.gs"),
    ("unsafe text → own safe image, R@1", "retrieval.unsafe_text_to_image_union.r@1"),
    ("unsafe image → own safe text, R@1", "retrieval.unsafe_image_to_text_union.r@1"),
    ("safe text → unsafe first, %", "unsafe_top1.safe_text"),
    ("safe R@1", "retrieval.text_to_image.r@1"),
]
NAMES = [
    ("neutral, anchored", "zero_shot.objects.groups.neutral_anchored.top1"),
    ("neutral, never anchored", "zero_shot.objects.groups.neutral_held_out.top1"),
    ("safe objects", "zero_shot.objects.groups.safe.top1"),
    ("unsafe by an unsafe name", "zero_shot.objects.groups.unsafe.predicted.unsafe"),
]
SPACE = [
    ("mean cosine between safe texts", "space.safe_text.mean_cosine"),
    ("between unsafe texts", "space.unsafe_text.mean_cosine"),
    ("effective rank, safe images", "space.safe_image.effective_rank"),
    ("cosine to before, safe texts", "drift.text.embedding_cos"),
    ("safe images", "drift.vision.embedding_cos"),
]
SPLITS = [("trained", "Trained concepts, new images"), ("unseen_art", "Trained concepts, unseen art"),
          ("unseen_pairs", "Unseen unsafe concepts")]
STRENGTHS = "0,0.25,0.5,0.75,1"


class Study:
    def __init__(self, program, out, seeds):
        self.program, self.out, self.seeds = program, out, SEEDS[:seeds]
        (out / "results").mkdir(parents=True, exist_ok=True)

    def result(self, name, seed):
        return self.out / "results" / f"{name}-{seed}.json"

    def run(self, name, seed, config, overrides):
        result = self.result(name, seed)
        if result.exists():
            return
        run = f"{name}-{seed}"
        settings = [f"run.dir={self.out}/runs", f"run.name={run}", f"train.seed={seed}", *overrides]
        saferclip(self.program, "train", f"configs/demo/{config}.yaml", *set_all(settings), "--resume", "auto")
        extra = ["--strengths", STRENGTHS] if name == "ours" else []
        saferclip(self.program, "evaluate", self.out / "runs" / run, *(w for s, _ in SPLITS for w in ("--split", s)), *extra,
                  "--out", result)
        print(f"{run}: done", flush=True)

    def compare(self, name, seed):
        """Paired on the same rows: ours against another run of the same seed."""
        target = self.out / "results" / f"ours-against-{name}-{seed}.json"
        if not target.exists():
            saferclip(self.program, "evaluate", self.out / "runs" / f"ours-{seed}", "--against", self.out / "runs" / f"{name}-{seed}",
                      "--split", "trained", "--split", "unseen_pairs", "--out", target)
            print(f"ours against {name}, seed {seed}: done", flush=True)

    def run_all(self, jobs, only):
        todo = [(n, s, c, o) for n, (_, c, o) in MAIN.items() for s in self.seeds]
        todo += [(n, s, c, o) for n, (_, c, o) in ABLATIONS.items() for s in self.seeds[:ABLATION_SEEDS]]
        todo = [job for job in todo if not only or job[0] in only]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda job: self.run(*job), todo))
            if not only:
                pairs = [(n, s) for n in MAIN if n != "ours" for s in self.seeds]
                list(pool.map(lambda job: self.compare(*job), pairs))

    def documents(self, name):
        found = [json.loads(p.read_text()) for p in (self.result(name, s) for s in self.seeds) if p.exists()]
        return [{d["split"]: d for d in documents} for documents in found]

    def values(self, name, split, side, path):
        return [look(d[split][side], path) for d in self.documents(name)]

    def table(self, rows, split, columns):
        lines = ["| | " + " | ".join(title for title, _ in columns) + " | seeds |", "|---|" + "---|" * (len(columns) + 1)]
        first = self.documents("ours")[0][split]["before"]
        lines.append("| before | " + " | ".join(spread([look(first, path)]) for _, path in columns) + " | |")
        for name, (title, _, _) in rows.items():
            if self.documents(name):
                cells = [spread(self.values(name, split, "after", path)) for _, path in columns]
                lines.append(f"| {title} | " + " | ".join(cells) + f" | {len(self.documents(name))} |")
        return lines

    def curve(self):
        points = [d["trained"]["strengths"] for d in self.documents("ours")]
        columns = [*COLUMNS[:3], *NAMES[:2]]
        lines = ["| strength | " + " | ".join(title for title, _ in columns) + " |", "|---|" + "---|" * len(columns)]
        for i, point in enumerate(points[0]):
            cells = [spread([look(curve[i]["after"], path) for curve in points]) for _, path in columns]
            lines.append(f"| {point['strength']:.2f} | " + " | ".join(cells) + " |")
        return lines

    def paired(self, split):
        lines = [f"| ours minus … | figure | over seeds | seed {self.seeds[0]}, by pairs | clear by pairs |", "|---|---|---|---|---|"]
        figures = [COLUMNS[0], COLUMNS[1], COLUMNS[2]] + (NAMES[:2] if split == "trained" else [])
        for name, (title, _, _) in MAIN.items():
            files = [self.out / "results" / f"ours-against-{name}-{s}.json" for s in self.seeds]
            if name == "ours" or not all(f.exists() for f in files):
                continue
            documents = [{d["split"]: d for d in json.loads(f.read_text())} for f in files]
            for label, path in figures:
                cells = [d[split]["against"]["difference"][path] for d in documents]
                clear = sum(c["low"] > 0 or c["high"] < 0 for c in cells)
                first = f"{cells[0]['difference']:+.1f} [{cells[0]['low']:+.1f}, {cells[0]['high']:+.1f}]"
                lines.append(f"| {title} | {label} | {spread([c['difference'] for c in cells])} | {first} | "
                             f"{clear} of {len(cells)} seeds |")
        return lines

    def write(self):
        parts = []
        for split, title in SPLITS:
            parts += [f"### {title}", "", *self.table(MAIN, split, COLUMNS), ""]
        parts += ["### Names (zero-shot over all 118, test images)", "", *self.table(MAIN, "trained", NAMES), ""]
        parts += ["### Embedding space, trained concepts", "", *self.table(MAIN, "trained", SPACE), ""]
        parts += ["### Ablations, trained concepts", "", *self.table(ABLATIONS, "trained", [*COLUMNS[:3], *NAMES[:2]]), ""]
        parts += ["### Strength of ours, trained concepts", "", *self.curve(), ""]
        for split, title in (SPLITS[0], SPLITS[2]):
            parts += [f"### Paired differences, {title.lower()}", "", *self.paired(split), ""]
        (self.out / "results.md").write_text("\n".join(parts))
        print(f"tables: {self.out / 'results.md'}")


def run(program, out, seeds, jobs, only, tables):
    for needed in (HOME / "base", HOME / "data"):
        if not needed.exists():
            raise SystemExit(f"{needed} does not exist; run scripts/demo first")
    study = Study(program, out, seeds)
    if not tables:
        study.run_all(jobs, only)
    study.write()
