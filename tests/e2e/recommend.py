"""`recommend`: which methods it tries, what it says of them, and what becomes of a trial that is stopped or has no time.

    recommend.py --program build/release/saferclip
"""
import json
import os
import shlex
import signal
import subprocess
import time

from world import WorldCase, Workspace, main, sets

METHODS = ["project", "leace", "ridge", "uwm", "safe_only", "safe_clip", "saferclip", "shield_clip", "mutual"]
SHORT = ("--steps", "4", *sets("evaluate.bootstrap=20", "checkpoint.every_steps=1"))
IDS = ("unsafe_top1.text", "unsafe_top1.image", "retrieval.text_to_image.r@1", "retrieval.image_to_text.r@1")


def at(document, path):
    for word in path.split("."):
        document = document[word]
    return document


class Recommend(WorldCase):
    prefix = "saferclip-recommend-"

    def recommend(self, name, *words, code=0):
        return self.world.run("recommend", "safe.yaml", *SHORT, *sets(f"run.name={name}"), *words, code=code)

    def folder(self, name):
        return self.world.root / "runs" / f"{name}-recommend"

    def test_each_method_is_a_run_and_the_best_are_starred(self):
        w = self.world
        done = self.recommend("all", "--json")
        document = json.loads(done.stdout)
        self.assertEqual([m["name"] for m in document["methods"]], METHODS)
        self.assertEqual((document["split"], document["steps"]), ("validation", 4))
        points = []
        for method in document["methods"]:
            self.assertEqual((method["state"], method["exit_code"]), ("measured", 0), method["name"])
            self.assertGreater(method["seconds"], 0)
            kept = sorted((self.folder("all") / method["name"] / "evaluations").glob("*.validation.json"))
            measured = json.loads(kept[-1].read_text())
            for key in IDS:
                self.assertEqual(method["after"][key], at(measured["after"], key))
                self.assertEqual(document["before"][key], at(measured["before"], key))
            self.assertEqual(method["after"]["names"], measured["after"]["zero_shot"]["z"]["top1"])
            text, image, recall_text, recall_image = (method["after"][key] for key in IDS)
            points.append((-(text + image), recall_text + recall_image, method["after"]["names"]))
        text, image, recall_text, recall_image = (document["before"][key] for key in IDS)
        rivals = [*points, (-(text + image), recall_text + recall_image, document["before"]["names"])]
        for method, point in zip(document["methods"], points, strict=True):
            self.assertEqual(method["is_dominated"], any(o != point and all(a >= b for a, b in zip(o, point)) for o in rivals), method["name"])
        # Again: nothing is run, the table says the same, and each command it ends with can be given.
        done = self.recommend("all")
        self.assertEqual(done.stderr.count("is measured already"), len(points))
        lines = done.stdout.splitlines()
        starred = [line[2:].split()[0] for line in lines if line.startswith("* ")]
        self.assertEqual(starred, [m["name"] for m in document["methods"] if not m["is_dominated"]])
        commands = [line.split(": saferclip ", 1) for line in lines if ": saferclip " in line]
        self.assertEqual([name for name, _ in commands], starred)
        self.assertTrue(all(len(line) <= 80 for line in lines if ": saferclip " not in line), done.stdout)
        w.run(*shlex.split(commands[-1][1]), *(sets("train.max_steps=5") if commands[-1][1].startswith("train") else ()))

    def test_the_configurations_differ_in_the_method_alone(self):
        self.recommend("same", "--only", "saferclip", "--only", "mutual")
        self.assertFalse((self.folder("same") / "safe_clip.yaml").exists())
        shown = {name: json.loads(self.world.run("config", "show", str(self.folder("same") / f"{name}.yaml"), "--json").stdout)
                 for name in ("saferclip", "mutual")}
        for document in shown.values():
            self.assertEqual(document["train"]["max_steps"], 4)
            self.assertEqual(document["schedule"]["warmup_steps"], 0)
            self.assertEqual(document["train"]["batch_size"], 5)
            self.assertEqual(document["adapter"]["rank"], 2)
        published, mutual = (shown[name]["objective"]["weights"] for name in ("saferclip", "mutual"))
        self.assertEqual((published["cross_txt"], published["mutual_txt"]), (1, 0))
        self.assertEqual((mutual["cross_txt"], mutual["mutual_txt"], mutual["anchor_txt"], mutual["anchor_img"]), (0.3, 3, 2, 0))

    def test_a_stopped_trial_goes_on(self):
        words = [Workspace.program, "recommend", "safe.yaml", *SHORT, *sets("run.name=stopped"), "--only", "saferclip", "--only", "mutual", "--json"]
        started = subprocess.Popen(words, cwd=self.world.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
        while not (self.folder("stopped") / "saferclip/metrics.jsonl").exists():
            self.assertIsNone(started.poll())
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        out, said = started.communicate()
        self.assertEqual((started.returncode, out), (130, ""), said)
        self.assertIn("the same command continues it", said)
        document = json.loads(self.recommend("stopped", "--only", "saferclip", "--only", "mutual", "--json").stdout)
        self.assertEqual([m["state"] for m in document["methods"]], ["measured"] * 2)

    def test_without_time_a_training_is_left_out(self):
        done = self.recommend("hasty", "--minutes", "0.001", "--only", "saferclip", "--only", "mutual")
        self.assertIn("mutual: not tried", done.stderr)
        self.assertRegex(done.stdout, r"\n  mutual +not tried: no time\n")

    def test_a_method_that_fails_is_named(self):
        done = self.recommend("failed", "--only", "saferclip", *sets("optimizer.lr=1e30"), code=5)
        self.assertRegex(done.stdout, r"\n  saferclip +failed\n")
        self.assertIn("1 of 1 methods failed", done.stderr)

    def test_refusals(self):
        for words, why in ((("--only", "saver"), "--only saver: no such method; expected one of "),
                           (sets("data.validation="), "data.validation: is not set"),
                           (("--split", "elsewhere"), "no such split"), (("--steps", "0"), "--steps")):
            said = self.recommend("refused", *words, code=2).stderr
            self.assertIn(why, said)
            self.assertFalse(self.folder("refused").exists())


main()
