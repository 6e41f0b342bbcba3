"""Which weights are read: the named file, whatever wrappers and containers put around it, and adapters as PEFT applies them.

    weights_clients.py --program build/release/saferclip

transformers, PEFT and torch's own wrappers write the files and give the right embeddings.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from world import World, file_hash
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPVisionModel

TOLERANCE = 1e-5
TEXTS = ["a red car", "the moon"]
PICTURES = ["images/safe0.png", "images/safe1.png"]
ALIKE = 0  # comparisons made


class Bench:
    """A base folder, its embeddings by transformers, and the program beside them."""

    def __init__(self, root):
        self.world = World(root)
        self.root = root
        self.world.make_base()
        self.base = CLIPModel.from_pretrained(root / "base").eval()
        self.tokens = dict(AutoTokenizer.from_pretrained(root / "base")(TEXTS, padding=True, return_tensors="pt"))
        pictures = [Image.open(root / p) for p in PICTURES]
        self.pixels = dict(CLIPImageProcessor.from_pretrained(root / "base")(images=pictures, return_tensors="pt"))
        self.right = self.rows(self.base)

    def rows(self, model):
        normal = torch.nn.functional.normalize
        with torch.no_grad():
            return dict(text=normal(model.text_projection(model.text_model(**self.tokens).pooler_output)),
                        image=normal(model.visual_projection(model.vision_model(**self.pixels).pooler_output)))

    def shaken(self, seed):
        """Other weights of the same shape."""
        torch.manual_seed(seed)
        return {k: v + 0.2 * torch.randn_like(v) if v.dim() else v for k, v in self.base.state_dict().items()}

    def model_of(self, state):
        model = CLIPModel.from_pretrained(self.root / "base").eval()
        model.load_state_dict(state)
        return model

    def embed(self, weights, *options):
        said = self.world.run("embed", weights, *options, "--texts", *TEXTS, "--images", *PICTURES, "--out", "own.safetensors").stderr
        return load_file(self.root / "own.safetensors"), said

    def same(self, title, weights, expected, *options, says=(), tolerance=TOLERANCE):
        global ALIKE
        found, said = self.embed(weights, *options)
        for kind, value in expected.items():
            difference = (found[kind] - value).abs().max().item()
            if not difference <= tolerance:
                raise SystemExit(f"{title}, {kind}: off by {difference:.1e}")
        for word in says:
            if word not in said:
                raise SystemExit(f"{title}: does not say {word!r}: {said}")
        ALIKE += 1

    def refused(self, title, weights, *words, options=()):
        said = self.world.run("embed", weights, *options, "--texts", "x", "--out", "x.safetensors", code=4).stderr
        for word in words:
            if word not in said:
                raise SystemExit(f"{title}: {word!r} is not in: {said}")

    def folder(self, name, weights=False):
        """The base's folder, without its weights unless asked."""
        folder = self.root / name
        shutil.copytree(self.root / "base", folder)
        if not weights:
            (folder / "model.safetensors").unlink()
        return folder


def plain(state):
    return {k: v.detach().contiguous().clone() for k, v in state.items()}


def check_named_file(b):
    """The file that is named is read and hashed, by every command; beside it are others with other weights."""
    state = b.shaken(1)
    expected = b.rows(b.model_of(state))
    folder = b.folder("named", weights=True)
    save_file(plain(state), folder / "renamed.safetensors", metadata={"format": "pt"})
    for name in ("pytorch_model.bin", "model.pt", "last.ckpt", "weights.pth"):
        torch.save(state, folder / name)
    open_clip_side(b, folder)
    hashes = set()
    for name in ("pytorch_model.bin", "model.pt", "last.ckpt", "weights.pth", "renamed.safetensors"):
        b.same(f"named {name}", folder / name, expected)
        told = json.loads(b.world.run("inspect", folder / name, "--json").stdout)
        if told["sha256"] != file_hash(folder / name) or told["weights"] != name:
            raise SystemExit(f"inspect {name}: {told['sha256']}, {told['weights']}")
        hashes.add(told["sha256"])
    b.same("named model.safetensors", folder / "model.safetensors", b.right)
    b.same("the folder, as transformers", folder, b.right, says=["pytorch_model.bin"])
    check_commands(b, folder, state)
    check_shards(b, state, expected)


