"""Runs side by side: what `compare` shows is what the evaluations say, and what cannot be compared is refused.

    compare.py --program build/release/saferclip
"""
import csv
import html.parser
import io
import json
import math
import re
import statistics
import xml.etree.ElementTree

from world import WorldCase, main, sets

T_95 = {2: 12.706204736432095, 3: 4.302652729911275}  # two-sided quantiles of Student's t, by number of values


def evaluation(world, run, split="validation", step=4):
    return json.loads((world.root / f"runs/{run}/evaluations/step_{step:08}.{split}.json").read_text())


def number(model, path):
    for word in path.split("."):
        model = model.get(word, {}) if isinstance(model, dict) else {}
    return model if isinstance(model, (int, float)) else None


class Compare(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        rows = (w.root / "train.jsonl").read_text().splitlines()
        (w.root / "half.jsonl").write_text("\n".join(rows[:12]) + "\n")
        shorter = ["train.max_steps=4", "evaluate.bootstrap=100", "data.evaluation={half: half.jsonl}"]
        for name, *extra in (("a1", "train.seed=1"), ("a2", "train.seed=2"), ("a3", "train.seed=3"), ("b", "optimizer.lr=0.2"),
                             ("far", "optimizer.lr=1e-9", "adapter.rank=3"), ("other", "data.validation=half.jsonl")):
            w.train(name, *sets(*shorter, *extra))
            w.run("evaluate", f"runs/{name}", *(["--against", "runs/a1"] if name in ("b", "far") else []))
        w.run("evaluate", "runs/a2", "--split", "half")
        w.run("evaluate", "runs/a3", "--split", "half")

    def compare(self, *arguments, code=0):
        """On the split validation, unless the refusal is the point."""
        split = ["--split", "validation"] if code == 0 and "--split" not in arguments else []
        return self.world.run("compare", *arguments, *split, code=code)

    def document(self, *arguments):
        return json.loads(self.compare(*arguments, "--json").stdout)

    def outcomes(self, run):
        return self.world.root / f"runs/{run}/evaluations/step_00000004.validation.outcomes.safetensors"

    # --- the figures
    def test_figures_are_those_of_the_evaluations(self):
        runs = ["a1", "a2", "b", "far"]
        found = self.document(*(f"runs/{r}" for r in runs), "--each")
        self.assertEqual([(c["name"], c["kind"]) for c in found["columns"]], [("before", "before"), *((r, "run") for r in runs)])
        documents = [evaluation(self.world, r) for r in runs]
        self.assertEqual((found["split"], found["n"], found["content"]), ("validation", 24, documents[0]["content"]))
        models = [documents[0]["before"], *(d["after"] for d in documents)]
        self.assertGreater(len(found["figures"]), 20)
        for row in found["figures"]:
            for model, cell in zip(models, row["cells"], strict=True):
                self.assertEqual(cell and cell["value"], number(model, row["metric"]), row["metric"])
                self.assertEqual(cell and cell.get("interval"), model["intervals"].get(row["metric"]) if cell else None)

    def test_the_best_is_marked(self):
        marks = 0
        for row in self.document("runs/a1", "runs/b", "runs/far", "--each")["figures"]:
            cells = row["cells"][1:]
            values = [c["value"] for c in cells]
            wanted = {"higher": max, "lower": min}.get(row["better"])
            best = wanted(values) if wanted and max(values) - min(values) > 1e-9 else None
            self.assertEqual([c["best"] for c in cells], [v == best for v in values], row["metric"])
            self.assertFalse(row["cells"][0] and row["cells"][0]["best"])
            marks += best is not None
        self.assertGreater(marks, 5)

    def test_better_and_worse_come_from_paired_tests_alone(self):
        kept = {r: self.outcomes(r).read_bytes() for r in ("b", "a2", "far")}
        runs = ["runs/a1", "runs/b", "runs/far", "runs/a2", "--each"]
        self.outcomes("a2").unlink()
        found = self.document(*runs)
        self.assertEqual(found["untested"], ["runs/a2"])
        for broken in (b"", kept["a2"][:-9], kept["b"]):  # of b's scores, not of a2's
            self.outcomes("a2").write_bytes(broken)
            self.assertEqual(self.document(*runs), found)
        said = self.compare("runs/a1", "runs/b", "runs/a2", "--each").stdout
        self.assertIn("saferclip evaluate runs/a2 --against runs/a1 --split validation", " ".join(said.split()))
        # Without outcomes the tests of --against are left, which must agree; those of b were against a1.
        for run in ("b", "far"):
            self.outcomes(run).unlink()
        self.assertEqual(self.document(*runs), found)
        self.assertEqual(self.document("runs/a2", "runs/b")["untested"], ["runs/b"])
        for run, content in kept.items():
            self.outcomes(run).write_bytes(content)
        self.assertEqual(self.document(*runs)["untested"], [])
        seen = set()
        for row in found["figures"]:
            sign = {"higher": 1, "lower": -1}.get(row["better"], 0)
            for name, cell in zip(("b", "far"), row["cells"][2:4], strict=True):
                tested = evaluation(self.world, name)["against"]["difference"].get(row["metric"])
                wanted = None
                if tested and sign:
                    wanted = "unclear" if tested["low"] <= 0 <= tested["high"] else "better" if sign * tested["low"] > 0 else "worse"
                self.assertEqual(cell["against_first"], wanted, (name, row["metric"]))
                seen.add(wanted)
            change = evaluation(self.world, "a1")["change"].get(row["metric"])
            if change and sign:
                wanted = "unclear" if change["low"] <= 0 <= change["high"] else "worse" if sign * change["low"] > 0 else "better"
                self.assertEqual(row["cells"][0]["against_first"], wanted, row["metric"])
            self.assertIsNone(row["cells"][4] and row["cells"][4]["against_first"])
        self.assertGreaterEqual(seen, {"worse", "unclear", None})

    def test_seeds_become_one_column(self):
        found = self.document("runs/a1", "runs/a2", "runs/b", "runs/a3")
        self.assertEqual([(c["name"], c["kind"]) for c in found["columns"]], [("before", "before"), ("a (3 seeds)", "seeds"), ("b", "run")])
        self.assertEqual([r["seed"] for r in found["columns"][1]["runs"]], ["1", "2", "3"])
        models = [evaluation(self.world, r)["after"] for r in ("a1", "a2", "a3")]
        for row in found["figures"]:
            values = [number(m, row["metric"]) for m in models]
            mean, half = statistics.fmean(values), T_95[3] * statistics.stdev(values) / math.sqrt(3)
            cell = row["cells"][1]
            self.assertAlmostEqual(cell["value"], mean, places=9)
            for got, wanted in zip(cell["interval"], (mean - half, mean + half), strict=True):
                self.assertAlmostEqual(got, wanted, places=7)
        said = self.compare("runs/a1", "runs/a2").stdout
        self.assertIn("a (2 seeds)", said)
        self.assertIn("95 % t interval of the mean over seeds", said)
        shown = 0
        for row in self.document("runs/a1", "runs/a2")["figures"]:
            values = [number(m, row["metric"]) for m in models[:2]]
            mean, half = statistics.fmean(values), T_95[2] * statistics.stdev(values) / math.sqrt(2)
            if row["unit"] == "percent":
                whole = f"{mean:.1f} ±{half:.1f}" if 0 <= mean - half <= mean + half <= 100 else (
                    f"{mean:.1f} {max(0, mean - half):.1f}–{min(100, mean + half):.1f}")
                self.assertIn(whole, said)
                shown += "–" in whole
        self.assertGreater(shown, 0)

    def test_where_the_configurations_differ(self):
        found = {d["key"]: d["values"] for d in self.document("runs/a1", "runs/a2", "runs/b", "runs/far")["configuration"]}
        self.assertEqual(found, {"adapter.rank": ["", "2", "2", "3"], "optimizer.lr": ["", "0.01", "0.2", "1e-09"],
                                 "train.seed": ["", "1, 2", "42", "42"]})
        self.assertEqual(self.document("runs/b")["configuration"], [])

    # --- its forms
    def test_the_table_fits(self):
        for runs in (["a1"], ["a1", "b"], ["a1", "a2", "a3", "b", "far"]):
            for extra in ([], ["--each"]):
                lines = self.compare(*(f"runs/{r}" for r in runs), *extra).stdout.splitlines()
                self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(sum("unsafe text finds" in line for line in lines), 2)  # blocks
        long = self.world.root / "runs" / "a,run=whose,name=is,longer=than,any=column"
        long.symlink_to("b")
        table = self.compare(long, "runs/a1").stdout
        self.assertLessEqual(max(map(len, table.splitlines())), 80)
        self.assertIn("any=column", table)
        long.unlink()

    def test_files(self):
        w = self.world
        runs = ["runs/a1", "runs/a2", "runs/b"]
        (w.root / "t.csv").write_text("older")
        self.compare(*runs, "--csv", "t.csv", "--markdown", "t.md", "--latex", "t.tex")
        found = self.document(*runs)
        rows = list(csv.reader(io.StringIO((w.root / "t.csv").read_text())))
        self.assertEqual(rows[0], ["metric", "figure", "unit", "before", "a (2 seeds)", "a (2 seeds) ±", "b"])
        for row, figure in zip(rows[1:], found["figures"], strict=True):
            before, seeds, b = figure["cells"]
            wanted = [before and before["value"], seeds["value"], seeds["interval"][1] - seeds["value"], b["value"]]
            self.assertEqual(row[0], figure["metric"])
            self.assertEqual([float(x) if x else None for x in row[3:]], wanted)
        table = (w.root / "t.md").read_text().splitlines()
        self.assertEqual(table[0], "| split validation, 24 rows | before | a (2 seeds) | b |")
        self.assertEqual({line.count(" | ") for line in table[: len(rows)]}, {3})
        self.assertTrue(any("**" in line for line in table))
        self.assertIn("| optimizer.lr |  | 0.01 | 0.2 |", table)
        latex = (w.root / "t.tex").read_text()
        for words in ("\\begin{tabular}{lrrr}", "\\toprule", "R@1, \\%", "\\textbf{", "$\\rightarrow$", "$\\pm$", "\\end{tabular}"):
            self.assertIn(words, latex)

    def test_the_page(self):
        w = self.world
        long = w.root / "runs" / "<b>&"
        long.symlink_to("b")
        self.compare("runs/a1", "runs/a2", long, "runs/far", "--html", "t.html")
        long.unlink()
        page = (w.root / "t.html").read_text()
        self.assertNotIn("<b>&", page.replace("<b>&#", ""))
        self.assertIn("&lt;b&gt;&amp;", page)
        self.assertEqual(set(re.findall(r'(?:src|href)="([^#"]*)', page)), {""})  # needs nothing but itself
        html.parser.HTMLParser().feed(page)
        for svg in re.findall(r"<svg.*?</svg>", page, re.S):
            xml.etree.ElementTree.fromstring(svg)
        table = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in re.findall(r"<tr>.*?</tr>", page)]
        rows = {row[0]: row[1:] for row in table}
        value = number(evaluation(w, "far")["after"], "safeground.gs")
        self.assertTrue(rows["SafeGround: all four preferences safe, % ↑"][3].startswith(f"{value:.1f}"))
        self.assertEqual(rows["optimizer.lr"], ["0.01", "0.2", "1e-09"])
        loss, = (svg for svg in re.findall(r"<svg.*?</svg>", page, re.S) if "Training loss" in svg)
        lines = re.findall(r'<polyline class="line (s\d)" points="([^"]*)"', loss)
        self.assertEqual([(css, len(points.split())) for css, points in lines], [(f"s{i}", 4) for i in range(4)])
        # The front: the points that no other beats.
        front = [svg for svg in re.findall(r"<svg.*?</svg>", page, re.S) if "nothing beats" in svg]
        self.assertEqual(len(front), 2)
        dots = {(float(x), -float(y)) for x, y in re.findall(r'<circle class="dot" cx="([\d.]+)" cy="([\d.]+)"', front[0])}
        joined = re.search(r'<polyline class="line s1 dashed" points="([^"]*)"', front[0]).group(1).split()
        best = {d for d in dots if not any(o != d and o[0] >= d[0] and o[1] >= d[1] for o in dots)}
        self.assertEqual({(float(x), -float(y)) for x, y in (p.split(",") for p in joined)}, best)

    def test_published_values(self):
        w = self.world
        (w.root / "papers.csv").write_text("metric,name,value\nunsafe_top1.text,Safe-CLIP,51.4\nsafeground.gs,A paper,20\n"
                                           "zero_shot.food101.top1,Safe-CLIP,60.2\n")
        done = self.compare("runs/a1", "--published", "papers.csv", "--json")
        found = json.loads(done.stdout)
        self.assertEqual([c["name"] for c in found["columns"]], ["before", "a1", "Safe-CLIP", "A paper"])
        cells = {row["metric"]: row["cells"] for row in found["figures"]}
        self.assertEqual([c and c["value"] for c in cells["unsafe_top1.text"][2:]], [51.4, None])
        self.assertFalse(cells["unsafe_top1.text"][2]["best"])
        self.assertIn("left out: zero_shot.food101.top1", done.stderr)
        (w.root / "bad.csv").write_text("metric,name,value\nunsafe_top1.texd,S,1\nunsafe_top1.text,S,x\n,S,1\nunsafe_top1.text,,3\n"
                                        "safeground.gs,S,1\nsafeground.gs,S,2\n")
        said = self.compare("runs/a1", "--published", "bad.csv", code=3).stderr
        for words in ("line 2: \"unsafe_top1.texd\" is no metric; did you mean unsafe_top1.text?", "line 3: value: expected a number, found \"x\"",
                      "line 4: no metric", "line 5: no name", "line 7: safeground.gs of S is there twice"):
            self.assertIn(words, said)

    # --- what cannot be compared
    def test_refusals(self):
        for arguments, code, words in (
                (["runs/a1", "runs/base"], 3, ["runs/base", "`saferclip evaluate runs/base`"]),
                (["runs/a1", "runs/b", "--split", "half"], 3, ["`saferclip evaluate runs/a1 --split half`", "`saferclip evaluate runs/b --split half`"]),
                (["runs/a1", "runs/a2"], 2, ["different splits", "runs/a1 on validation", "runs/a2 on half, validation", "--split validation"]),
                (["runs/a1", "runs/other"], 3, ["split validation", "runs/a1: ", "train.jsonl, 24 rows", "runs/other: ", "half.jsonl, 12 rows"]),
                (["runs/a1", "runs/a1/"], 2, ["given twice"]),
                (["runs/a1", "runs/none"], 4, ["runs/none"]),
                (["runs/a1", "--checkpoint", "3"], 3, ["step 3", "--checkpoint 3"]),
                (["runs/a1", "--checkpoint", "new"], 2, ["latest, best or a step"]),
                (["runs/a1", "--csv", "x", "--latex", "x"], 2, ["--csv and --latex"]),
                (["runs/a1", "--published", "gone.csv"], 3, ["gone.csv"])):
            said = self.compare(*arguments, code=code).stderr
            for word in words:
                self.assertIn(word, said)
            self.assertLessEqual(len(said.splitlines()), 3)
        self.assertIn("several splits (half, validation)", self.compare("runs/a2", "runs/a3", code=2).stderr)
        self.assertEqual(self.document("runs/a2", "runs/a3", "--split", "half")["n"], 12)

    def test_runs_without_checkpoints(self):
        """The evaluations are enough."""
        w = self.world
        (w.root / "runs/b/checkpoints").rename(w.root / "away")
        found = self.document("runs/b")
        (w.root / "away").rename(w.root / "runs/b/checkpoints")
        self.assertEqual(found, self.document("runs/b"))


if __name__ == "__main__":
    main()
