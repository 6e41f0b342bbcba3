"""What is typed: mistyped words, help, places to write to, paths that lead nowhere, runs that cannot be.

    command_line.py --program build/release/saferclip [unittest arguments]
"""
import fcntl
import json
import os
import pty
import re
import shutil
import socket
import stat
import struct
import subprocess
import termios

from world import World, WorldCase, main


class CommandLine(WorldCase):
    prefix = "saferclip-words-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.run("train", "safe.yaml", "--set", "train.max_steps=4")

    def said(self, *words, code=2, **options):
        result = self.world.run(*words, code=code, **options)
        return result.stdout + result.stderr

    # --- words

    def test_mistyped_words_are_named_with_the_nearest(self):
        for words, typed, meant in (
                (["trian", "safe.yaml"], "trian", "train"), (["Train", "safe.yaml"], "Train", "train"),
                (["eval", "runs/safe"], "eval", "evaluate"), (["config", "chekc", "safe.yaml"], "chekc", "check"),
                (["--log-level", "warn", "exprot"], "exprot", "export"), (["help", "trian"], "trian", "train"),
                (["help", "config", "shwo"], "shwo", "show"), (["trian", "--help"], "trian", "train"),
                (["train", "safe.yaml", "--overwite"], "--overwite", "--overwrite"),
                (["train", "--max-tme", "55m", "safe.yaml"], "--max-tme", "--max-time"),
                (["train", "safe.yaml", "--rsume=auto"], "--rsume", "--resume"),
                (["evaluate", "runs/safe", "--thread", "2"], "--thread", "--threads"),
                (["--devise", "cpu", "train", "safe.yaml"], "--devise", "--device"),
                (["train", "safe.yaml", "-overwrite"], "-overwrite", "--overwrite")):
            said = self.said(*words)
            self.assertIn(typed, said)
            self.assertIn(f"did you mean {meant}?", said)
            self.assertLessEqual(len(said.splitlines()), 3, said)
        self.assertNotIn("did you mean", self.said("xyzzy"))
        self.assertIn('the command "train" appears twice', self.said("train", "train", "safe.yaml"))
        self.assertIn("safe.yaml", self.said("evaluate", "runs/safe", "safe.yaml"))
        self.assertIn("CONFIG is required", self.said("train"))

    def test_help_version_and_no_command(self):
        plain = lambda *words, code=0: subprocess.run([World.program, *words], capture_output=True, text=True, cwd=self.world.root)
        version = plain("version")
        self.assertRegex(version.stdout, r"^saferclip \d+\.\d+")
        self.assertEqual(version.stdout, plain("--version").stdout)
        self.assertEqual(plain("help").stdout, plain("--help").stdout)
        self.assertEqual(plain("help", "train").stdout, plain("train", "--help").stdout)
        self.assertEqual(plain("help", "config", "check").stdout, plain("config", "check", "--help").stdout)
        self.assertEqual(plain("config", "help").stdout, plain("config", "--help").stdout)
        self.assertIn("CONFIG", plain("help", "config", "check").stdout)
        for words in (["version"], ["help"], ["help", "train"], ["help", "help"], ["help", "version"], ["help", "config"]):
            self.assertEqual(plain(*words).returncode, 0, words)
        for words in ([], ["config"], ["--threads", "1"]):
            nothing = plain(*words)
            self.assertEqual((nothing.returncode, nothing.stdout), (2, ""), words)
            self.assertIn("a command is missing", nothing.stderr)
            self.assertIn("check" if words == ["config"] else "evaluate", nothing.stderr)

    def test_help_fits_the_terminal(self):
        plain = lambda *words, **env: subprocess.run([World.program, *words], capture_output=True, text=True, check=True,
                                                     env={**{k: v for k, v in os.environ.items() if k != "COLUMNS"}, **env}).stdout
        commands = re.findall(r"^  ([a-z]+) {2,}", plain("--help").split("Subcommands:")[1], re.M)
        self.assertGreater(len(commands), 11)
        pages = [[], *([c] for c in commands), *(["config", part] for part in ("show", "check", "keys"))]
        words = [plain(*command, "--help", COLUMNS="1000").split() for command in pages]
        for columns in (60, 80, 100, 200):
            # Every page at the narrowest, where most lines break.
            for command, whole in [page for page in zip(pages, words) if columns == 60 or page[0] in ([], ["train"])]:
                text = plain(*command, "--help", COLUMNS=str(columns))
                self.assertEqual(text.split(), whole, command)
                head, *examples = re.split(r"^Examples?:$", text, maxsplit=1, flags=re.M)
                for line in [*head.splitlines(), *(line for line in "".join(examples).splitlines() if not line.startswith(" "))]:
                    self.assertTrue(len(line) <= columns or " " not in line.strip(), (command, columns, line))
            listed = plain("init", "--list", COLUMNS=str(columns))
            self.assertLessEqual(max(map(len, listed.splitlines())), columns)
        self.assertEqual(plain("train", "--help"), plain("train", "--help", COLUMNS="100"))
        self.assertEqual(plain("train", "--help", COLUMNS="7"), plain("train", "--help", COLUMNS="40"))
        self.assertIn("  saferclip train my.yaml --resume auto        after a kill, a crash, a full disk\n", plain("train", "--help", COLUMNS="40"))
        near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 64, 0, 0))
        subprocess.run([World.program, "train", "--help"], stdout=far, check=True, env={**os.environ, "COLUMNS": "200"})
        os.close(far)
        text = b""
        while True:
            try:
                text += os.read(near, 65536)
            except OSError:
                break
        os.close(near)
        self.assertEqual(text.decode().replace("\r\n", "\n"), plain("train", "--help", COLUMNS="64"))

    def test_a_path_may_be_called_like_a_command(self):
        (self.world.root / "train").write_text((self.world.root / "safe.yaml").read_text())
        self.world.run("config", "show", "train")
        self.world.run("inspect", "train", code=None)
        self.assertNotIn("twice", self.said("inspect", "train", code=None))

    def test_doctor_among_processes(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self.assertRegex(self.world.run("doctor").stdout, r"ok +processes +gloo.*; this is one process")
        processes = [subprocess.Popen([self.world.program, "--threads", "1", "--device", "cpu", "doctor", "--json"], cwd=self.world.root,
                                      stdout=subprocess.PIPE, text=True,
                                      env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port})
                     for rank in range(2)]
        for rank, process in enumerate(processes):
            finding, = [one for one in json.loads(process.communicate(timeout=90)[0]) if one["name"] == "processes"]
            self.assertEqual(finding["state"], "ok", finding)
            self.assertRegex(finding["text"], rf"^gloo.*; rank {rank} of 2.*localhost:{port}; 0 on .* \(127\.0\.0\.1\), 1 on .*all-reduce on cpu in")
        half = self.world.run("doctor", env={**os.environ, "RANK": "1"}, code=1).stdout
        self.assertRegex(half, r"(?s)fail processes .*WORLD_SIZE is not set")

    def test_doctor_estimates_what_can_be_trained(self):
        said = self.world.run("doctor", "--device", "cpu").stdout
        self.assertRegex(said, r"(?m)^(ok|warn) +training +estimated: (bf16|fp32) at \d+ GFLOP/s, [\d.]+ [GM]iB of memory$")
        table = said[said.index("\nmodel "):].splitlines()[1:]
        self.assertIn("(estimated)", table[0])
        self.assertLessEqual(max(map(len, table)), 100)
        shown = [re.fullmatch(r"(ViT-\S+) +(LoRA|all weights) +(1|4|16|48|no) +([\d.]+|-)", line).groups() for line in table[1:]]
        self.assertEqual([row[:2] for row in shown], [(model, trains) for model in ("ViT-B/32", "ViT-B/16", "ViT-L/14") for trains in ("LoRA", "all weights")])
        finding = json.loads(self.world.run("doctor", "--device", "cpu", "--json").stdout)[-1]
        self.assertEqual((finding["name"], finding["rows_per_step"]), ("training", 48))
        trainings = {(each["model"], each["trains"]): each for each in finding["trainings"]}
        self.assertEqual(list(trainings), [row[:2] for row in shown])
        for model in ("ViT-B/32", "ViT-B/16", "ViT-L/14"):
            lora, whole = trainings[model, "LoRA"], trainings[model, "all weights"]
            self.assertLessEqual(whole["micro_batch"] or 0, lora["micro_batch"] or 0)
            for each in (lora, whole):
                self.assertIn(each["micro_batch"], (None, 1, 4, 16, 48))
                self.assertEqual(each["micro_batch"] is None, each["estimated_seconds_per_step"] is None)
            if whole["micro_batch"]:
                self.assertLess(lora["estimated_seconds_per_step"], whole["estimated_seconds_per_step"])
        refused = json.loads(self.world.run("doctor", "--device", "cuda:77", "--json", code=1).stdout)[-1]
        self.assertEqual((refused["state"], refused["trainings"]), ("warn", []))

    def test_doctor_names_inspect_for_a_folder(self):
        self.assertIn("base is a folder, expected weights files; `saferclip inspect base`", self.said("doctor", "base"))

    def test_global_options_before_and_after(self):
        for words in (["--log-level", "error", "config", "show", "safe.yaml"], ["config", "show", "safe.yaml", "--log-level", "error"],
                      ["config", "--log-level=error", "show", "safe.yaml"]):
            self.world.run(*words)

    # --- what to do next

    def next_of(self, *words, **options):
        """The one next step that a command names on stderr, without "next: "."""
        result = self.world.run(*words, **options)
        self.assertNotIn("next:", result.stdout)
        found = re.findall(r"next: (.*)$", result.stderr, re.M)
        self.assertEqual(len(found), 1, result.stderr)
        return found[0]

    def follow(self, step):
        """Runs a command as printed, through a shell."""
        self.assertTrue(step.startswith("saferclip "), step)
        done = subprocess.run(["sh", "-c", f'saferclip() {{ "$PROGRAM" --threads 1 "$@"; }}; {step}'], cwd=self.world.root, text=True,
                              capture_output=True, env={**os.environ, "PROGRAM": World.program})
        self.assertEqual(done.returncode, 0, done.stderr)
        return re.findall(r"next: (.*)$", done.stderr, re.M)[-1]

    def test_each_command_names_the_next(self):
        shutil.copy(self.world.root / "safe.yaml", self.world.root / "it's mine.yaml")
        config = ["it's mine.yaml", "--set", "train.max_steps=4", "--set", "run.name=a b"]
        train = "saferclip train 'it'\\''s mine.yaml' --set train.max_steps=4 --set 'run.name=a b'"
        for command in (["config", "check"], ["prepare"], ["targets"], ["evaluate"]):
            self.assertEqual(self.next_of(*command, *config), train)
        self.assertEqual(self.next_of("train", *config, "--dry-run", "--max-time", "1h", "--device", "cpu"), f"{train} --max-time 1h --device cpu")
        step = self.follow(train)
        run = self.world.root / "runs/a b"
        self.assertEqual(step, f"saferclip evaluate '{run}'")
        step = self.follow(step)
        self.assertEqual(step, f"saferclip report '{run}'")
        self.assertEqual(self.follow(step), f"open {run}/report.html in a browser")
        self.assertEqual(self.next_of("evaluate", "runs/a b", "--checkpoint", "4"), "saferclip report 'runs/a b' --checkpoint 4")
        self.follow("saferclip report 'runs/a b' --checkpoint 4")
        self.assertEqual(self.next_of("inspect", "runs/a b"), "saferclip evaluate 'runs/a b'")
        self.follow(self.next_of("inspect", "runs/a b/checkpoints/step_00000004"))
        for weights in ("base", "base/model.safetensors"):
            self.assertEqual(self.next_of("inspect", weights), f"saferclip init --weights {weights}")

    def test_an_export_says_how_it_is_loaded(self):
        for form, line in (("hf", "transformers: CLIPModel.from_pretrained('{}')"), ("openai", "torch: torch.load('{}/model.pt', weights_only=True)"),
                           ("open_clip", "open_clip: open_clip.create_model_and_transforms('local-dir:{}')"),
                           ("peft", "peft: PeftModel.from_pretrained(CLIPModel.from_pretrained(BASE), '{}')"),
                           ("onnx", "onnxruntime: onnxruntime.InferenceSession('{}/vision_model.onnx')")):
            out = f"next {form}"
            self.assertEqual(self.next_of("export", "runs/safe", "--to", form, "--out", out), "load it in Python with " + line.format(out))
        self.assertIn("CLIPTextModelWithProjection", self.next_of("export", "base", "--to", "hf", "--tower", "text", "--out", "next text"))

    def test_nothing_next_where_it_is_not_wanted(self):
        for words in (["config", "check", "safe.yaml", "--json"], ["inspect", "base", "--json"], ["targets", "safe.yaml", "--json"],
                      ["evaluate", "runs/safe", "--json"], ["--log-level", "warn", "inspect", "base"], ["inspect", "safe.yaml"],
                      ["evaluate", "runs/safe", "--weights", "base"], ["embed", "base", "--texts", "a", "--out", "next.safetensors"]):
            result = self.world.run(*words, code=None)
            self.assertNotIn("next:", result.stdout + result.stderr, words)

    # --- places to write to

    def outputs(self):
        """Every command with a place to write one file to."""
        yield ["embed", "base", "--texts", "a dog", "--out"]
        yield ["evaluate", "runs/safe", "--out"]
        yield ["report", "runs/safe", "--out"]
        yield ["compare", "runs/safe", "--csv"]
        yield ["targets", "safe.yaml", "--csv"]

    def folders(self):
        for form in ("hf", "open_clip", "openai", "peft", "onnx"):
            yield ["export", "runs/safe", "--to", form, "--out"]
        yield ["export", "base", "--to", "hf", "--out"]

    def test_a_link_is_written_through(self):
        root = self.world.root
        (root / "disk").mkdir()
        for i, words in enumerate(self.outputs()):
            (root / f"disk/{i}").write_text("older content")
            for name, target in ((f"link{i}.csv", f"disk/{i}"), (f"dangling{i}.csv", f"disk/new{i}")):
                (root / name).symlink_to(target)
                self.world.run(*words, name)
                self.assertTrue((root / name).is_symlink(), words)
                self.assertNotIn((root / target).read_bytes(), (b"older content", b""), words)
        for i, words in enumerate(self.folders()):
            (root / f"disk/folder{i}").mkdir()
            for name, target in ((f"to_folder{i}", f"disk/folder{i}"), (f"to_new_folder{i}", f"disk/new_folder{i}")):
                (root / name).symlink_to(target)
                self.world.run(*words, name)
                self.assertTrue((root / name).is_symlink(), words)
                self.assertGreater(len(list((root / target).iterdir())), 1, words)

    def test_what_is_no_file_is_refused_before_any_work(self):
        root = self.world.root
        os.mkfifo(root / "pipe")
        (root / "to_pipe").symlink_to("pipe")
        (root / "folder").mkdir()
        (root / "sealed").write_text("x")
        (root / "sealed").chmod(0o444)
        places = {"pipe": "pipe", "to_pipe": "pipe", "/dev/null": "device", "/dev/full": "device", "/dev/stdout": "stream|pipe",
                  "folder": "names a folder", "none/x": "no folder", "sealed": "read-only", "/proc/x": "cannot be written"}
        for words in self.outputs():
            for place, why in places.items():
                result = self.world.run(*words, place, code=2)
                self.assertRegex(result.stderr, why, (words, place))
                self.assertIn(place, result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                self.assertNotIn("loading", result.stderr)
        for words in self.folders():
            for place, why in {"pipe": "a pipe", "/dev/null": "device", "safe.yaml": "is a file", "base": "not an empty folder",
                               "safe.yaml/x": "is not a folder", "/proc/x": "cannot be written", ".": "not an empty|working directory"}.items():
                self.assertRegex(self.world.run(*words, place, code=2).stderr, why, (words, place))
        self.assertTrue(stat.S_ISFIFO(os.lstat(root / "pipe").st_mode))
        self.assertTrue(stat.S_ISCHR(os.lstat("/dev/null").st_mode) and stat.S_ISCHR(os.lstat("/dev/full").st_mode))
        self.assertIn("--json", self.said("evaluate", "runs/safe", "--out", "/dev/stdout"))
        log = root / "redirected"
        with open(log, "w") as out:
            result = subprocess.run([World.program, "evaluate", "runs/safe", "--out", "/dev/stdout"], cwd=root, stdout=out, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 2)

    def test_what_is_read_is_not_written_over(self):
        file = self.world.root / "images" / "safe0.png"
        before = file.read_bytes()
        self.assertIn("which this command reads", self.said("embed", "base", "--images", "images/safe0.png", "--out", "images/safe0.png"))
        self.assertEqual(file.read_bytes(), before)

    # --- configurations

    def check(self, *overrides, code=2, file="safe.yaml"):
        words = [x for override in overrides for x in ("--set", override)]
        result = self.world.run("config", "check", file, *words, "--json", code=code)
        document = json.loads(result.stdout)
        self.assertEqual(document["ok"], code == 0)
        return "\n".join(document["problems"]), "\n".join(document["warnings"])

    def test_config_check_looks_at_every_path(self):
        self.check(code=0)
        problems, _ = self.check("model.weights=no-model", "data.train=no-rows.jsonl", "data.validation=no-rows-either.jsonl",
                                 "data.evaluation={test: no-test.csv}", "data.image_root=no-root", "objective.anchors.prompts=no-prompts",
                                 "objective.targets.extra_captions=no-captions", "adapter.start_from=no-adapter", "model.tokenizer=no-tokenizer",
                                 "evaluate.zero_shot=[{name: z, images: no-pictures, classes: no-classes.tsv, templates: no-templates}]",
                                 "evaluate.real_images=[{name: r, safe: no-safe, unsafe: no-unsafe}]")
        for name in ("no-model", "no-rows.jsonl", "no-rows-either.jsonl", "no-test.csv", "no-root", "no-prompts", "no-captions", "no-adapter",
                     "no-tokenizer", "no-pictures", "no-classes.tsv", "no-templates", "no-safe", "no-unsafe"):
            self.assertRegex(problems, rf"{name}: no such ")
        self.assertEqual(len(problems.splitlines()), 14, problems)
        (self.world.root / "wrong.yaml").write_text("extends: safe.yaml\n\ndata:\n  image_root: gone\n  validation: images\n"
                                                    "evaluate:\n  zero_shot:\n    - name: z\n      images: missing\n      classes: classes.tsv\n")
        problems, _ = self.check(file="wrong.yaml")
        for line in (r"wrong.yaml:4: data.image_root: .*gone: no such folder", r"wrong.yaml:9: evaluate.zero_shot\[0\].images: .*missing: no such"):
            self.assertRegex(problems, line)
        problems, _ = self.check("data.validation=images")
        self.assertRegex(problems, r"data.validation: .*images: is a folder without metadata.jsonl or metadata.csv")

    def test_config_check_reads_headers_and_lists(self):
        root = self.world.root
        (root / "broken").mkdir(exist_ok=True)
        (root / "broken/config.json").write_text((root / "base/config.json").read_text())
        (root / "broken/model.safetensors").write_bytes((root / "base/model.safetensors").read_bytes()[:200])
        (root / "bad.tsv").write_text("red\tr\nblue\tr\n")
        self.world.write_rows("bad.jsonl", [{"id": 1, "safe_caption": "", "safe_image": "images/safe0.png", "unsafe_caption": "x"},
                                            {"id": 2, "safe_caption": "a", "safe_image": "images/none.png", "unsafe_caption": "x"}])
        (root / "no_mark.txt").write_text("a photo\n")
        problems, _ = self.check("model.weights=broken", "data.train=bad.jsonl",
                                 "evaluate.zero_shot=[{name: z, images: zero.csv, classes: bad.tsv}, {name: y, images: zero.csv, "
                                 "classes: classes.tsv, templates: no_mark.txt}]")
        for text in ("model.weights: .*model.safetensors", "empty caption: 1 row", "none.png", "belongs to two classes", r"has no \{\}"):
            self.assertRegex(problems, text)
        self.assertRegex(self.check("model.tokenizer=images")[0], "model.tokenizer: ")
        rows = [json.loads(line) for line in (root / "train.jsonl").read_text().splitlines()]
        self.world.write_rows("columns.jsonl", [{**{k: v for k, v in r.items() if k != "tag"}, "category": "x", "Captoin": "y"} for r in rows])
        self.assertRegex(self.check("data.train=columns.jsonl", code=0)[1], "data.train: .*unused columns: (Captoin, category|category, Captoin)")

    def test_one_document_on_every_failure(self):
        root = self.world.root
        (root / "syntax.yaml").write_text("model: {weights: [\n")
        (root / "unknown.yaml").write_text("extends: safe.yaml\ntrain: {batchsize: 3}\n")
        for file in ("syntax.yaml", "unknown.yaml", "gone.yaml", "images"):
            for command in ("check", "show"):
                result = self.world.run("config", command, file, "--json", code=2)
                document = json.loads(result.stdout)
                self.assertFalse(document["ok"])
                self.assertTrue(document["problems"])
        self.assertIn("did you mean train.batch_size", self.check(file="unknown.yaml")[0])

    def test_home_folders(self):
        root = self.world.root
        env = {**os.environ, "HOME": str(root)}
        for path in ("~/train.jsonl", "$HOME/train.jsonl", "${HOME}/train.jsonl"):
            shown = json.loads(self.world.run("config", "show", "safe.yaml", "--json", "--set", f"data.train={path}", env=env).stdout)
            self.assertEqual(shown["data"]["train"], str(root / "train.jsonl"))
        (root / "home.yaml").write_text("extends: ~/safe.yaml\ndata: {train: ~/train.jsonl, cache_dir: ~/cache, unsafe_image_template: '~/u/{id}.jpg'}\n")
        shown = json.loads(self.world.run("config", "show", "~/home.yaml", "--json", env=env).stdout)["data"]
        self.assertEqual([shown[k] for k in ("train", "cache_dir", "unsafe_image_template")],
                         [str(root / "train.jsonl"), str(root / "cache"), str(root / "u/{id}.jpg")])
        self.world.run("embed", "~/base", "--texts", "~/a", "--out=~/home.safetensors", env=env)
        self.assertTrue((root / "home.safetensors").exists())

    def test_names_of_the_hub(self):
        name = "openai/clip-vit-base-patch32"
        for words, code in ((["embed", name, "--texts", "x", "--out", "x.safetensors"], 4),
                            (["config", "check", "safe.yaml", "--set", f"model.weights={name}"], 2),
                            (["train", "safe.yaml", "--set", "run.name=hub", "--set", f"model.weights={name}"], 4),
                            (["export", name, "--to", "hf", "--out", "x"], 4), (["inspect", name], 3),
                            (["evaluate", "runs/safe", "--weights", name], 4), (["inspect", "hf-hub:" + name], 3),
                            (["inspect", "ViT-B/32"], 3), (["inspect", "../models/" + name], 3)):
            said = self.said(*words, code=code)
            self.assertRegex(said, rf"hf download {name} --local-dir \S*{name}|hf download {name} --local-dir \S*ViT-B/32")
            self.assertIn(f"git clone https://huggingface.co/{name}", said)
        for path in ("no/weights.safetensors", "./no/weights", "gone"):
            self.assertNotIn("hf download", self.said("inspect", path, code=3))

    def test_runs_that_train_nothing_or_never_warm_up(self):
        rows = [json.loads(line) for line in (self.world.root / "train.jsonl").read_text().splitlines()]
        self.world.write_rows("safe_only.jsonl", [{k: r[k] for k in ("id", "safe_caption", "safe_image")} for r in rows])
        for metric in ("safeground.gs", "retrieval.text_to_image.r@5", "loss.terms.cross_img", "by_tag.dog.unsafe_top1.text",
                       "drift.text.embedding_cos", "space.safe_text.effective_rank"):
            self.check(f"checkpoint.best_metric={metric}", code=0)
        self.check("checkpoint.best_metric=zero_shot.z.top1", "evaluate.zero_shot_during_training=true", code=0)
        for name, overrides, key in (
                ("nothing", ["train.max_steps=null", "train.epochs=3", "train.batch_size=32", "train.drop_last=true", "train.micro_batch_size=null"],
                 "train.batch_size"),
                ("nothing_by_steps", ["train.batch_size=32", "train.drop_last=true"], "train.batch_size"),
                ("long", ["schedule.warmup_steps=41"], "schedule.warmup_steps"),
                ("longer", ["schedule.warmup_steps=100", "train.max_steps=null", "train.epochs=3"], "schedule.warmup_steps"),
                ("metric", ["checkpoint.best_metric=safeground.gss"], "did you mean safeground.gs?"),
                ("unasked", ["checkpoint.best_metric=zero_shot.z.top1"], "zero_shot_during_training"),
                ("unvalidated", ["checkpoint.best_metric=safeground.gs", "data.validation="], "data.validation is empty"),
                ("safe_only", ["checkpoint.best_metric=safeground.gs", "data.validation=safe_only.jsonl"], "checkpoint.best_metric"),
                ("blank", ["evaluate.zero_shot=[{name: ' z', images: zero.csv, classes: classes.tsv}]"], "evaluate.zero_shot[0].name")):
            problems, _ = self.check(*overrides)
            self.assertIn(key, problems)
            words = [x for override in overrides for x in ("--set", override)]
            for dry in ([], ["--dry-run"]):
                said = self.said("train", "safe.yaml", "--set", f"run.name={name}", *words, *dry)
                self.assertIn(key, said)
                self.assertNotIn("loading", said)
            self.assertFalse((self.world.root / "runs" / name).exists())
        # Known only when rows have been admitted: the easiest of them fill no batch.
        said = self.said("train", "safe.yaml", "--set", "run.name=few", "--set", "train.max_steps=null", "--set", "train.epochs=1",
                         "--set", "train.batch_size=20", "--set", "train.drop_last=true", "--set", "schedule.warmup_steps=0")
        self.assertIn("train.batch_size", said)
        self.assertFalse(list((self.world.root / "runs/few").glob("checkpoints/step_*")))
        self.world.run("train", "safe.yaml", "--set", "run.name=exact", "--set", "schedule.warmup_steps=3", "--set", "train.max_steps=3")


if __name__ == "__main__":
    main()