def open_clip_side(b, folder):
    """open_clip's configuration and a third model's weights under its names, as LAION's folders have both."""
    other = b.folder("other")
    save_file(plain(b.shaken(2)), other / "model.safetensors", metadata={"format": "pt"})
    b.world.run("export", other, "--to", "open_clip", "--out", "other_open_clip")
    alone = b.root / "other_open_clip"
    expected = b.embed(alone)[0]
    tensors = load_file(alone / "open_clip_model.safetensors")
    shutil.copy(alone / "open_clip_config.json", folder)
    torch.save(dict(epoch=5, state_dict={"module." + k: v for k, v in tensors.items()}), folder / "open_clip_epoch_5.pt")
    torch.save(dict(epoch=5, state_dict=tensors), folder / "epoch_latest.pt")
    for name in ("open_clip_epoch_5.pt", "epoch_latest.pt"):
        b.same(f"named {name} beside both configurations", folder / name, expected)
    # Without a file that open_clip alone would take, the folder is transformers'; with one it is open_clip's.
    b.same("both configurations, transformers' file", folder, b.right, says=["config.json, not open_clip_config.json"])
    both = b.root / "both"
    shutil.copytree(folder, both)
    shutil.copy(alone / "open_clip_model.safetensors", both)
    b.same("both configurations, both files", both, expected, says=["open_clip_model.safetensors, not model.safetensors"])
    b.same("both files, transformers' named", both / "model.safetensors", b.right)


def check_commands(b, folder, state):
    """export, train and evaluate --weights take the file too, and training knows it by its hash."""
    named = folder / "pytorch_model.bin"
    b.world.run("export", named, "--to", "hf", "--out", "named_export")
    written = load_file(b.root / "named_export" / "model.safetensors")
    if any(not torch.equal(written[k], v) for k, v in state.items()):
        raise SystemExit("export of a named file wrote other weights")
    if file_hash(named) not in (b.root / "named_export" / "README.md").read_text():
        raise SystemExit("the model card has another file's hash")
    b.world.run("train", "safe.yaml", "--set", f"model.weights={named}", "--set", "train.max_steps=2", "--set", "run.name=named")
    content = json.loads((b.world.checkpoint("named") / "state.json").read_text())["content"]
    if content["weights"] != file_hash(named):
        raise SystemExit(f"the run knows its base as {content['weights']}")
    said = b.world.run("export", "runs/named", "--to", "peft", "--out", "named_peft").stderr
    if "model.safetensors from that folder" not in said:
        raise SystemExit(f"an adapter for a file that transformers would not take: {said}")
    # Another file of that folder is another base.
    b.world.run("train", "safe.yaml", "--set", f"model.weights={folder}/model.safetensors", "--set", "train.max_steps=3",
                "--set", "run.name=named", "--resume", "auto", code=2)
    scores = [json.loads(b.world.run("evaluate", "safe.yaml", "--weights", w, "--set", "evaluate.zero_shot=[]", "--set", "evaluate.bootstrap=0",
                                     "--json").stdout)["after"] for w in (named, "named_export", folder)]
    if scores[0] != scores[1] or scores[0] == scores[2]:
        raise SystemExit("evaluate --weights measured another file")


