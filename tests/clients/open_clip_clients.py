"""Files as open_clip, OpenAI and PEFT write them are read, and open_clip reads ours: same embeddings.

    open_clip_clients.py --program build/release/saferclip

Runs in .venv-open-clip. Models of awkward shape: head width 80, 3 and 5 layers, patch 14 and 7, a grid that does not
cover the picture, an odd MLP width, a short context.
"""
import argparse
import collections
import json
import os
import pathlib
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import numpy
import open_clip
import torch
from open_clip.model import CustomTextCLIP, CLIP
from peft import LoraConfig, get_peft_model
from PIL import Image
from client_world import ClientWorld, normal, program_argument
from safetensors.torch import save_file

TOLERANCE = 1e-5
TEXTS = ["A Red CAR", "a blue tree, isn\u2019t it?", "", "caf\u00e9 \u65e5\u672c 42", "dog " * 90, "&lt;b&gt; fi\ufb01"]
SHAPES = {
    "wide": dict(embed_dim=40, quick_gelu=True, vision_cfg=dict(image_size=42, layers=5, width=160, head_width=80, patch_size=14),
                 text_cfg=dict(context_length=77, vocab_size=49408, width=96, heads=2, layers=3)),
    "odd": dict(embed_dim=24, quick_gelu=False,
                vision_cfg=dict(image_size=23, layers=3, width=72, head_width=24, patch_size=7, mlp_ratio=101 / 72 + 1e-9),
                text_cfg=dict(context_length=20, vocab_size=49408, width=64, heads=2, layers=5)),
    "plain": dict(embed_dim=32, quick_gelu=True, vision_cfg=dict(image_size=32, layers=2, width=128, patch_size=8),
                  text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)),
}
PREPROCESS = {"wide": dict(mean=[0.5] * 3, std=[0.5] * 3, interpolation="bicubic", resize_mode="shortest"),
              "odd": dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], interpolation="bilinear", resize_mode="squash"),
              "plain": {}}
RESULTS = []


class World(ClientWorld):
    texts = TEXTS

    def __init__(self, program, root):
        super().__init__(program, root)
        rng = numpy.random.default_rng(0)
        for i, size in enumerate([(64, 64), (45, 90), (131, 50), (23, 23), (7, 300), (227, 99)]):
            pixels = rng.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3), dtype=numpy.uint8)
            picture = Image.fromarray(pixels).resize(size, Image.BICUBIC)
            picture.save(root / f"{i}.png")
            self.pictures.append(root / f"{i}.png")



def compare(name, own, expected, tolerance=TOLERANCE):
    worst = max((own[kind] - normal(expected[kind])).abs().max().item() for kind in ("text", "image"))
    RESULTS.append((name, worst))
    print(f"  {name}: largest difference {worst:.1e}")
    if not worst <= tolerance:
        raise SystemExit(f"{name}: more than {tolerance}")


def rows_of(model, transform, tokenizer, pictures):
    model = model.eval()
    with torch.no_grad():
        return dict(image=model.encode_image(torch.stack([transform(Image.open(p)) for p in pictures])),
                    text=model.encode_text(tokenizer(TEXTS)))


def shake(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim():
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def write_folder(folder, config, preprocess, state, name="open_clip_model.safetensors"):
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=preprocess)))
    if name.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in state.items()}, folder / name)
    else:
        torch.save(state, folder / name)
    return folder


def script_archive(model, path):
    """As OpenAI published theirs: parameters in fp16 and fp32, three integers, code that is never run."""
    class Holder(torch.nn.Module):
        def __init__(self, clip):
            super().__init__()
            for name, child in clip.named_children():
                setattr(self, name, child)
            for name, parameter in clip.named_parameters(recurse=False):
                setattr(self, name, parameter)
            for name, value in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
                self.register_buffer(name, torch.tensor(value))

        def forward(self, image):
            return self.visual(image)
    holder = Holder(model).eval()
    torch.jit.trace(holder, torch.zeros(1, 3, 32, 32, dtype=torch.float16), check_trace=False).save(path)


