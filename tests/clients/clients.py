"""transformers and PEFT read our exports and give our embeddings; we read theirs and give theirs.

    clients.py --program build/release/saferclip

Models of awkward shape: 3 and 5 layers, head width 80, patch 7 and 14, a grid that does not cover the picture, a short
context.
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
from world import World
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from transformers import (AutoTokenizer, CLIPModel, CLIPProcessor, CLIPTextModel,
                          CLIPTextModelWithProjection, CLIPVisionModel, CLIPVisionModelWithProjection)

TOLERANCE = 1e-5
SHAPES = {  # by activation
    "quick_gelu": (dict(num_hidden_layers=5, hidden_size=24, num_attention_heads=3, image_size=23, patch_size=7),
                   dict(num_hidden_layers=3, max_position_embeddings=11)),
    "gelu": (dict(num_hidden_layers=3, hidden_size=160, num_attention_heads=2, intermediate_size=101, image_size=30, patch_size=14),
             dict(num_hidden_layers=5, max_position_embeddings=77)),
}
TEXTS = ["Red CAR", "a blue tree, isn't it?", "", "caf\u00e9 \u65e5\u672c 42", "dog " * 40]


def compare(name, found, expected):
    difference = (torch.nn.functional.normalize(found) - expected).abs().max().item()
    print(f"  {name}: largest difference {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name}: more than {TOLERANCE}")


def check(world, activation):
    root = world.root
    model = json.loads((root / "model.json").read_text())
    for part in ("text_config", "vision_config"):
        model[part]["hidden_act"] = activation
    model["vision_config"] |= SHAPES[activation][0]
    model["text_config"] |= SHAPES[activation][1]
    (root / f"{activation}.json").write_text(json.dumps(model))
    world.run("train", "base.yaml", "--set", f"model.init={activation}.json", "--set", f"run.name=base_{activation}")
    base = f"base_{activation}"
    world.run("export", f"runs/{base}", "--to", "hf", "--out", base)
    run = f"safe_{activation}"
    world.run("train", "safe.yaml", "--set", f"model.weights={base}", "--set", f"run.name={run}", "--set", "train.max_steps=8")
    world.run("export", f"runs/{run}", "--to", "hf", "--out", f"{run}_hf")
    world.run("export", f"runs/{run}", "--to", "peft", "--out", f"{run}_peft")
    pictures = [f"images/safe{i}.png" for i in range(4)]

    def embed(weights, *options):
        world.run("embed", weights, *options, "--texts", *TEXTS, "--images", *pictures, "--out", "own.safetensors")
        return load_file(root / "own.safetensors")
    folder = root / f"{run}_hf"
    own = embed(folder)
    inputs = CLIPProcessor.from_pretrained(folder)(text=TEXTS, images=[Image.open(root / p) for p in pictures], padding=True,
                                                   truncation=True, return_tensors="pt")
    pixels = dict(pixel_values=inputs.pop("pixel_values"))
    tokens = dict(AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, truncation=True, return_tensors="pt"))
    if not torch.equal(tokens["input_ids"], inputs["input_ids"]):
        raise SystemExit("processor and tokenizer disagree")

    def rows(model):
        model = model.eval()
        with torch.no_grad():
            return dict(text=model.text_projection(model.text_model(**tokens).pooler_output),
                        image=model.visual_projection(model.vision_model(**pixels).pooler_output))

    def compare_rows(name, model, mine):
        theirs = rows(model)
        compare(f"{name}, text", theirs["text"], mine["text"])
        compare(f"{name}, image", theirs["image"], mine["image"])
    based = lambda: CLIPModel.from_pretrained(root / base)
    compare_rows("CLIPModel", CLIPModel.from_pretrained(folder), own)
    compare_rows("PEFT on the base", PeftModel.from_pretrained(based(), root / f"{run}_peft").base_model.model, own)
    compare_rows("PEFT merged", PeftModel.from_pretrained(based(), root / f"{run}_peft").merge_and_unload(), own)
    with torch.no_grad():
        text = CLIPTextModelWithProjection.from_pretrained(folder).eval()
        compare("CLIPTextModelWithProjection", text(**tokens).text_embeds, own["text"])
        vision = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
        compare("CLIPVisionModelWithProjection", vision(**pixels).image_embeds, own["image"])
    check_towers(world, run, tokens, pixels, own, folder)
    check_adapter_of_one_tower(world, run, base, embed, rows, based)
    check_strength(world, run, base, embed, compare_rows, based)
    check_forms(root, base, embed, rows(based()))
    check_adapters(world, root, base, embed, compare_rows, based)


def check_towers(world, run, tokens, pixels, own, folder):
    root = world.root
    for tower in ("text", "vision"):
        world.run("export", f"runs/{run}", "--to", "hf", "--tower", tower, "--out", f"{run}_{tower}")
    with torch.no_grad():
        text = CLIPTextModelWithProjection.from_pretrained(root / f"{run}_text").eval()
        compare("text tower alone", text(**tokens).text_embeds, own["text"])
        vision = CLIPVisionModelWithProjection.from_pretrained(root / f"{run}_vision").eval()
        compare("vision tower alone", vision(**pixels).image_embeds, own["image"])
        # diffusers takes the hidden states of CLIPTextModel
        whole = CLIPModel.from_pretrained(folder).eval()
        hidden = CLIPTextModel.from_pretrained(root / f"{run}_text").eval()(**tokens).last_hidden_state
        compare("CLIPTextModel, hidden states", hidden, torch.nn.functional.normalize(whole.text_model(**tokens).last_hidden_state))
        pooled = CLIPVisionModel.from_pretrained(root / f"{run}_vision").eval()(**pixels).pooler_output
        compare("CLIPVisionModel, pooled", pooled, torch.nn.functional.normalize(whole.vision_model(**pixels).pooler_output))
    names = set(load_file(root / f"{run}_text" / "model.safetensors"))
    if not all(name.startswith("text_") for name in names) or "text_model.embeddings.token_embedding.weight" not in names:
        raise SystemExit(f"names of the text tower: {sorted(names)[:4]}")
    for name, needed in ((f"{run}_text", "tokenizer.json"), (f"{run}_vision", "preprocessor_config.json")):
        if not (root / name / needed).exists() or not (root / name / "README.md").exists():
            raise SystemExit(f"{name}: incomplete")
    world.run("export", f"runs/{run}", "--to", "hf", "--dtype", "fp16", "--out", f"{run}_half")
    if CLIPModel.from_pretrained(root / f"{run}_half").dtype != torch.float16:
        raise SystemExit("--dtype fp16 did not arrive")


def check_adapter_of_one_tower(world, run, base, embed, rows, based):
    """The adapter of one tower moves that tower and leaves the other the base's."""
    tuned, before = embed(f"{run}_hf"), embed(base)
    for tower, kind, other in (("text", "text", "image"), ("vision", "image", "text")):
        folder = world.root / f"{run}_peft_{tower}"
        world.run("export", f"runs/{run}", "--to", "peft", "--tower", tower, "--out", folder)
        found = rows(PeftModel.from_pretrained(based(), folder).merge_and_unload())
        compare(f"adapter of the {tower} tower alone, {kind}", found[kind], tuned[kind])
        compare(f"adapter of the {tower} tower alone, {other}", found[other], before[other])


