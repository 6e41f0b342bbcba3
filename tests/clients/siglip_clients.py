"""SigLIP the whole way: a SentencePiece model and a tiny SigLIP trained on the spot, tuned, killed, resumed, exported;
transformers, open_clip and PEFT give our embeddings, and we give theirs for what they write.

    siglip_clients.py --program build/release/saferclip

Runs in .venv-open-clip. Shapes: head widths 8 and 80, 3 and 5 layers, a grid that does not cover the picture, an odd MLP
width, contexts of 16 and 64; and two of timm's own towers at full size.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from world import World, file_hash
import open_clip
import timm
import torch
from client_world import train_sentencepiece
from open_clip.model import CustomTextCLIP
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from transformers import AutoImageProcessor, AutoTokenizer, SiglipConfig, SiglipModel, SiglipTextModel, SiglipVisionModel

TOLERANCE = 1e-5
TEXTS = ["Red CAR", "a blue tree, isn't it?", "", "caf\u00e9 \u65e5\u672c 42", "dog " * 90]
SHAPES = {
    "short": (dict(hidden_size=24, intermediate_size=101, num_hidden_layers=5, num_attention_heads=3, image_size=23, patch_size=7),
              dict(hidden_size=16, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=16,
                   projection_size=24)),
    "long": (dict(hidden_size=160, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2, image_size=30, patch_size=10),
             dict(hidden_size=160, intermediate_size=80, num_hidden_layers=2, num_attention_heads=5, max_position_embeddings=64)),
}
RESULTS = []


def siglip_json(vision, text, vocabulary):
    act = dict(hidden_act="gelu_pytorch_tanh")
    return dict(model_type="siglip", vision_config=vision | act, text_config=text | act | dict(vocab_size=vocabulary))


def timm_name(shape):
    return f"saferclip_{shape}"


def register(shape):
    """timm's tower of this shape, under a name that is not timm's own."""
    vision = SHAPES[shape][0]

    def build(pretrained=False, **options):
        options = {k: v for k, v in options.items() if k in ("num_classes", "global_pool")}
        return VisionTransformer(img_size=vision["image_size"], patch_size=vision["patch_size"], embed_dim=vision["hidden_size"],
                                 depth=vision["num_hidden_layers"], num_heads=vision["num_attention_heads"],
                                 mlp_ratio=vision["intermediate_size"] / vision["hidden_size"] + 1e-9, class_token=False,
                                 act_layer="gelu_tanh", **options)
    build.__name__ = timm_name(shape)
    build.__module__ = "timm.models.vision_transformer"
    timm.models.register_model(build)


def compare(name, found, expected, tolerance=TOLERANCE):
    difference = (torch.nn.functional.normalize(found.float(), dim=-1) - expected).abs().max().item()
    RESULTS.append(difference)
    print(f"  {name}: largest difference {difference:.1e}", flush=True)
    if not difference <= tolerance:
        raise SystemExit(f"{name}: more than {tolerance}")


def compare_rows(name, theirs, mine, tolerance=TOLERANCE):
    for kind in ("text", "image"):
        compare(f"{name}, {kind}", theirs[kind], mine[kind], tolerance)


class SiglipWorld(World):
    def __init__(self, root, shape):
        super().__init__(root)
        self.shape = shape
        self.pictures = [root / f"images/safe{i}.png" for i in range(4)]
        vocabulary = train_sentencepiece(root / "spm")
        (root / "siglip.json").write_text(json.dumps(siglip_json(*SHAPES[shape], vocabulary)))
        base = (root / "base.yaml").read_text()
        (root / "base.yaml").write_text(base.replace("init: model.json, tokenizer: tokenizer", "init: siglip.json, tokenizer: spm/spiece.model")
                                        .replace("name: clip", "name: siglip"))

    def embed(self, weights, *options):
        self.run("embed", weights, *options, "--texts", *TEXTS, "--images", *self.pictures, "--out", "own.safetensors")
        return load_file(self.root / "own.safetensors")


def inputs_of(folder, pictures):
    """As the model was trained: padded to the context, which the client does when it is told to."""
    context = json.loads((folder / "config.json").read_text())["text_config"]["max_position_embeddings"]
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding="max_length", max_length=context, truncation=True, return_tensors="pt")
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=[Image.open(p) for p in pictures], return_tensors="pt")
    return dict(input_ids=tokens["input_ids"]), dict(pixel_values=pixels["pixel_values"])


def rows_of(model, tokens, pixels):
    model = model.eval()
    with torch.no_grad():
        return dict(text=model.text_model(**tokens).pooler_output, image=model.vision_model(**pixels).pooler_output)


def open_clip_rows(folder, pictures, **options):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", **options)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model = model.eval()
    with torch.no_grad():
        return dict(image=model.encode_image(torch.stack([transform(Image.open(p)) for p in pictures])),
                    text=model.encode_text(tokenizer(TEXTS))), model


def kill_and_resume(world):
    """A run that is killed again and again ends with the bits of one that was not."""
    world.train("whole")
    rng, kills = random.Random(5), 0
    while True:
        process = world.start("train", "safe.yaml", "--set", "run.name=killed", "--resume", "auto")
        deadline = time.time() + (0.4 + rng.random()) * (1 + kills / 5)
        while process.poll() is None and time.time() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            kills += 1
        if process.wait() == 0:
            break
        if kills > 60:
            raise SystemExit("the killed run does not get on")
    for file in ("weights.safetensors", "optimizer.safetensors"):
        if file_hash(world.checkpoint("killed") / file) != file_hash(world.checkpoint("whole") / file):
            raise SystemExit(f"killed and resumed: {file} differs")
    print(f"  {kills} kills, bit-equal")


def check_exports(world):
    root, shape = world.root, world.shape
    world.run("export", "runs/whole", "--to", "hf", "--out", "tuned")
    world.run("export", "runs/whole", "--to", "peft", "--out", "adapter")
    world.run("export", "runs/whole", "--to", "open_clip", "--timm-model", timm_name(shape), "--out", "tuned_open_clip")
    said = world.run("export", "runs/whole", "--to", "open_clip", "--out", "x", code=2).stderr
    if "timm has none with this geometry" not in said:
        raise SystemExit(said)
    world.run("export", "runs/whole", "--to", "openai", "--out", "x", code=2)
    world.run("export", "runs/whole", "--to", "hf", "--timm-model", "x", "--out", "x", code=2)
    own = world.embed("tuned")
    if (own["text"] - world.embed("base")["text"]).abs().max() < 1e-3:
        raise SystemExit("nothing was trained")
    tokens, pixels = inputs_of(root / "tuned", world.pictures)
    based = lambda: SiglipModel.from_pretrained(root / "base")
    compare_rows(f"{shape}: SiglipModel", rows_of(SiglipModel.from_pretrained(root / "tuned"), tokens, pixels), own)
    adapted = lambda: PeftModel.from_pretrained(based(), root / "adapter")
    compare_rows(f"{shape}: PEFT on the base", rows_of(adapted().base_model.model, tokens, pixels), own)
    compare_rows(f"{shape}: PEFT merged", rows_of(adapted().merge_and_unload(), tokens, pixels), own)
    compare_rows(f"{shape}: our open_clip folder in open_clip", open_clip_rows(root / "tuned_open_clip", world.pictures)[0], own)
    architecture = ["--architecture", root / "siglip.json"]
    if not all(torch.equal(world.embed("tuned_open_clip", *architecture)[k], own[k]) for k in own):
        raise SystemExit("our open_clip folder, read again, differs")
    said = world.run("embed", "tuned_open_clip", "--texts", "x", "--out", "x.safetensors", code=4).stderr
    if "model.architecture" not in said:
        raise SystemExit(said)
    world.run("export", "tuned_open_clip", *architecture, "--to", "hf", "--out", "back")
    for file in ("model.safetensors", "config.json", "preprocessor_config.json", "spiece.model"):
        if (root / "back" / file).read_bytes() != (root / "tuned" / file).read_bytes():
            raise SystemExit(f"{file} changed on the way to open_clip and back")
    for tower, kind, of in (("text", SiglipTextModel, tokens), ("vision", SiglipVisionModel, pixels)):
        world.run("export", "runs/whole", "--to", "hf", "--tower", tower, "--out", f"tuned_{tower}")
        with torch.no_grad():
            alone = kind.from_pretrained(root / f"tuned_{tower}").eval()(**of).pooler_output
        compare(f"{shape}: {kind.__name__} of the {tower} tower alone", alone, own["text" if tower == "text" else "image"])
    check_one_tower(world, tokens, pixels, based)
    return tokens, pixels, based


def check_one_tower(world, tokens, pixels, based):
    world.train("text_only", "--set", "adapter.towers=text", "--set", "train.max_steps=6")
    world.run("export", "runs/text_only", "--to", "hf", "--out", "text_only")
    world.run("export", "runs/text_only", "--to", "peft", "--out", "text_only_adapter")
    own, before = world.embed("text_only"), world.embed("base")
    if not torch.equal(own["image"], before["image"]) or torch.equal(own["text"], before["text"]):
        raise SystemExit("adapter.towers: text trained something else")
    model = PeftModel.from_pretrained(based(), world.root / "text_only_adapter").merge_and_unload()
    compare_rows(f"{world.shape}: adapter of the text tower, trained alone", rows_of(model, tokens, pixels), own)


def check_foreign_adapters(world, tokens, pixels, based):
    for name, targets in (("plain", ["q_proj", "v_proj", "fc1", "patch_embedding"]), ("head", r"text_model\.head|.*fc2")):
        model = get_peft_model(based(), LoraConfig(r=4, lora_alpha=6, target_modules=targets))
        shake_adapter(model)
        model.save_pretrained(world.root / f"peft_{name}")
        mine = world.embed("base", "--adapter", f"peft_{name}")
        compare_rows(f"{world.shape}: adapter of PEFT ({name})", rows_of(model.merge_and_unload(), tokens, pixels), mine)


def shake_adapter(model):
    torch.manual_seed(3)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(torch.randn_like(parameter) * 0.1)


def shake(model):
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def check_foreign_weights(world, tokens, pixels):
    """What transformers and open_clip write of their own."""
    root, shape = world.root, world.shape
    model = shake(SiglipModel.from_pretrained(root / "base"))
    shutil.copytree(root / "base", root / "shards")
    (root / "shards" / "model.safetensors").unlink()
    model.save_pretrained(root / "shards", max_shard_size="60KB")
    compare_rows(f"{shape}: SiglipModel's shards", rows_of(model, tokens, pixels), world.embed("shards"))
    config = json.loads((root / "tuned_open_clip" / "open_clip_config.json").read_text())
    shutil.copytree(root / "tuned_open_clip", root / "foreign")
    arguments = {k: v for k, v in config["model_cfg"].items() if k != "custom_text"}
    custom = shake(CustomTextCLIP(**arguments))
    state = {k: v.contiguous() for k, v in custom.state_dict().items() if not k.endswith("attn_mask")}
    save_file(state, root / "foreign" / "open_clip_model.safetensors")
    architecture = ["--architecture", root / "siglip.json"]
    expected, client = open_clip_rows(root / "foreign", world.pictures)
    compare_rows(f"{shape}: open_clip's own weights", expected, world.embed("foreign", *architecture))
    torch.save(state, root / "bare.pt")
    bare = world.embed("bare.pt", *architecture, "--tokenizer", "spm/spiece.model")
    compare(f"{shape}: the same as a bare .pt, text", expected["text"], bare["text"])
    tuned = get_peft_model(client, LoraConfig(r=4, lora_alpha=8, target_modules=["qkv", "fc1", "fc2", "attn", "c_fc", "patch_embed.proj"],
                                              exclude_modules=r".*(trunk\.blocks\.\d+\.attn|attn_pool.*)"))
    shake_adapter(tuned)
    tuned.save_pretrained(root / "fused")
    tuned = tuned.merge_and_unload().eval()
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{root / 'foreign'}")
    with torch.no_grad():
        theirs = dict(image=tuned.encode_image(torch.stack([transform(Image.open(p)) for p in world.pictures])),
                      text=tuned.encode_text(open_clip.get_tokenizer(f"local-dir:{root / 'foreign'}")(TEXTS)))
    compare_rows(f"{shape}: PEFT on open_clip's fused layers", theirs, world.embed("foreign", *architecture, "--adapter", "fused"))


def check_resolution(world, tokens, pixels):
    """Another picture size, larger and smaller: the position embeddings as timm and open_clip interpolate them."""
    model = SiglipModel.from_pretrained(world.root / "tuned")
    vision = SHAPES[world.shape][0]
    grid = vision["image_size"] // vision["patch_size"]
    for new_grid in (2 * grid, grid - 1):
        side = vision["patch_size"] * new_grid
        config = SiglipConfig.from_pretrained(world.root / "tuned")
        config.vision_config.image_size = side
        resized = SiglipModel(config).eval()
        state, name = model.state_dict(), "vision_model.embeddings.position_embedding.weight"
        state[name] = resample_abs_pos_embed(state[name][None], [new_grid, new_grid], num_prefix_tokens=0)[0]
        resized.load_state_dict(state, strict=False)
        processor = AutoImageProcessor.from_pretrained(world.root / "tuned", backend="pil", size=dict(height=side, width=side))
        other = dict(pixel_values=processor(images=[Image.open(p) for p in world.pictures], return_tensors="pt")["pixel_values"])
        compare_rows(f"{world.shape}: interpolated to {side} px", rows_of(resized, tokens, other), world.embed("tuned", "--image-size", side))


def check_timm_models(world):
    """timm's own towers by name: activations that differ between the towers, and what an export says of it."""
    for model_name, side, text_act in (("vit_base_patch32_siglip_256", 256, {"approximate": "tanh"}),
                                       ("vit_base_patch16_siglip_224", 224, {"approximate": "tanh"})):
        folder = world.root / model_name
        shutil.copytree(world.root / "tuned_open_clip", folder)
        config = json.loads((folder / "open_clip_config.json").read_text())
        vision, text = config["model_cfg"]["vision_cfg"], config["model_cfg"]["text_cfg"]
        vision |= dict(timm_model_name=model_name, image_size=side)
        text |= dict(act_kwargs=text_act)
        config["model_cfg"]["embed_dim"] = 768
        arguments = {k: v for k, v in config["model_cfg"].items() if k != "custom_text"}
        state = shake(CustomTextCLIP(**arguments)).state_dict()
        save_file({k: v.contiguous() for k, v in state.items() if not k.endswith("attn_mask")}, folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        expected, _ = open_clip_rows(folder, world.pictures)
        compare_rows(model_name, expected, world.embed(folder))
        world.run("export", folder, "--to", "open_clip", "--out", f"{model_name}_again")
        written = json.loads((world.root / f"{model_name}_again" / "open_clip_config.json").read_text())["model_cfg"]["vision_cfg"]
        if written["timm_model_name"] != model_name:
            raise SystemExit(f"{model_name} became {written['timm_model_name']}")
    world.run("export", folder, "--to", "hf", "--out", "mixed")
    tokens, pixels = inputs_of(world.root / "mixed", world.pictures)
    compare_rows("activations of two kinds in SiglipModel", rows_of(SiglipModel.from_pretrained(world.root / "mixed"), tokens, pixels),
                 world.embed("mixed"))
    config = json.loads((world.root / "mixed" / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "gelu_pytorch_tanh"
    (world.root / "mixed" / "config.json").write_text(json.dumps(config))
    said = world.run("export", "mixed", "--to", "open_clip", "--out", "mixed_open_clip").stderr
    if "image embeddings will differ slightly" not in said:
        raise SystemExit(said)


def check_geometries(program):
    """configs/models are open_clip's SigLIP geometries: parameters, heads, MLP widths, contexts."""
    files = sorted((pathlib.Path(__file__).parents[2] / "configs" / "models").glob("*SigLIP*.json"))
    for file in files:
        arguments = open_clip.get_model_config(file.stem)
        arguments.pop("custom_text")
        with torch.device("meta"):
            model = CustomTextCLIP(**arguments)
        told = json.loads(program("inspect", file, "--json").stdout)
        config = json.loads(file.read_text())
        block, text = model.visual.trunk.blocks[0], config["text_config"]
        ours = (told["parameters"], config["vision_config"]["num_attention_heads"], config["vision_config"]["intermediate_size"],
                text["num_attention_heads"], text["intermediate_size"], text["max_position_embeddings"])
        theirs = (sum(p.numel() for p in model.parameters()), block.attn.num_heads, block.mlp.fc1.out_features,
                  model.text.transformer.resblocks[0].attn.num_heads, model.text.transformer.resblocks[0].mlp.c_fc.out_features,
                  model.text.context_length)
        if ours != theirs:
            raise SystemExit(f"{file.name}: {ours}, open_clip has {theirs}")
    print(f"  {len(files)} geometries equal open_clip's")


def check_refusals(world):
    thin = json.loads((world.root / "base" / "config.json").read_text())
    for name, edit, sentence in (
            ("naflex", lambda c: c.update(model_type="siglip2"), "NaFlex"),
            ("no_head", lambda c: c["vision_config"].update(vision_use_head=False), "pooling head"),
            ("as_clip", lambda c: (c.update(model_type="clip"), c["text_config"].update(eos_token_id=None)), "SigLIP")):
        folder = world.root / name
        shutil.copytree(world.root / "base", folder)
        config = json.loads(json.dumps(thin))
        edit(config)
        (folder / "config.json").write_text(json.dumps(config))
        said = world.run("embed", folder, "--texts", "x", "--out", "x.safetensors", code=4).stderr
        if sentence not in said:
            raise SystemExit(f"{name}: {said}")
    shutil.copytree(world.root / "base", world.root / "no_tokenizer")
    (world.root / "no_tokenizer" / "spiece.model").unlink()
    if "model.tokenizer" not in world.run("embed", "no_tokenizer", "--texts", "x", "--out", "x.safetensors", code=2).stderr:
        raise SystemExit("a missing tokenizer is not named")
    world.run("embed", "base", "--tokenizer", "clip", "--texts", "x", "--out", "x.safetensors", code=2)
    world.run("embed", "base", "--tokenizer", "tokenizer", "--texts", "x", "--out", "x.safetensors", code=2)
    print("  refused by name: NaFlex, no pooling head, SigLIP as CLIP, another family's tokenizer")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    World.program = os.path.abspath(parser.parse_args().program)
    for shape in SHAPES:
        register(shape)
        with tempfile.TemporaryDirectory() as folder:
            print(shape)
            world = SiglipWorld(pathlib.Path(folder), shape)
            world.make_base()
            kill_and_resume(world)
            tokens, pixels, based = check_exports(world)
            check_foreign_adapters(world, tokens, pixels, based)
            check_foreign_weights(world, tokens, pixels)
            check_resolution(world, tokens, pixels)
            check_refusals(world)
            if shape == "long":
                check_timm_models(world)
                check_geometries(world.run)
    print(f"{len(RESULTS)} comparisons, largest difference {max(RESULTS):.1e}")


main()