def check_inputs(world, name):
    config, preprocess = SHAPES[name], PREPROCESS[name]
    print(name)
    arguments = {k: v for k, v in config.items()}
    model = shake(CLIP(**arguments), 1).eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    state.pop("attn_mask", None)
    root = world.root / name
    root.mkdir()
    folder = write_folder(root / "folder", config, preprocess, state)
    client, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    expected = rows_of(client, transform, tokenizer, world.pictures)
    compare(f"{name}: open_clip folder", world.embed(folder), expected)
    compare(f"{name}: open_clip folder, .bin",
            world.embed(write_folder(root / "bin", config, preprocess, state, "open_clip_pytorch_model.bin")), expected)
    custom = CustomTextCLIP(**arguments)
    open_clip.factory.load_checkpoint(custom, str(folder / "open_clip_model.safetensors"))
    custom_state = {k: v for k, v in custom.state_dict().items() if not k.endswith("attn_mask")}
    compare(f"{name}: CustomTextCLIP", world.embed(write_folder(root / "custom", {**config, "custom_text": True}, preprocess, custom_state)), expected)

    # Our own forms, and back.
    for form in ("hf", "open_clip", "openai"):
        world.run("export", folder, "--to", form, "--out", root / form)
    own = world.embed(root / "open_clip")
    reread, _, again = open_clip.create_model_and_transforms(f"local-dir:{root / 'open_clip'}")
    for key, value in state.items():
        if not torch.equal(reread.state_dict()[key], value):
            raise SystemExit(f"{name}: {key} changed on the way to open_clip")
    compare(f"{name}: our open_clip folder in open_clip",
            own, rows_of(reread, again, open_clip.get_tokenizer(f"local-dir:{root / 'open_clip'}"), world.pictures))
    flat = torch.load(root / "openai" / "model.pt", weights_only=True)
    if set(flat) != set(state) or not all(torch.equal(flat[k], v) for k, v in state.items()):
        raise SystemExit(f"{name}: model.pt is not the state_dict")
    open_clip.add_model_config(write_config(root / f"saferclip-{name}.json", config))
    strict, _, third = open_clip.create_model_and_transforms(
        f"saferclip-{name}", pretrained=str(root / "openai" / "model.pt"),
        **({"image_mean": preprocess["mean"], "image_std": preprocess["std"], "image_interpolation": preprocess["interpolation"],
            "image_resize_mode": preprocess["resize_mode"]} if preprocess else {}))
    compare(f"{name}: our model.pt as --pretrained", world.embed(root / "openai"), rows_of(strict, third, tokenizer, world.pictures))
    check_bare_files(world, root, name, config, state, expected, model)
    check_identity(world, root)
    check_resolution(world, root, folder, config, preprocess)
    check_fused_adapter(world, root, folder, name, transform, tokenizer)


def write_config(path, config):
    path.write_text(json.dumps(config))
    return path


def check_bare_files(world, root, name, config, state, expected, model):
    options = [] if name == "plain" else ["--architecture", root / "hf" / "config.json"]
    own_folder_pixels = name == "plain"  # a bare file does not tell mean, std and resize mode

    def check(title, path, *more, tolerance=TOLERANCE, like=None):
        rows = world.embed(path, *options, *more)
        wanted = like or expected
        if not own_folder_pixels:
            rows["image"] = normal(wanted["image"])
        compare(f"{name}: {title}", rows, wanted, tolerance)
    act = ["--activation", "quick_gelu"] if name == "plain" else []
    torch.save(state, root / "flat.pt")
    check("state_dict, zip", root / "flat.pt", *act)
    torch.save(collections.OrderedDict((k, torch.nn.Parameter(v)) for k, v in state.items()), root / "legacy.bin",
               _use_new_zipfile_serialization=False)
    check("state_dict of Parameters, legacy", root / "legacy.bin", *act)
    torch.save({k: v.double() for k, v in state.items()}, root / "double.pth")
    check("state_dict, f64", root / "double.pth", *act)
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    optimizer.zero_grad()
    training = dict(epoch=3, name="run", optimizer=optimizer.state_dict(), args=argparse.Namespace(lr=numpy.float64(0.1), out=pathlib.Path("x")),
                    state_dict=collections.OrderedDict(("module._orig_mod." + k, v) for k, v in state.items()))
    torch.save(training, root / "epoch_3.pt")
    check("training checkpoint", root / "epoch_3.pt", *act)
    whole = torch.randn(7, *state["text_projection"].t().shape)
    whole[3] = state["text_projection"].t()
    torch.save({**state, "text_projection": whole[3].t()}, root / "views.pt")
    check("strided view of a shared storage", root / "views.pt", *act)
    if name != "plain":
        return
    if "set model.activation" not in world.run("embed", root / "flat.pt", "--texts", "x", "--out", root / "x.safetensors", code=2):
        raise SystemExit("the activation was not demanded")
    half = shake(CLIP(**config), 1)
    half.load_state_dict(state)
    open_clip.model.convert_weights_to_lp(half, torch.float16)
    script_archive(half, root / "script.pt")
    half_state = {k: v.float() for k, v in half.state_dict().items() if k != "attn_mask"}
    full = CLIP(**config).eval()
    full.load_state_dict(half_state)
    folder = root / "folder"
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    like = rows_of(full, transform, open_clip.get_tokenizer(f"local-dir:{folder}"), world.pictures)
    check("TorchScript archive, fp16, no activation given", root / "script.pt", like=like)