def check_strength(world, run, base, embed, compare_rows, based):
    """W0 + s (W - W0): 0 is the base to the bit, 1 the tuned model, 0.5 what PEFT gives with half the alpha."""
    root = world.root
    for strength in ("0", "0.5", "1"):
        for form in ("hf", "peft"):
            world.run("export", f"runs/{run}", "--to", form, "--strength", strength, "--out", f"{run}_{form}_{strength}")
    weights = lambda name: load_file(root / name / "model.safetensors")
    for name, other in ((f"{run}_hf_0", base), (f"{run}_hf_1", f"{run}_hf")):
        if any(not torch.equal(value, weights(other)[key]) for key, value in weights(name).items()):
            raise SystemExit(f"{name} is not {other}")
    compare_rows("strength 0.5, PEFT merged", PeftModel.from_pretrained(based(), root / f"{run}_peft_0.5").merge_and_unload(),
                 embed(root / f"{run}_hf_0.5"))
    full = run + "_full"
    world.run("train", "safe.yaml", "--set", f"model.weights={base}", "--set", f"run.name={full}", "--set", "train.max_steps=3",
              "--set", "adapter.method=full", "--set", "model.train_projections=true")
    for strength in ("0", "0.25", "1"):
        world.run("export", f"runs/{full}", "--to", "hf", "--strength", strength, "--out", f"{full}_{strength}")
    first, quarter, last = (weights(f"{full}_{s}") for s in ("0", "0.25", "1"))
    for key, value in weights(base).items():
        if not torch.equal(first[key], value):
            raise SystemExit(f"full fine-tuning, strength 0: {key}")
        torch.testing.assert_close(quarter[key], value + (last[key] - value) * 0.25, rtol=0, atol=1e-7)
    if torch.equal(last["visual_projection.weight"], first["visual_projection.weight"]):
        raise SystemExit("nothing was trained")


