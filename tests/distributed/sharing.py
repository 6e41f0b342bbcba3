"""Commands whose work several processes share: the same bits as one process makes, said once.

    sharing.py --program build/release/saferclip [unittest arguments]
"""
import json
import shutil

from training import Group, SharedCase, main, sets
from world import file_hash

SIZES = (2, 3)
ANCHORS = "objective={weights: {mutual_txt: 1, anchor_txt: 1, anchor_img: 1}, " \
          "anchors: {prompts: prompts.txt, images: images, batch_size: 4}}"
PREPARED = (ANCHORS, "data.validation=few.jsonl")
OWN_MACHINE = {"LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}


class Sharing(SharedCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.world.root
        cls.rows = [json.loads(line) for line in (cls.root / "train.jsonl").read_text().splitlines()]
        cls.world.write_rows("few.jsonl", cls.rows[:11])
        cls.world.write_rows("others.jsonl", cls.rows[20:] + cls.rows[3:14])
        for name in ("torn", "cut"):
            (cls.root / f"{name}.png").write_bytes((cls.root / "images/safe1.png").read_bytes()[:200])
        cls.prepare("fresh")

    @classmethod
    def prepare(cls, cache, *settings):
        return cls.world.run("prepare", "safe.yaml", *sets(*PREPARED, f"data.cache_dir={cache}", *settings))

    def share(self, size, *arguments, code=0, **options):
        """Runs a command in `size` processes. Returns what the first one printed, and what each said."""
        group = Group(self.world, size, *arguments, **options)
        ends = group.end()
        self.assertEqual([end[0] for end in ends], [code] * size, "\n".join(end[1][-900:] for end in ends))
        said = [end[1] for end in ends]
        self.assert_only_the_first_speaks(said)
        self.assertEqual(group.printed[1:], [""] * (size - 1))
        return group.printed[0], said

    def assert_only_the_first_speaks(self, said):
        self.assertEqual(said[1:], [""] * (len(said) - 1))

    def share_preparation(self, size, *settings, changed=None, **options):
        own = {rank: sets(f"data.cache_dir={cache}") for rank, cache in (changed or {}).items()}
        return self.share(size, "prepare", "safe.yaml", *sets(*PREPARED, *settings), changed=own, **options)

    def artifacts(self, cache):
        return {str(path.relative_to(self.root / cache)): file_hash(path) for path in (self.root / cache).glob("*/data.safetensors")}

    def assert_same_cache(self, cache, fresh="fresh"):
        expected = self.artifacts(fresh)
        self.assertGreaterEqual(len(expected), 5)
        self.assertEqual(self.artifacts(cache), expected)
        left = [path for path in (self.root / cache).rglob("*") if ".tmp-" in path.name]
        self.assertEqual(left, [])

    # --- prepare
    def test_an_empty_cache(self):
        for size in SIZES:
            printed, _ = self.share_preparation(size, f"data.cache_dir=empty{size}")
            self.assertIn("prepared 24 training rows", printed)
            self.assert_same_cache(f"empty{size}")

    def test_nothing_is_made_again(self):
        cache = self.root / "again"
        shutil.copytree(self.root / "fresh", cache)
        before = {path: path.stat().st_mtime_ns for path in cache.glob("*/data.safetensors")}
        self.share_preparation(2, "data.cache_dir=again")
        self.assertEqual({path: path.stat().st_mtime_ns for path in cache.glob("*/data.safetensors")}, before)

    def test_more_processes_than_rows(self):
        self.world.write_rows("two.jsonl", self.rows[:2])
        few = ("data.train=two.jsonl", "data.validation=two.jsonl", "train.batch_size=2")
        self.prepare("two", *few)
        self.share_preparation(4, *few, "data.cache_dir=two-shared")
        self.assert_same_cache("two-shared", "two")

    def test_a_cache_for_each_process(self):
        """Each process is the first of its machine and has its own folder: empty, and one of them full already."""
        for size in SIZES:
            caches = {rank: f"own{size}-{rank}" for rank in range(size)}
            self.share_preparation(size, changed=caches, env=OWN_MACHINE)
            for cache in caches.values():
                self.assert_same_cache(cache)
        for full in (0, 1):
            caches = {rank: f"full{full}-{rank}" for rank in range(2)}
            shutil.copytree(self.root / "fresh", self.root / caches[full])
            self.share_preparation(2, changed=caches, env=OWN_MACHINE)
            for cache in caches.values():
                self.assert_same_cache(cache)

    def test_a_run_with_a_cache_for_each_process(self):
        self.train_shared("one-cache", 2, *PREPARED, "data.cache_dir=one-cache", "train.max_steps=8")
        caches = {rank: f"trained-{rank}" for rank in range(2)}
        self.train_shared("own-caches", 2, *PREPARED, "train.max_steps=8", env=OWN_MACHINE,
                          changed={rank: sets(f"data.cache_dir={cache}") for rank, cache in caches.items()})
        self.assert_same_run("own-caches", "one-cache")
        for cache in caches.values():
            self.assert_same_cache(cache, "one-cache")

    def test_a_cache_that_knows_some_rows(self):
        """Of another manifest that shares rows, on all or on one of the machines."""
        other = ("data.train=others.jsonl", "data.validation=null")
        self.prepare("known-once", *other)
        self.prepare("known-once")
        for size in SIZES:
            self.prepare(f"known{size}", *other)
            said = self.share_preparation(size, f"data.cache_dir=known{size}")[1][0]
            self.assertRegex(said, r"reference, train: 15 of 24 rows reused from")
            self.assert_same_cache(f"known{size}", "known-once")
            self.assert_same_artifacts(f"known{size}", "fresh", least=5)
        self.prepare("known-0", *other)
        self.share_preparation(2, changed={0: "known-0", 1: "known-1"}, env=OWN_MACHINE)
        self.assert_same_artifacts("known-0", "fresh", least=5)
        self.assert_same_cache("known-1")

    def test_rows_that_cannot_be_used(self):
        """Left out, they are the same ones; refused, each is listed once."""
        changes = {2: {"safe_image": "torn.png"}, 21: {"unsafe_image": "cut.png"}}
        bad = [row | changes.get(i, {}) for i, row in enumerate(self.rows)]
        self.world.write_rows("bad.jsonl", bad)
        skipping = ("data.train=bad.jsonl", "data.bad_rows=skip", "data.max_bad_fraction=0.5")
        self.prepare("skipping", *skipping)
        for size in SIZES:
            self.share_preparation(size, *skipping, f"data.cache_dir=skipping{size}")
            self.assert_same_cache(f"skipping{size}", "skipping")
            found, expected = (self.root / cache / "bad_rows.train.json" for cache in (f"skipping{size}", "skipping"))
            self.assertEqual(found.read_text(), expected.read_text())
            refusing = sets(*PREPARED, "data.train=bad.jsonl", f"data.cache_dir=refusing{size}")
            ends = Group(self.world, size, "prepare", "safe.yaml", *refusing).end()
            self.assertEqual([end[0] for end in ends], [3] * size, ends)
            for name in ("torn.png", "cut.png"):
                self.assertEqual(ends[0][1].count(name), 1, ends[0][1])

    # --- evaluate
    def test_evaluate(self):
        """Of a run, with a cold and a warm cache, and of a configuration: the document, the table, what the run keeps."""
        self.world.train("measured", *sets("train.max_steps=6", "data.cache_dir=measured"))
        options = (*sets("data.cache_dir=measured", "evaluate.bootstrap=60", "evaluate.batch_size=5"),
                   "--split", "validation", "--split", "train")
        commands = {"run": ("runs/measured", "--strengths", "0,0.5,1", "--against", "runs/measured"), "config": ("safe.yaml",)}
        for name, command in commands.items():
            alone = self.world.run("evaluate", *command, *options, "--json", "--out", f"{name}-1.json").stdout
            self.assertEqual(alone, (self.root / f"{name}-1.json").read_text())
            kept = self.kept_evaluations("measured")
            table = self.world.run("evaluate", *command, *options).stdout
            for size in SIZES:
                if size == 2:
                    shutil.rmtree(self.root / "measured")
                printed, _ = self.share(size, "evaluate", *command, *options, "--json", "--out", f"{name}-{size}.json")
                self.assertEqual(printed, alone)
                self.assertEqual((self.root / f"{name}-{size}.json").read_text(), alone)
                self.assertEqual(self.kept_evaluations("measured"), kept)
            self.assertEqual(self.share(2, "evaluate", *command, *options)[0], table)

    def kept_evaluations(self, name):
        return {path.name: file_hash(path) for path in (self.root / "runs" / name / "evaluations").iterdir()}

    # --- embed
    def test_embed(self):
        """Pictures and texts, more and fewer than processes; a run's weights."""
        self.world.train("embedded", *sets("train.max_steps=2"))
        pictures = [f"images/{kind}{i}.png" for i in range(7) for kind in ("safe", "unsafe")]
        texts = "red dog,a blue cat,,moon,red dog,sun and tree,a,car".split(",")
        commands = {"both": (SIZES, ("base", "--images", *pictures, "--texts", *texts)), "text": ((3,), ("base", "--texts", "a dog")),
                    "picture": ((3,), ("base", "--images", pictures[0])),
                    "run": ((2,), ("runs/embedded", "--images", *pictures[:5], "--texts", *texts[:5]))}
        for name, (sizes, command) in commands.items():
            alone = self.world.run("embed", *command, "--out", f"{name}-1.safetensors").stdout
            for size in sizes:
                printed, _ = self.share(size, "embed", *command, "--out", f"{name}-{size}.safetensors")
                self.assertEqual(printed, alone)
                self.assertEqual(file_hash(self.root / f"{name}-{size}.safetensors"), file_hash(self.root / f"{name}-1.safetensors"), name)

    def test_pictures_that_cannot_be_read_are_listed_once(self):
        pictures = ["images/safe0.png", "torn.png", "images/safe1.png", "images/safe2.png", "absent.png"]
        alone = self.world.run("embed", "base", "--images", *pictures, "--out", "none.safetensors", code=3).stderr
        for size in SIZES:
            _, said = self.share(size, "embed", "base", "--images", *pictures, "--out", "none.safetensors", code=3)
            for line in alone.strip().splitlines():
                self.assertEqual("\n".join(said).count(line.strip()), 1, said)
            self.assertFalse((self.root / "none.safetensors").exists())

    # --- validation
    def test_validations_are_those_of_one_process(self):
        """A run's lines are what one process finds of the same checkpoint."""
        for size in SIZES:
            name = f"validated-{size}"
            self.train_shared(name, size, "train.max_steps=9", "checkpoint.keep_last=9", "evaluate.every_epochs=1", "evaluate.batch_size=5")
            lines = [line for line in self.world.metrics(name) if line["kind"] == "evaluation"]
            saved = self.assert_whole_checkpoints(name)
            compared = 0
            for line in lines:
                if line["step"] not in saved:
                    continue
                document = json.loads(self.world.run("evaluate", f"runs/{name}", "--checkpoint", line["step"], "--json").stdout)
                for part in set(line["after"]) - {"loss"}:  # of training alone
                    found = document["after"][part]
                    if part == "intervals":  # with those of zero-shot sets
                        found = {key: found[key] for key in line["after"][part]}
                    self.assertEqual(line["after"][part], found, f"step {line['step']}: {part}")
                compared += 1
            self.assertGreaterEqual(compared, 2)

    def test_validations_of_the_same_weights_are_the_same(self):
        """The loss too: steps too small to change a weight."""
        still = ("optimizer.lr=1e-30", "train.max_steps=6", "evaluate.every_epochs=1", "evaluate.batch_size=5", "adapter.dropout=0")
        self.world.run("train", "safe.yaml", *sets("run.name=still-1", *still))
        lines = lambda name: [line for line in self.world.metrics(name) if line["kind"] == "evaluation"]
        for size in SIZES:
            self.train_shared(f"still-{size}", size, *still)
            for found, expected in zip(lines(f"still-{size}"), lines("still-1"), strict=True):
                for of in (found, expected):
                    for tower in of["after"]["drift"].values():
                        tower.pop("weight_l2")
                self.assertEqual(found, expected)


if __name__ == "__main__":
    main()
