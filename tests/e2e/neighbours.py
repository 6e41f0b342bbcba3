"""Rows that predict their partner jointly with their neighbors: values, batches, what is said, resuming.

    neighbours.py --program build/release/saferclip [unittest arguments]
"""
import json
import math
import struct

from world import ROWS, WorldCase, file_hash, main, read_safetensors, sets

CET = ("objective.weights.pres_cet_img=1", "objective.weights.pres_cet_txt=1", "objective.infonce_scale=10",
       "objective.curriculum.enabled=false", "schedule={name: constant, warmup_steps: 0}")
WHOLE = (*CET, "adapter.dropout=0", f"train.batch_size={ROWS}", "train.micro_batch_size=null", "train.max_steps=1", "data.validation=null")


def cosine(a, b):
    size = lambda x: math.sqrt(sum(y * y for y in x))
    return sum(x * y for x, y in zip(a, b)) / (size(a) * size(b))


def joint(tuned, answers, threshold, rows, k=5, own=0.9):
    """The mean over `rows` of -log of the joint probability of the own answer."""
    total = 0
    for i in rows:
        near = sorted((j for j in rows if j != i and cosine(answers[i], answers[j]) >= threshold),
                      key=lambda j: -cosine(answers[i], answers[j]))[:k]
        options = [c for c in rows if c == i or cosine(answers[i], answers[c]) < threshold]
        shares = {j: math.exp(10 * cosine(tuned[j], answers[i])) / sum(math.exp(10 * cosine(tuned[j], answers[c])) for c in options)
                  for j in [i, *near]}
        weight = own if near else 1
        total -= math.log(weight * shares[i] + (1 - weight) * sum(shares[j] for j in near) / max(len(near), 1))
    return total / len(rows)


class Neighbours(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        w = cls.world
        cls.rows = [json.loads(line) for line in (w.root / "train.jsonl").read_text().splitlines()]
        w.run("prepare", "safe.yaml", *sets("objective.curriculum.enabled=false"))
        tensors = read_safetensors(next((w.root / "cache").glob("reference-*")) / "data.safetensors")
        cls.reference = {name: [struct.unpack_from(f"<{shape[1]}f", data, 4 * shape[1] * i) for i in range(shape[0])]
                         for name, (dtype, shape, data) in tensors.items() if len(shape) == 2 and dtype == "F32"}
        texts = cls.reference["safe_text"]
        pairs = sorted(cosine(texts[i], texts[j]) for i in range(ROWS) for j in range(i))
        cls.threshold = (pairs[-30] + pairs[-31]) / 2  # some rows have neighbors, others have none

    def train(self, name, *settings, code=0, arguments=()):
        return self.world.train(name, *sets(*settings), *arguments, code=code)

    def steps(self, name):
        return [line for line in self.world.metrics(name) if line["kind"] == "train"]

    def test_first_terms_are_those_of_the_frozen_model(self):
        said = self.train("partners", *WHOLE, f"objective.pres_cet.threshold={self.threshold:.9f}").stderr
        self.assertRegex(said, r"neighbors +\d+ of 24 rows have neighbors, with which they share batches")
        r, every = self.reference, range(ROWS)
        found = self.steps("partners")[0]["terms"]
        self.assertAlmostEqual(found["pres_cet_img"], joint(r["safe_image"], r["safe_text"], self.threshold, every), delta=2e-4)
        self.assertAlmostEqual(found["pres_cet_txt"], joint(r["safe_text"], r["safe_image"], self.threshold, every), delta=2e-4)

    def test_rows_of_one_target(self):
        self.train("targets", *WHOLE, "objective.pres_cet.over=target")
        lines = json.loads(self.world.run("targets", "safe.yaml", "--json", *sets(*CET)).stdout)["targets"]
        of_row = {line["id"]: int(line["target_id"]) for line in lines}
        target = [of_row[row["id"]] for row in self.rows]
        r = self.reference
        texts, images = [r["safe_text"][i] for i in target], [r["safe_image"][i] for i in target]
        shown = [i for i, row in enumerate(self.rows) if "unsafe_image" in row]
        self.assertLess(len(set(target)), ROWS)
        found = self.steps("targets")[0]["terms"]
        self.assertAlmostEqual(found["pres_cet_txt"], joint(r["unsafe_text"], images, 1 - 1e-6, range(ROWS)), delta=2e-4)
        self.assertAlmostEqual(found["pres_cet_img"], joint(r["unsafe_image"], texts, 1 - 1e-6, shown), delta=2e-4)

    def test_resumes_to_the_bit(self):
        w = self.world
        plain = (*CET, f"objective.pres_cet.threshold={self.threshold:.9f}", "checkpoint.every_steps=3")
        self.train("halves", *plain, "train.max_steps=7", arguments=("--resume", "auto"))
        self.train("halves", *plain, "train.max_steps=12", arguments=("--resume", "auto"))
        self.train("straight", *plain, "train.max_steps=12")
        for file in ("weights.safetensors", "optimizer.safetensors"):
            self.assertEqual(file_hash(w.checkpoint("halves") / file), file_hash(w.checkpoint("straight") / file))
        self.train("by-chance", *plain, "train.max_steps=12", "objective.weights.pres_cet_img=0", "objective.weights.pres_cet_txt=0")
        self.assertEqual(len(self.steps("by-chance")), len(self.steps("straight")))

    def test_without_neighbors_it_says_so(self):
        said = self.train("none", *CET, "objective.pres_cet.threshold=1", "train.max_steps=1", "objective.weights.pres_cet_txt=0").stderr
        self.assertIn("0 of 24 rows have neighbors", said)
        self.assertIn("no training row has a neighbor, so pres_cet_* predict each row alone", said)


if __name__ == "__main__":
    main()