def check_identity(world, root):
    """import -> export -> import through every form gives the same bytes."""
    previous = root / "hf"
    for step, form in enumerate(("open_clip", "openai", "hf", "openai", "open_clip", "hf")):
        world.run("export", previous, "--to", form, "--out", root / f"chain{step}")
        previous = root / f"chain{step}"
    for file in ("model.safetensors", "config.json", "vocab.json", "merges.txt", "tokenizer.json", "preprocessor_config.json"):
        if (previous / file).read_bytes() != (root / "hf" / file).read_bytes():
            raise SystemExit(f"{root.name}: {file} changed on the way through all forms")


def check_resolution(world, root, folder, config, preprocess):
    """Another picture size: open_clip interpolates the position embeddings, so do we."""
    patch = config["vision_cfg"]["patch_size"]
    for side in (patch * 2, patch * 7):
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", force_image_size=side)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        compare(f"{root.name}: interpolated to {side} px", world.embed(folder, "--image-size", side),
                rows_of(model, transform, tokenizer, world.pictures))


def check_fused_adapter(world, root, folder, name, transform, tokenizer):
    for rslora in (False, True):
        model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, use_rslora=rslora, alpha_pattern={"c_proj": 5},
                                                 target_modules=["attn", "c_fc", "c_proj", "conv1", "token_embedding"]))
        torch.manual_seed(5)
        with torch.no_grad():
            for key, parameter in tuned.named_parameters():
                if "lora_" in key:
                    parameter.copy_(torch.randn_like(parameter) * 0.05)
        adapter = root / f"fused_{rslora}"
        tuned.save_pretrained(adapter)
        expected = rows_of(tuned.merge_and_unload(), transform, tokenizer, world.pictures)
        compare(f"{name}: PEFT on fused attention{', rslora' if rslora else ''}", world.embed(folder, "--adapter", adapter), expected)
        for base in (folder, root / "hf"):  # OpenAI's module names fit Hugging Face's layout as well
            out = root / f"merged_{rslora}_{base.name}"
            world.run("export", base, "--adapter", adapter, "--to", "openai", "--out", out)
        left, right = (torch.load(root / f"merged_{rslora}_{base}" / "model.pt", weights_only=True) for base in ("folder", "hf"))
        if not all(torch.equal(left[k], right[k]) for k in left):
            raise SystemExit(f"{name}: the adapter does something else on the HF layout")


def check_geometries(world):
    """configs/models are open_clip's CLIP geometries: the parameters of both agree, tower by tower."""
    folder = pathlib.Path(__file__).parents[2] / "configs" / "models"
    files = sorted(f for f in folder.glob("ViT-*.json") if "SigLIP" not in f.name)
    for file in files:
        with torch.device("meta"):
            model = CLIP(**open_clip.get_model_config(file.stem))
        told = json.loads(world.run("inspect", file, "--json"))
        if told["parameters"] != sum(p.numel() for p in model.parameters()):
            raise SystemExit(f"{file.name}: {told['parameters']} parameters")
        shapes = {name: p.shape for name, p in model.named_parameters()}
        config = json.loads(file.read_text())
        if shapes["visual.transformer.resblocks.0.mlp.c_fc.weight"][0] != config["vision_config"]["intermediate_size"] or \
                model.visual.transformer.resblocks[0].attn.num_heads != config["vision_config"]["num_attention_heads"] or \
                model.transformer.resblocks[0].attn.num_heads != config["text_config"]["num_attention_heads"]:
            raise SystemExit(f"{file.name}: heads or MLP width differ")
    print(f"  {len(files)} geometries equal open_clip's")


def check_refusals(world):
    root = world.root / "refused"
    root.mkdir()

    class Evil:
        def __reduce__(self):
            return os.system, ("touch " + str(root / "pwned"),)
    cases = {"os.system": ({"state_dict": {"a": torch.zeros(1)}, "x": Evil()}, "system"),
             "whole module": (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
             "ResNet": ({"visual.layer1.0.conv1.weight": torch.zeros(1)}, "a ResNet CLIP"),
             "timm": ({"visual.trunk.norm.weight": torch.zeros(1)}, "timm vision tower"),
             "HF text": ({"text.transformer.embeddings.x": torch.zeros(1)}, "Hugging Face text tower"),
             "no tensors": ({"epoch": 1}, "contains no named tensors")}
    for title, (content, sentence) in cases.items():
        for legacy in (False, True):
            torch.save(content, root / "file.pt", _use_new_zipfile_serialization=not legacy)
            said = world.run("embed", root / "file.pt", "--texts", "x", "--out", root / "x.safetensors", code=4)
            if sentence not in said:
                raise SystemExit(f"{title}: {said}")
    if (root / "pwned").exists():
        raise SystemExit("code of a pickle was run")
    print("  refused by name:", ", ".join(cases))


def main():
    program = program_argument()
    with tempfile.TemporaryDirectory() as folder:
        world = World(program, pathlib.Path(folder))
        for name in SHAPES:
            check_inputs(world, name)
        check_geometries(world)
        check_refusals(world)
    print(f"{len(RESULTS)} comparisons, largest difference {max(worst for _, worst in RESULTS):.1e}")


main()
