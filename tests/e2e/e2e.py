"""The real program on a tiny model: train, kill, resume, evaluate, export, and each exit code.

    e2e.py --program build/release/saferclip [unittest arguments]
"""
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import time

from world import ROWS, WorldCase, file_hash, main, png, read_safetensors, seal, sets, write_safetensors


class EndToEnd(WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.train("whole")

    def test_metrics_hold_every_step_once_and_evaluations(self):
        lines = self.world.metrics("whole")
        self.assertEqual([l["step"] for l in lines if l["kind"] == "train"], list(range(1, 41)))
        self.assertGreaterEqual(sum(l["kind"] == "evaluation" for l in lines), 3)
        self.assertEqual(set(lines[0]["terms"]), {
            "cross_img", "cross_txt", "uni_img", "uni_txt", "pres_uni_img", "pres_uni_txt", "pres_cross_img",
            "pres_cross_txt", "mutual_txt", "anchor_txt"})
        self.assertAlmostEqual(lines[0]["terms"]["pres_uni_txt"], 0, delta=1e-5)  # tuned == reference at step 0
        self.assertAlmostEqual(lines[0]["terms"]["pres_uni_img"], 0, delta=1e-5)

    def test_sigkill_at_random_moments(self):
        rng = random.Random(11)
        kills = 0
        while True:
            process = self.world.start("train", "safe.yaml", "--set", "run.name=killed", "--resume", "auto")
            try:
                # Longer after every kill: a busy machine may need more than the first waits to reach a checkpoint.
                process.wait(0.3 + rng.random() * 0.6 + kills * kills * 0.002)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            if process.wait() == 0:
                break
            self.assertLess(kills, 60)
        self.world.run("train", "safe.yaml", "--set", "run.name=killed", "--resume", "auto")
        self.assert_same_run("killed")
        leftovers = [p for p in (self.world.root / "runs" / "killed").rglob("*") if ".tmp-" in p.name]
        self.assertEqual(leftovers, [])

    def test_sigterm_saves_and_resumes(self):
        process = self.world.start("train", "safe.yaml", "--set", "run.name=stopped", "--set", "checkpoint.every_steps=0")
        metrics = self.world.root / "runs" / "stopped" / "metrics.jsonl"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 6:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 143)
        self.assertGreater(json.loads((self.world.checkpoint("stopped") / "state.json").read_text())["step"], 4)
        self.world.train("stopped", "--resume", "auto")
        self.assert_same_run("stopped")

    def test_weights_without_optimizer_state_differ(self):
        """A resumption that forgot the moments must not pass for one."""
        w = self.world
        train = lambda name, steps, **options: w.train(
            name, *sets("schedule.name=constant", f"train.max_steps={steps}"), "--resume", "auto", **options)
        train("half", 20)
        for name in ("true", "zeroed", "removed"):
            shutil.copytree(w.root / "runs/half", w.root / "runs" / name)
        moments = ("exp_avg", "exp_avg_sq")
        for name, change in (("zeroed", lambda data: bytes(len(data))), ("removed", None)):
            file = w.checkpoint(name) / "optimizer.safetensors"
            tensors = read_safetensors(file)
            chosen = [n for n in tensors if n.endswith(tuple(f".{moment}" for moment in moments))]
            self.assertGreater(len(chosen), 8)
            for n in chosen:
                dtype, shape, data = tensors.pop(n)
                self.assertNotEqual(data, bytes(len(data)), n)
                if change:
                    tensors[n] = dtype, shape, change(data)
            write_safetensors(file, tensors)
            seal(file.parent)
        train("full", 30)
        train("true", 30)
        weights = lambda name: file_hash(w.checkpoint(name) / "weights.safetensors")
        self.assertEqual(weights("true"), weights("full"))
        train("zeroed", 30)
        self.assertNotEqual(weights("zeroed"), weights("full"))
        self.assertEqual(w.metrics("zeroed")[:20], w.metrics("true")[:20])
        said = train("removed", 30, code=4).stderr
        self.assertRegex(said, r"optimizer\.safetensors.*exp_avg")

    def test_damaged_checkpoint_is_skipped(self):
        self.world.train("damaged", "--set", "schedule.name=constant", "--set", "train.max_steps=9")
        newest = self.world.checkpoint("damaged")
        with open(newest / "optimizer.safetensors", "r+b") as file:
            file.seek(-3, 2)
            file.write(b"xyz")
        stale = newest.parents[1] / ".config.yaml.tmp-1"  # as a kill leaves it
        stale.write_text("model")
        result = self.world.train("damaged", "--resume", "auto", "--set", "schedule.name=constant", "--set", "train.max_steps=12")
        self.assertFalse(stale.exists())
        self.assertIn("damaged checkpoint skipped", result.stderr)
        self.assertIn("(step 6)", result.stderr)

    def test_weights_of_other_forms_and_sizes_train(self):
        w = self.world
        w.run("export", "runs/base", "--to", "openai", "--out", "base_openai")
        w.train("from_pt", "--set", "model.weights=base_openai/model.pt", "--set", "train.max_steps=2")
        w.run("export", "runs/from_pt", "--to", "open_clip", "--out", "from_pt")
        self.assertIn("open_clip folder", w.run("inspect", "from_pt").stdout)
        self.assertNotIn("split train", (w.root / "from_pt" / "README.md").read_text())
        w.run("evaluate", "runs/from_pt", "--split", "train")
        shutil.rmtree(w.root / "from_pt")
        w.run("export", "runs/from_pt", "--to", "open_clip", "--out", "from_pt")
        card = (w.root / "from_pt" / "README.md").read_text()
        for word in ("## Metrics", "split validation", "split train", "unsafe", "SHA-256", "## License", "max_steps: 2"):
            self.assertIn(word, card)
        w.train("larger", "--set", "model.image_size=24", "--set", "train.max_steps=2")
        w.run("export", "runs/larger", "--to", "hf", "--out", "larger")
        self.assertEqual(json.loads((w.root / "larger" / "config.json").read_text())["vision_config"]["image_size"], 24)
        self.assertIn("image_size", w.run("export", "runs/larger", "--to", "peft", "--out", "no", code=2).stderr)
        for arguments in (("--to", "open_clip", "--tower", "text"), ("--to", "hf", "--strength", "-3"), ("--to", "hf", "--strength", "9")):
            w.run("export", "runs/from_pt", *arguments, "--out", "no", code=2)
        self.assertIn("is a run", w.run("export", "runs/base", "--to", "hf", "--activation", "gelu", "--out", "no", code=2).stderr)
        said = w.run("embed", "base", "--architecture", "model.json", "--texts", "x", "--out", "x.npy", code=2).stderr
        self.assertIn("has its own configuration", said)
        for arguments in (("--to", "peft"), ("--to", "hf", "--strength", "0.5")):
            w.run("export", "base", *arguments, "--out", "no", code=2)
        self.assertFalse((w.root / "no").exists())

    def test_doctor_knows_published_files_by_their_name(self):
        (self.world.root / "ViT-B-32.pt").write_bytes(b"something else")
        said = self.world.run("doctor", "ViT-B-32.pt", code=1).stdout
        self.assertIn("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", said)
        self.assertIn("not one of OpenAI's files", self.world.run("doctor", "base/model.safetensors").stdout)

    def test_refusals_of_a_run_folder(self):
        self.assertIn("--resume auto", self.world.train("whole", code=2).stderr)
        changed = self.world.train("whole", "--resume", "auto", "--set", "train.batch_size=6", code=2).stderr
        self.assertIn("train.batch_size: 5 in the run, 6 now", changed)
        self.world.train("whole", "--overwrite", "--resume", "auto", code=2)
        (self.world.root / "empty").mkdir(exist_ok=True)
        self.world.run("train", "safe.yaml", "--resume", "empty", code=4)
        self.world.train("again", "--set", "train.max_steps=3")
        self.world.train("again", "--set", "train.max_steps=3", "--overwrite")
        process = self.world.start("train", "safe.yaml", "--set", "run.name=busy")
        while not (self.world.root / "runs" / "busy" / "metrics.jsonl").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        self.assertIn("another process is using it", self.world.train("busy", code=2).stderr)
        process.kill()
        process.wait()

    def test_divergence_keeps_the_last_good_checkpoint(self):
        result = self.world.train("nan", "--set", "optimizer.lr=1.0e+30", "--set", "checkpoint.every_steps=1",
                                  "--set", "schedule.warmup_steps=0", code=5)
        self.assertIn("is not finite", result.stderr)
        broken = re.search(r"step (\d+): the (loss|gradient) is not finite(?: \(terms: (.*?)\))?; rows in the batch: (.*?); the checkpoint of "
                           r"step (\d+) is untouched", result.stderr)
        self.assertIsNotNone(broken, result.stderr)
        if broken[2] == "loss":
            self.assertIn("uni_txt", broken[3])
        ids = broken[4].split(", ")
        self.assertIn(len(set(ids)), range(1, 6))  # the last batch of an epoch may be smaller
        self.assertEqual(len(set(ids)), len(ids))
        self.assertLessEqual(set(ids), {str(i) for i in range(ROWS)})
        self.assertEqual(int(broken[5]), int(broken[1]) - 1)  # nothing of the broken step was saved
        good = self.world.checkpoint("nan")
        self.assertEqual(good.name, f"step_{int(broken[5]):08d}")
        self.assertEqual([l["step"] for l in self.world.metrics("nan")], list(range(1, int(broken[1]))))
        self.world.run("inspect", good)
        # Nothing is left out or tried otherwise: going on meets the same numbers.
        again = self.world.train("nan", "--set", "optimizer.lr=1.0e+30", "--set", "checkpoint.every_steps=1", "--set",
                                 "schedule.warmup_steps=0", "--resume", "auto", code=5)
        self.assertIn(f"step {broken[1]}: the {broken[2]} is not finite", again.stderr)
        for line in self.world.metrics("nan"):
            self.assertLess(abs(line["loss"]), 1e9)

    def test_full_disk_keeps_the_last_checkpoint(self):
        self.world.train("disk", "--set", "schedule.name=constant", "--set", "train.max_steps=3")
        good = file_hash(self.world.checkpoint("disk") / "weights.safetensors")
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        result = self.world.run("train", "safe.yaml", "--set", "run.name=disk", "--set", "schedule.name=constant", "--set",
                                "train.max_steps=9", "--resume", "auto", code=None, preexec_fn=limit,
                                restore_signals=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("cannot", result.stderr)
        self.assertEqual(file_hash(self.world.checkpoint("disk") / "weights.safetensors"), good)
        self.world.train("disk", "--set", "schedule.name=constant", "--set", "train.max_steps=9", "--resume", "auto")

    def test_bad_configurations(self):
        w = self.world
        self.assertIn("did you mean train.batch_size", w.run("train", "safe.yaml", "--set", "train.batchsize=1", code=2).stderr)
        w.run("train", "none.yaml", code=2)
        w.run("train", "images", code=2)
        w.run("train", code=2)
        w.run("fly", code=2)
        w.run("--device", "cuda:9", "train", "safe.yaml", "--set", "run.name=x", code=2)
        w.run("--log-level", "loud", "doctor", code=2)
        self.assertIn("model.weights", w.run("train", "safe.yaml", "--set", "model.weights=gone", "--set", "run.name=x", code=4).stderr)

    def test_bad_data(self):
        w = self.world
        rows = [json.loads(l) for l in (w.root / "train.jsonl").read_text().splitlines()]
        (w.root / "images" / "broken.png").write_bytes(png("x")[:-30])
        bad = rows[:6] + [dict(rows[6], safe_image="images/broken.png"), dict(rows[7], id="0"), dict(rows[8], safe_caption=" ")]
        w.write_rows("bad.jsonl", bad)
        result = w.run("prepare", "safe.yaml", "--set", "data.train=bad.jsonl", code=3)
        for text in ("bad.jsonl:7", "is truncated", "bad.jsonl:8", "is already used on line 1", "bad.jsonl:9", "empty"):
            self.assertIn(text, result.stderr)
        w.run("prepare", "safe.yaml", "--set", "data.train=bad.jsonl", "--set", "data.bad_rows=skip",
              "--set", "data.max_bad_fraction=0.5")
        w.run("prepare", "safe.yaml", "--set", "data.train=bad.jsonl", "--set", "data.bad_rows=skip", code=3)
        (w.root / "empty.jsonl").write_text("")
        w.run("prepare", "safe.yaml", "--set", "data.train=empty.jsonl", code=3)
        w.run("prepare", "safe.yaml", "--set", "data.train=images", code=3)

    def test_bad_weights(self):
        w = self.world
        shutil.copytree(w.root / "base", w.root / "cut")
        weights = w.root / "cut" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        run = lambda code: w.run("embed", "cut", "--texts", "a", "--out", "x.safetensors", code=code).stderr
        self.assertIn("truncated", run(4))
        weights.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
        self.assertIn("header claims", run(4))
        config = json.loads((w.root / "cut" / "config.json").read_text())
        shutil.copy(w.root / "base" / "model.safetensors", weights)
        config["vision_config"]["num_hidden_layers"] = 3
        (w.root / "cut" / "config.json").write_text(json.dumps(config))
        self.assertIn("missing: vision_model.encoder.layers.2", run(4))
        config["vision_config"]["num_hidden_layers"] = 2
        for part in ("text_config", "vision_config"):
            config[part]["hidden_act"] = "swish"
        (w.root / "cut" / "config.json").write_text(json.dumps(config))
        self.assertIn('hidden_act "swish" is not supported', run(4))
        for part in ("text_config", "vision_config"):
            del config[part]["hidden_act"]
        (w.root / "cut" / "config.json").write_text(json.dumps(config))
        self.assertIn("model.activation", run(2))

    def test_caches_are_reused_and_never_when_wrong(self):
        w = self.world
        cache = ["--set", "data.cache_dir=cache2"]
        w.run("prepare", "safe.yaml", *cache)
        self.assertNotIn("decoding", w.run("prepare", "safe.yaml", *cache).stderr)
        picture = w.root / "images" / "safe3.png"
        os.utime(picture)  # time alone: settled by hashing
        self.assertNotIn("decoding", w.run("prepare", "safe.yaml", *cache).stderr)
        original = picture.read_bytes()
        other = png("other")
        picture.write_bytes(other + original[len(other):] if len(other) < len(original) else other)
        try:
            self.assertIn("decoding", w.run("prepare", "safe.yaml", *cache).stderr)
        finally:
            picture.write_bytes(original)
        data = next((w.root / "cache2").glob("tokens-*")) / "data.safetensors"
        data.write_bytes(data.read_bytes()[:-8])
        self.assertIn("rebuilding it", w.run("prepare", "safe.yaml", *cache).stderr)

    def test_interrupted_prepare_gives_the_same_bits(self):
        w = self.world
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=cache3")
        for delay in (0.05, 0.12, 0.2, 0.3, 0.4):
            process = w.start("prepare", "safe.yaml", "--set", "data.cache_dir=cache4")
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        w.run("prepare", "safe.yaml", "--set", "data.cache_dir=cache4")
        self.assert_same_artifacts("cache4", "cache3")

    def test_evaluate_export_embed_inspect_targets(self):
        w = self.world
        document = json.loads(w.run("evaluate", "runs/whole", "--json", "--out", "e.json").stdout)
        self.assertEqual(document, json.loads((w.root / "e.json").read_text()))
        for side in ("before", "after"):
            self.assertEqual(set(document[side]["safeground"]), {"pt_s", "pt_u", "pv_s", "pv_u", "txt", "img", "ps", "pu", "gs", "n"})
            for task in ("text_to_image", "image_to_text", "unsafe_text_to_image_union", "unsafe_image_to_text_union",
                         "unsafe_text_to_unsafe_image", "unsafe_image_to_unsafe_text", "safe_text_to_unsafe_image",
                         "unsafe_image_to_safe_text", "unsafe_text_to_safe_image", "safe_image_to_unsafe_text"):
                self.assertLessEqual({"r@1", "r@5", "r@10", "r@20", "n", "ties"}, set(document[side]["retrieval"][task]))
            self.assertIn("top1", document[side]["zero_shot"]["z"])
        self.assertIn("embedding_cos", document["after"]["drift"]["text"])
        table = w.run("evaluate", "runs/whole", "--checkpoint", "best").stdout
        self.assertLessEqual(max(map(len, table.splitlines())), 80)
        self.assertIn("↑ higher is better, ↓ lower is better", table.splitlines()[1])
        self.assertRegex(table, r"(?m)^ *unsafe text finds an unsafe image first, % +↓ +\d")
        w.run("export", "runs/whole", "--to", "hf", "--out", "out")
        w.run("export", "runs/whole", "--to", "hf", "--out", "out", code=2)
        w.run("export", "runs/whole", "--to", "hf", "--out", "twin")
        self.assertEqual(file_hash(w.root / "out/model.safetensors"), file_hash(w.root / "twin/model.safetensors"))
        w.run("export", "runs/whole", "--to", "peft", "--out", "adapter")
        w.run("export", "runs/base", "--to", "peft", "--out", "nothing", code=2)
        w.run("embed", "runs/whole", "--texts", "a", "b", "--images", "images/safe0.png", "--out", "a.safetensors")
        w.run("embed", "out", "--texts", "a", "b", "--images", "images/safe0.png", "--out", "b.safetensors")
        self.assertEqual(file_hash(w.root / "a.safetensors"), file_hash(w.root / "b.safetensors"))
        for path in ("runs/whole", "out", "adapter", "a.safetensors", str(w.checkpoint("whole")), next((w.root / "cache").glob("images-*"))):
            self.assertIn("kind", w.run("inspect", path, "--json").stdout)
        w.run("inspect", "gone", code=3)
        w.run("targets", "safe.yaml", "--top", "3", "--csv", "t.csv")
        self.assertEqual(len((w.root / "t.csv").read_text().splitlines()), ROWS + 1)
        w.run("export", "runs/whole", "--checkpoint", "7777", "--to", "hf", "--out", "no", code=4)

    def test_every_command_has_help_with_an_example(self):
        for command in ("train", "prepare", "targets", "evaluate", "export", "report", "search", "classify", "embed", "inspect", "config",
                        "doctor"):
            self.assertIn("Example", self.world.run(command, "--help").stdout)
        self.assertIn("train.batch_size", self.world.run("config", "keys").stdout)
        self.world.run("config", "check", "safe.yaml")
        self.assertEqual(json.loads(self.world.run("config", "show", "safe.yaml", "--json").stdout)["train"]["batch_size"], 5)

    def test_bf16_without_its_instructions_is_fp32_with_a_warning(self):
        world = self.world
        limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
        for name, precision in (("asked_bf16", "bf16"), ("asked_fp32", "fp32")):
            said = world.run("train", "safe.yaml", "--device", "cpu", "--set", f"run.name={name}", "--set", f"train.precision={precision}", "--set",
                             "train.max_steps=4", env=limited).stderr
            self.assertEqual("no fast bf16" in said, precision == "bf16", said)
        self.assertEqual(*(file_hash(world.checkpoint(n) / "weights.safetensors") for n in ("asked_bf16", "asked_fp32")))

    def test_bf16_and_dry_run(self):
        self.world.train("bf16", "--set", "train.precision=bf16", "--set", "train.max_steps=6")
        lines = self.world.metrics("bf16")
        whole = self.world.metrics("whole")
        self.assertAlmostEqual(lines[0]["loss"], whole[0]["loss"], delta=0.05 * abs(whole[0]["loss"]))
        plan = self.world.run("train", "safe.yaml", "--dry-run", "--set", "run.name=dry").stdout
        self.assertIn("steps      40", plan)
        self.assertRegex(plan, r"(?m)^memory     about .*\n {11}\S")
        self.assertLessEqual(max(map(len, plan[plan.index("model "):].splitlines())), 80)
        self.assertFalse((self.world.root / "runs" / "dry").exists())


if __name__ == "__main__":
    main()