def check_forms(root, base, embed, expected):
    """Everything that save_pretrained has written over the years."""
    model = CLIPModel.from_pretrained(root / base)

    def variant(name, edit):
        folder = root / f"{base}_{name}"
        shutil.copytree(root / base, folder)
        edit(folder)
        mine = embed(folder)
        for kind in ("text", "image"):
            compare(f"{name}, {kind}", expected[kind], mine[kind])

    def sharded(folder):
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder, max_shard_size="40KB")
        if len(list(folder.glob("model-*.safetensors"))) < 2:
            raise SystemExit("not sharded")

    def pickled(folder):
        (folder / "model.safetensors").unlink()
        state = model.state_dict() | {"text_model.embeddings.position_ids": torch.arange(4)[None]}
        torch.save(state, folder / "pytorch_model.bin")

    def pickled_shards(folder):
        (folder / "model.safetensors").unlink()
        names = list(model.state_dict())
        parts = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(names)}
        for part in set(parts.values()):
            torch.save({k: v for k, v in model.state_dict().items() if parts[k] == part}, folder / part,
                       _use_new_zipfile_serialization=part.startswith("pytorch_model-00001"))
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(dict(metadata={}, weight_map=parts)))

    def legacy_config(folder):
        config = json.loads((folder / "config.json").read_text())
        for part in ("text_config", "vision_config"):
            config[part + "_dict"] = config[part]
            config[part] = dict(config[part], hidden_size=999)
        config["text_config_dict"] |= dict(bos_token_id=0, eos_token_id=2)
        (folder / "config.json").write_text(json.dumps(config))
        processor = json.loads((folder / "preprocessor_config.json").read_text())
        side = processor["crop_size"]["height"]
        processor |= dict(size=side, crop_size=side, feature_extractor_type="CLIPFeatureExtractor")
        processor.pop("image_processor_type")
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    for name, edit in (("shards", sharded), (".bin", pickled), (".bin shards", pickled_shards), ("legacy config", legacy_config)):
        variant(name, edit)


def check_adapters(world, root, base, embed, compare_rows, based):
    """Adapters that PEFT made: merged on loading, refused by name, and trained on."""
    regex = r"vision_model\..*\.(q_proj|fc1)"
    for name, options in (("plain", dict(target_modules=["q_proj", "v_proj", "fc1", "patch_embedding"])),
                          ("rslora, patterns", dict(target_modules=["k_proj", "fc2", "token_embedding"], use_rslora=True,
                                                    alpha_pattern={"fc2": 3}, rank_pattern={"fc2": 2})),
                          ("regex, saved module", dict(target_modules=regex, modules_to_save=["visual_projection"]))):
        model = get_peft_model(based(), LoraConfig(r=4, lora_alpha=6, **options))
        torch.manual_seed(3)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = root / f"{base}_{name.split(',')[0]}"
        model.save_pretrained(folder)
        shutil.copytree(folder, str(folder) + "_bin")
        (pathlib.Path(str(folder) + "_bin") / "adapter_model.safetensors").unlink()
        torch.save(load_file(folder / "adapter_model.safetensors"), str(folder) + "_bin/adapter_model.bin")
        merged = model.merge_and_unload()
        mine, without = embed(root / base, "--adapter", folder), embed(root / base)
        if not all((mine[kind] - without[kind]).abs().max() > 1e-3 for kind in (("image",) if name.startswith("regex") else ("image", "text"))):
            raise SystemExit(f"adapter of PEFT ({name}): nothing changed")
        compare_rows(f"adapter of PEFT ({name})", merged, mine)
        compare_rows(f"the same as .bin ({name})", merged, embed(root / base, "--adapter", str(folder) + "_bin"))
    compare_rows("adapter folder as weights", merged, embed(folder))
    check_refused_adapters(world, root, base, based)
    start = root / f"{base}_plain"
    settings = ["--set", f"model.weights={base}", "--set", "adapter.rank=4", "--set", "adapter.alpha=6",
                "--set", f"adapter.start_from={start}", "--set", "adapter.dropout=0"]
    world.run("train", "safe.yaml", *settings, "--set", f"run.name={base}_start", "--set", "train.max_steps=0")
    world.run("export", f"runs/{base}_start", "--to", "peft", "--out", f"{base}_start")
    given, kept = (load_file(f / "adapter_model.safetensors") for f in (start, root / f"{base}_start"))
    if set(given) != set(kept) or not all(torch.equal(given[k], kept[k]) for k in given):
        raise SystemExit("the adapter was not what training started from")
    world.run("train", "safe.yaml", *settings, "--set", f"run.name={base}_on", "--set", "train.max_steps=2")
    wrong = world.run("train", "safe.yaml", *settings, "--set", f"run.name={base}_no", "--set", "adapter.alpha=4", code=2).stderr
    if "set adapter.alpha to 6" not in wrong:
        raise SystemExit(wrong)
    print("  an adapter of PEFT trains on")


def check_refused_adapters(world, root, base, based):
    for key, value, sentence in (("use_dora", True, "DoRA"), ("peft_type", "IA3", "IA3"), ("bias", "all", "bias"),
                                 ("init_lora_weights", "pissa", "which changes the base weights")):
        folder = root / f"{base}_{key}"
        shutil.copytree(root / f"{base}_plain", folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, key: value}))
        said = world.run("embed", base, "--adapter", folder, "--texts", "x", "--out", "x.safetensors", code=4).stderr
        if sentence not in said:
            raise SystemExit(f"{key}: {said}")
    dora = get_peft_model(based(), LoraConfig(r=2, target_modules=["fc1"], use_dora=True))
    dora.save_pretrained(root / f"{base}_dora")
    world.run("embed", base, "--adapter", f"{base}_dora", "--texts", "x", "--out", "x.safetensors", code=4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    World.program = os.path.abspath(parser.parse_args().program)
    for activation in ("quick_gelu", "gelu"):
        with tempfile.TemporaryDirectory() as folder:
            print(activation)
            check(World(pathlib.Path(folder)), activation)


main()