def check_shards(b, state, expected):
    folder = b.folder("shards")
    b.model_of(state).save_pretrained(folder, max_shard_size="9KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    if len(shards) < 2:
        raise SystemExit("not sharded")
    b.same("shards", folder, expected)
    b.same("index named", folder / "model.safetensors.index.json", expected)
    b.refused("one shard named", shards[0], "model.safetensors.index.json")
    torch.save(b.base.state_dict(), folder / "pytorch_model.bin")
    b.same("shards before .bin, as transformers", folder, b.rows(CLIPModel.from_pretrained(folder).eval()), says=["pytorch_model.bin"])
    b.same(".bin beside shards named", folder / "pytorch_model.bin", b.right)
    # Prefixes of a whole set of shards, one of which holds names with another beginning too.
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    for prefix in ("_orig_mod.", "module.", "clip."):
        wrapped = b.folder("shards_" + prefix)
        for shard in shards:
            save_file({prefix + k: v for k, v in load_file(shard).items()}, wrapped / shard.name)
        text = json.dumps(dict(metadata={}, weight_map={prefix + k: v for k, v in index.items()}))
        (wrapped / "model.safetensors.index.json").write_text(text)
        b.same(f"shards with {prefix}", wrapped, expected, says=[prefix])


def check_prefixes(b):
    """Wrappers of torch, and prefixes of others, in every container."""
    class Wrapped(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.backbone = model
            self.loss_scale = torch.nn.Parameter(torch.ones(3))

    fresh = lambda: CLIPModel.from_pretrained(b.root / "base")
    checkpointed = fresh()
    checkpointed.text_model.encoder.layers[0] = checkpoint_wrapper(checkpointed.text_model.encoder.layers[0])
    states = {"_orig_mod.": torch.compile(fresh()).state_dict(), "module.": torch.nn.DataParallel(fresh()).state_dict(),
              "module._orig_mod.": torch.nn.DataParallel(torch.compile(fresh())).state_dict(),
              "_checkpoint_wrapped_module.": dict(checkpointed.named_parameters()),
              "averaged": torch.optim.swa_utils.AveragedModel(fresh()).state_dict(),
              "backbone.": Wrapped(fresh()).state_dict()}
    base = b.base.state_dict()
    for prefix in ("model.", "_forward_module.", "_fsdp_wrapped_module.", "_module.", "clip.", "model.clip.", "net._orig_mod.module.",
                   "_forward_module._orig_mod."):
        states[prefix] = {prefix + k: v for k, v in base.items()}
    states["mid-path"] = {k.replace(".encoder.", ".encoder._fsdp_wrapped_module.").replace(".mlp.", "._fsdp_wrapped_module.mlp._orig_mod."): v
                          for k, v in base.items()}
    write = {"safetensors": ("model.safetensors", lambda path, s: save_file(plain(s), path)),
             "zip": ("pytorch_model.bin", lambda path, s: torch.save(s, path)),
             "legacy": ("pytorch_model.bin", lambda path, s: torch.save(s, path, _use_new_zipfile_serialization=False)),
             "nested": ("pytorch_model.bin", lambda path, s: torch.save(dict(state_dict=s, epoch=1), path))}
    says = {"averaged": ["n_averaged"], "backbone.": ['"backbone."', "loss_scale"], "mid-path": ["_fsdp_wrapped_module."],
            "module._orig_mod.": ["module.", "_orig_mod."], "net._orig_mod.module.": ['"net.']}
    for title, state in states.items():
        for container, (name, save) in write.items():
            if container in ("legacy", "nested") and title not in ("_orig_mod.", "averaged", "backbone.", "model.clip.", "mid-path"):
                continue
            folder = b.folder(f"prefix {title} {container}".replace(".", "_"))
            save(folder / name, state)
            b.same(f"{title} in {container}", folder, b.right, says=says.get(title, [title.split(".")[0] + "."]))
    two = {**{"student." + k: v for k, v in base.items()}, **{"teacher." + k: v for k, v in base.items()}}
    folder = b.folder("two models")
    torch.save(two, folder / "pytorch_model.bin")
    b.refused("two models", folder, '"student."', '"teacher."')
    clash = {**base, "_orig_mod.logit_scale": torch.tensor(1.0)}
    folder = b.folder("clash")
    torch.save(clash, folder / "pytorch_model.bin")
    b.refused("two names become one", folder, "_orig_mod.logit_scale")
    unmerged = get_peft_model(fresh(), LoraConfig(r=2, target_modules=["q_proj"])).state_dict()
    folder = b.folder("unmerged")
    torch.save(unmerged, folder / "pytorch_model.bin")
    b.refused("adapters inside a model", folder, "merge_and_unload")


def check_containers(b):
    """A state_dict is found beside whatever else training keeps, in both of torch.save's forms."""
    state, other = b.base.state_dict(), b.shaken(3)
    trained = b.model_of(state)
    optimizer = torch.optim.AdamW(trained.parameters())
    for parameter in trained.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    named_moments = {"state": {k: {"exp_avg": v, "step": torch.tensor(1.0)} for k, v in other.items()}, "param_groups": []}
    rng = dict(torch=torch.get_rng_state(), cuda=[torch.zeros(16, dtype=torch.uint8)], python=(3, tuple(range(5)), None))
    lightning = {"epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.5", "state_dict": {"model." + k: v for k, v in state.items()} |
                 {"criterion.weight": torch.ones(2), "val_acc.correct": torch.tensor(3)},
                 "loops": {}, "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.3)}}, "optimizer_states": [optimizer.state_dict()],
                 "lr_schedulers": [], "hyper_parameters": {"lr": 0.1}}
    cases = {"recipe": (dict(epoch=3, model_state_dict=state, optimizer_state_dict=optimizer.state_dict(), loss=torch.tensor(0.5)), ["model_state_dict"]),
             "generators": (dict(state_dict=state, rng=rng, torch_rng_state=torch.get_rng_state()), ["state_dict"]),
             "average beside": (dict(state_dict=state, state_dict_ema=other, loss=torch.tensor(1.0)), ["state_dict_ema", "running average"]),
             "average by name": (dict(model=state, model_ema=other), ["model_ema"]),
             "average alone": (dict(ema=state, epoch=1), ["entry ema"]),
             "another key": (dict(clip_weights=state, optimizer=named_moments, loss=torch.tensor(1.0)), ["clip_weights"]),
             "deeper": (dict(loss=torch.zeros(1), app=dict(model=state, optim=named_moments)), ["app.model"]),
             "empty model entry": (dict(model=dict(name="ViT"), state_dict=state), ["state_dict"]),
             "tuple": ((state, dict(step=4)), ["[0]"]),
             "DeepSpeed": (dict(module={"_forward_module." + k: v for k, v in state.items()}, optimizer=None, ds_version="0.15"), ["module"]),
             "prefixes beside an average": ({**{"model." + k: v for k, v in state.items()}, **{"model_ema." + k: v for k, v in other.items()}},
                                            ["EMA", "model_ema."]),
             "Lightning": (lightning, ["criterion.weight"])}
    for title, (content, says) in cases.items():
        for legacy in (False, True):
            folder = b.folder(f"container {title} {legacy}")
            torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
            b.same(f"{title}, {'legacy' if legacy else 'zip'}", folder, b.right, says=says)
    folder = b.folder("choice")
    torch.save(dict(student=state, teacher=other), folder / "pytorch_model.bin")
    b.refused("several groups", folder, "student", "teacher")
    torch.save(dict(loss=torch.tensor(1.0), epoch=1), folder / "pytorch_model.bin")
    b.refused("no weights", folder, "missing")


def check_types(b):
    """Whole numbers and quantised values are refused by name; integer buffers stay what they are."""
    name = "text_model.encoder.layers.0.mlp.fc1.weight"
    state = b.base.state_dict()
    positions = {"text_model.embeddings.position_ids": torch.arange(16)[None], "vision_model.embeddings.position_ids": torch.arange(5)[None]}
    folder = b.folder("integer buffers")
    save_file(plain(state | positions), folder / "model.safetensors")
    b.same("position_ids", folder, b.right)
    for dtype in (torch.half, torch.bfloat16, torch.double):
        folder = b.folder(f"type {dtype}")
        save_file(plain({k: v.to(dtype) for k, v in state.items()}), folder / "model.safetensors")
        expected = b.rows(b.model_of({k: v.to(dtype).float() for k, v in state.items()}))
        b.same(str(dtype), folder, expected)
    whole = [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.uint16, torch.uint32, torch.float8_e4m3fn, torch.float8_e5m2]
    for dtype in whole:
        bad = plain(state | {name: (state[name] * 50).clamp(-3, 3).to(torch.int64).to(dtype) if dtype not in (torch.float8_e4m3fn, torch.float8_e5m2)
                             else state[name].to(dtype)})
        for container in ("safetensors", "zip"):
            folder = b.folder(f"type {dtype} {container}")
            if container == "safetensors":
                save_file(bad, folder / "model.safetensors")
            else:
                torch.save(bad, folder / "pytorch_model.bin")
            b.refused(f"{dtype} in {container}", folder, name)
    quantised = torch.quantize_per_tensor(state[name], 0.1, 0, torch.qint8)
    folder = b.folder("quantised")
    torch.save(state | {name: quantised}, folder / "pytorch_model.bin")
    b.refused("torch's quantized tensor", folder, name, "quantized")


def random_factors(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


def check_patterns(b):
    """alpha_pattern and rank_pattern as PEFT's loading of the saved folder applies them."""
    layer = "text_model.encoder.layers.0.self_attn.k_proj"
    cases = {"order": dict(alpha_pattern={"^" + layer: 64, "k_proj": 2}), "expression": dict(alpha_pattern={r"layers\.[1-9]\..*k_proj": 32, ".*fc1": 3}),
             "alternatives": dict(alpha_pattern={"k_proj|fc1": 20}, rank_pattern={r"vision_model\..*(k_proj|fc1)": 3}),
             "look-ahead": dict(alpha_pattern={r"(?!vision)\w+_model.*": 17}, use_rslora=True),
             "both": dict(alpha_pattern={"fc1": 9, layer: 1}, rank_pattern={"fc1": 2, "encoder.layers.1.self_attn.k_proj": 5}, use_rslora=True),
             "excluded": dict(exclude_modules=r"vision_model\..*", rank_pattern={r".*layers.0\..*": 1}),
             "expression for targets": dict(target_modules=r"text_model\..*\.(k_proj|fc1)", alpha_pattern={"fc1$": 5})}
    for title, options in cases.items():
        config = LoraConfig(**dict(r=4, lora_alpha=6, target_modules=["k_proj", "fc1"]) | options)
        folder = b.root / f"pattern {title}"
        random_factors(get_peft_model(CLIPModel.from_pretrained(b.root / "base"), config), 4).save_pretrained(folder)
        # PEFT sorts keys on saving: the order of the file is what it reads, so a file in the written order too.
        for order in ("saved", "written"):
            saved = json.loads((folder / "adapter_config.json").read_text())
            if order == "written":
                saved.update({k: v for k, v in options.items() if k.endswith("_pattern")})
                (folder / "adapter_config.json").write_text(json.dumps(saved))
            right = PeftModel.from_pretrained(CLIPModel.from_pretrained(b.root / "base"), folder).merge_and_unload().eval()
            b.same(f"{title}, {order}", "base", b.rows(right), "--adapter", folder)
    saved = json.loads((folder / "adapter_config.json").read_text())
    for change, words in ((dict(alpha_pattern={"(?i)FC1": 3}), ["alpha_pattern", "(?i)FC1"]), (dict(r=3), ["rank 4", "rank_pattern"]),
                          (dict(exclude_modules=["fc1"]), ["exclude_modules", "fc1"])):
        (folder / "adapter_config.json").write_text(json.dumps(saved | change))
        b.refused(str(change), "base", *words, options=["--adapter", folder])
    tensors = {k: (v * 40).to(torch.int8) if "layers.0.mlp.fc1.lora_A" in k else v for k, v in load_file(folder / "adapter_model.safetensors").items()}
    (folder / "adapter_config.json").write_text(json.dumps(saved))
    save_file(tensors, folder / "adapter_model.safetensors")
    b.refused("whole numbers as factors", "base", "layers.0.mlp.fc1", options=["--adapter", folder])


def check_towers(b):
    """Adapters that PEFT made on one tower, whose names transformers 5 begins at `encoder.`."""
    for kind, attribute, targets in ((CLIPTextModel, "text_model", ["k_proj", "fc2", "token_embedding"]), (CLIPVisionModel, "vision_model", ["v_proj", "patch_embedding"])):
        config = LoraConfig(r=3, lora_alpha=5, target_modules=targets, alpha_pattern={r"encoder.layers.0.*": 11})
        folder = b.root / kind.__name__
        random_factors(get_peft_model(kind.from_pretrained(b.root / "base"), config), 5).save_pretrained(folder)
        whole = CLIPModel.from_pretrained(b.root / "base").eval()
        setattr(whole, attribute, PeftModel.from_pretrained(kind.from_pretrained(b.root / "base"), folder).merge_and_unload().eval())
        expected = b.rows(whole)
        b.same(kind.__name__, "base", expected, "--adapter", folder)
        names = list(load_file(folder / "adapter_model.safetensors"))
        if any("_model." in n.removeprefix("base_model.model.") for n in names):
            raise SystemExit(f"not flattened: {names[0]}")
        # Without auto_mapping what only this tower has (an embedding) still tells.
        saved = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(saved | dict(auto_mapping=None)))
        b.same(f"{kind.__name__}, no auto_mapping", "base", expected, "--adapter", folder)
    tensors = {k: v for k, v in load_file(folder / "adapter_model.safetensors").items() if "v_proj" in k}
    save_file(tensors, folder / "adapter_model.safetensors")
    b.refused("a tower that is not told", "base", "auto_mapping", options=["--adapter", folder])


def check_adapter_files(b):
    """A file as --adapter: of PEFT's folder, of kohya, of diffusers; others get a sentence."""
    folder = b.root / "files"
    random_factors(get_peft_model(CLIPModel.from_pretrained(b.root / "base"), LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"])), 6).save_pretrained(folder)
    right = b.rows(PeftModel.from_pretrained(CLIPModel.from_pretrained(b.root / "base"), folder).merge_and_unload().eval())
    shutil.copytree(folder, b.root / "two")
    torch.save({k: v * 0 for k, v in load_file(folder / "adapter_model.safetensors").items()}, b.root / "two" / "adapter_model.bin")
    b.same("PEFT's file", "base", right, "--adapter", b.root / "two" / "adapter_model.safetensors")
    b.same("PEFT's other file", "base", b.right, "--adapter", b.root / "two" / "adapter_model.bin")
    b.same("PEFT's folder with two files", "base", right, "--adapter", b.root / "two", says=["not adapter_model.bin"])
    config = json.loads((b.root / "two" / "adapter_config.json").read_text())
    (b.root / "two" / "adapter_config.json").write_text(json.dumps(config | dict(base_model_name_or_path=str(b.root / "base"))))
    b.same("PEFT's file as weights", b.root / "two" / "adapter_model.bin", b.right)
    shutil.copy(folder / "adapter_model.safetensors", b.root / "lonely.safetensors")
    b.refused("PEFT's file alone", "base", "adapter_config.json", options=["--adapter", "lonely.safetensors"])
    b.refused("a model as adapter", "base", "no LoRA factors", options=["--adapter", b.root / "base" / "model.safetensors"])
    check_dialects(b)


def check_dialects(b):
    torch.manual_seed(7)
    merged, kohya, diffusers, alphas = dict(b.base.state_dict()), {}, {}, {}
    for number, name in enumerate(k for k in list(merged) if k.startswith("text_model.") and k.endswith(("fc1.weight", "k_proj.weight", "out_proj.weight"))):
        module, rank = name.removesuffix(".weight"), 2
        down, up = torch.randn(rank, merged[name].shape[1]) * 0.2, torch.randn(merged[name].shape[0], rank) * 0.2
        alpha = float(1 + number)
        flat = "lora_te_" + module.replace(".", "_")
        kohya |= {flat + ".lora_down.weight": down, flat + ".lora_up.weight": up, flat + ".alpha": torch.tensor(1 + number)}
        diffusers |= {f"text_encoder.{module}.lora_A.weight": down, f"text_encoder.{module}.lora_B.weight": up}
        alphas[module] = alpha
        merged[name] = merged[name] + alpha / rank * up @ down
    right = b.rows(b.model_of(merged))
    unet = {"lora_unet_down_blocks_0.lora_down.weight": torch.zeros(2, 4), "lora_unet_down_blocks_0.lora_up.weight": torch.zeros(4, 2)}
    save_file(kohya, b.root / "kohya.safetensors")
    b.same("kohya", "base", right, "--adapter", "kohya.safetensors")
    save_file(kohya | unet, b.root / "kohya_unet.safetensors")
    b.same("kohya with a U-Net", "base", right, "--adapter", "kohya_unet.safetensors", says=["2 tensors of a U-Net"])
    torch.save({k.replace("lora_te_", "lora_te1_"): v for k, v in kohya.items()}, b.root / "kohya.pt")
    b.same("kohya's first encoder of two, .pt", "base", right, "--adapter", "kohya.pt")
    settings = {"text_encoder.r": 2, "text_encoder.lora_alpha": 8, "text_encoder.alpha_pattern": alphas}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}
    (b.root / "diffusers").mkdir()
    save_file(diffusers, b.root / "diffusers" / "pytorch_lora_weights.safetensors", metadata=metadata)
    b.same("diffusers' folder", "base", right, "--adapter", "diffusers")
    b.same("diffusers' file", "base", right, "--adapter", "diffusers/pytorch_lora_weights.safetensors")
    old = {}
    for key, value in diffusers.items():
        key = key.replace("k_proj.lora_A", "to_k_lora.down").replace("k_proj.lora_B", "to_k_lora.up").replace("out_proj.lora_A", "to_out_lora.down")
        key = key.replace("out_proj.lora_B", "to_out_lora.up").replace("lora_A", "lora_linear_layer.down").replace("lora_B", "lora_linear_layer.up")
        old[key] = value
    unscaled = dict(b.base.state_dict())
    for module in alphas:
        unscaled[module + ".weight"] = unscaled[module + ".weight"] + diffusers[f"text_encoder.{module}.lora_B.weight"] @ diffusers[f"text_encoder.{module}.lora_A.weight"]
    save_file(old, b.root / "old.safetensors")
    b.same("diffusers before PEFT", "base", b.rows(b.model_of(unscaled)), "--adapter", "old.safetensors")
    first = next(iter(kohya)).split(".")[0]
    refusals = {"two encoders": (kohya | {k.replace("lora_te_", "lora_te2_"): v for k, v in kohya.items()}, "2 text encoders"),
                "LoHa": ({first + ".hada_w1_a": torch.zeros(2, 2)}, "hada_w1_a"), "DoRA": (kohya | {first + ".dora_scale": torch.ones(1)}, "dora_scale"),
                "unknown module": ({"lora_te_other.lora_down.weight": torch.zeros(2, 4), "lora_te_other.lora_up.weight": torch.zeros(4, 2)}, "no such layer"),
                "U-Net alone": (unet, "none of a text encoder")}
    for title, (tensors, word) in refusals.items():
        save_file(plain(tensors), b.root / "bad.safetensors")
        b.refused(title, "base", word, options=["--adapter", "bad.safetensors"])
    b.refused("a LoRA file as weights", b.root / "kohya.safetensors", "model.adapter")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    World.program = os.path.abspath(parser.parse_args().program)
    with tempfile.TemporaryDirectory() as folder:
        b = Bench(pathlib.Path(folder))
        for check in (check_named_file, check_prefixes, check_containers, check_types, check_patterns, check_towers, check_adapter_files):
            if os.environ.get("ONLY") and check.__name__ not in os.environ["ONLY"]: continue
            before = ALIKE
            check(b)
            print(f"  {check.__name__.removeprefix('check_')}: {ALIKE - before} equal", flush=True)


main()
