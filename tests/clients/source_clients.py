"""What people bring beside weights, read as its own client reads it: tokenizers, image processors, transparent pictures.

    source_clients.py --program build/release/saferclip            transformers (.venv)
    source_clients.py --program build/release/saferclip --open-clip    open_clip (.venv-open-clip)

Tiny random models, so that the ids and pixels show in the embeddings; each is exported and read again by the client.
"""
import argparse
import json
import os
import pathlib
import shutil
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import numpy
import torch
from PIL import Image
from client_world import ClientWorld, normal

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
FOLDERS = FIXTURES / "text" / "folders"
TOLERANCE = 1e-5
TEXTS = ["a photo of a cat.", "stop! Look at the DOG!", "a <my-cat> sits", "the new word", "a  <left>  b", "Upper UPPER", "", "a dog in the garden " * 8, "Café & 日本", "don\u2019t &lt;b&gt; snake_case"]
SIDE = 32


class World(ClientWorld):
    texts = TEXTS

    def __init__(self, program, root):
        super().__init__(program, root)
        expected = json.loads((FIXTURES / "image" / "clients.json").read_text())
        for name in ("rgb.png", "rgba.png", "la.png", "palette.png", "palette_alpha.png", "rgb_key.png", "grey_key.png", "rgba.webp", "rgba.tiff", "bilevel.png", "rgba16.png"):
            self.pictures.append(root / name)
            (root / name).write_bytes(bytes.fromhex(expected["files"][name]))
        rng = numpy.random.default_rng(0)
        for i, size in enumerate([(45, 90), (131, 50), (227, 99)]):
            picture = Image.fromarray(rng.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 4), dtype=numpy.uint8)).resize(size, Image.BICUBIC)
            self.pictures.append(root / f"{i}.png")
            picture.save(root / f"{i}.png")
        self.all = self.pictures


def compare(name, found, expected):
    worst = (found - normal(expected)).abs().max().item()
    print(f"  {name}: largest difference {worst:.1e}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"{name}: more than {TOLERANCE}")


def hugging_face_model(folder, vocabulary, **text):
    from transformers import CLIPConfig, CLIPModel
    torch.manual_seed(1)
    tower = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = CLIPConfig(text_config=dict(tower, vocab_size=vocabulary, max_position_embeddings=24, hidden_act="quick_gelu", **text),
                        vision_config=dict(tower, image_size=SIDE, patch_size=8, hidden_act="quick_gelu"), projection_dim=16)
    model = CLIPModel(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=.3)
    model.save_pretrained(folder)


def processor(**changes):
    base = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": SIDE}, "resample": 3, "do_center_crop": True,
            "crop_size": {"height": SIDE, "width": SIDE}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": [0.48, 0.45, 0.41], "image_std": [0.27, 0.26, 0.28], "do_convert_rgb": True}
    return {k: v for k, v in {**base, **changes}.items() if v is not None}


def transformers_rows(folder, pictures, texts=TEXTS):
    from transformers import AutoTokenizer, CLIPModel
    from transformers.models.auto.image_processing_auto import AutoImageProcessor
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    images = AutoImageProcessor.from_pretrained(folder, backend="pil")([Image.open(p) for p in pictures], return_tensors="pt")
    with torch.no_grad():
        return {"text": model.text_projection(model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).pooler_output),
                "image": model.visual_projection(model.vision_model(pixel_values=images["pixel_values"]).pooler_output)}


def check_folder(world, name, folder, form="hf", rows_of=transformers_rows):
    own = world.embed(folder)
    theirs = rows_of(folder, world.pictures)
    world.run("export", folder, "--to", form, "--out", world.root / f"{name}_out")
    again = rows_of(world.root / f"{name}_out", world.pictures)
    for kind in ("text", "image"):
        compare(f"{name}, {kind}", own[kind], theirs[kind])
        compare(f"{name}, {kind}, exported", own[kind], again[kind])


def check_transformers(world):
    largest = {"clip_plain": 0, "clip_pad": 0, "clip_pad_saved": 0, "clip_added": 2, "clip_flags": 5, "clip_flags_saved": 5, "clip_both": 0}
    plain = len(json.loads((FOLDERS / "clip_plain" / "vocab.json").read_text()))
    for name, more in largest.items():
        folder = world.root / name
        hugging_face_model(folder, plain + more, bos_token_id=plain - 2, eos_token_id=plain - 1)
        shutil.copytree(FOLDERS / name, folder, dirs_exist_ok=True)
        if name == "clip_pad":
            (folder / "merges.txt").write_text((folder / "merges.txt").read_text(encoding="utf-8-sig"))
        (folder / "preprocessor_config.json").write_text(json.dumps(processor()))
        check_folder(world, name, folder)
    # eos_token_id 2: the largest id of a caption is pooled, an added token's where there is one.
    folder = world.root / "legacy"
    hugging_face_model(folder, plain + 2, bos_token_id=0, eos_token_id=2)
    shutil.copytree(FOLDERS / "clip_added", folder, dirs_exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor()))
    check_folder(world, "legacy end mark", folder)
    for name, changes in (("wider", dict(size={"shortest_edge": 40})), ("smaller", dict(size={"shortest_edge": 25})), ("squashed", dict(size={"height": 40, "width": 40}, resample=2)),
                          ("numbers", dict(size=36, crop_size=SIDE, image_processor_type=None, feature_extractor_type="CLIPFeatureExtractor", resample=1)),
                          ("crop alone", dict(do_resize=False)), ("raw", dict(do_rescale=False, do_normalize=False)), ("other factor", dict(rescale_factor=1 / 127.5, image_mean=1.0, image_std=1.0)),
                          ("siglip's", dict(image_processor_type="SiglipImageProcessorFast", size={"height": SIDE, "width": SIDE}, crop_size=None, do_center_crop=None, resample=5)),
                          ("nearest", dict(resample=0)), ("box", dict(resample=4))):
        nested = name in ("wider", "raw")
        for file in ("preprocessor_config.json", "processor_config.json"):
            (world.root / "clip_plain" / file).unlink(missing_ok=True)
        if nested:
            (world.root / "clip_plain" / "preprocessor_config.json").write_text(json.dumps(processor(size={"shortest_edge": 50})))
            (world.root / "clip_plain" / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor", "image_processor": processor(**changes)}))
        else:
            (world.root / "clip_plain" / "preprocessor_config.json").write_text(json.dumps(processor(**changes)))
        check_folder(world, name, world.root / "clip_plain")


def open_clip_rows(folder, pictures, texts=TEXTS):
    import open_clip
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.no_grad():
        model.eval()
        return {"text": model.encode_text(tokenizer(texts)), "image": model.encode_image(torch.stack([transform(Image.open(p)) for p in pictures]))}


def check_open_clip(world):
    from open_clip.model import CLIP
    from safetensors.torch import save_file
    plain = len(json.loads((FOLDERS / "clip_plain" / "vocab.json").read_text()))
    cases = {
        "lower": (dict(), dict(interpolation="bicubic", resize_mode="shortest")),
        "whitespace": (dict(tokenizer_kwargs=dict(clean="whitespace")), dict(interpolation="bilinear", resize_mode="longest", fill_color=127)),
        "canonicalize": (dict(tokenizer_kwargs=dict(clean="canonicalize")), dict(size=99, mode="RGB", resize_mode="squash", mean=0.5, std=0.25)),
        "own": (dict(hf_tokenizer_name="this folder", vocab_size=plain + 2, pool_type="eos", eos_id=plain - 1), dict(resize_mode="longest")),
        "own_pad": (dict(hf_tokenizer_name="this folder", vocab_size=plain, tokenizer_kwargs=dict(clean="lower")), dict(interpolation=None, resize_mode=None)),
    }
    for name, (text, preprocess) in cases.items():
        torch.manual_seed(2)
        config = dict(embed_dim=16, quick_gelu=True, vision_cfg=dict(image_size=SIDE, layers=2, width=32, head_width=16, patch_size=8),
                      text_cfg=dict(dict(context_length=24, vocab_size=49408, width=32, heads=2, layers=2), **text))
        model = CLIP(**config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=.3)
        folder = world.root / name
        folder.mkdir()
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=preprocess)))
        if name.startswith("own"):
            shutil.copytree(FOLDERS / ("clip_pad_saved" if name == "own_pad" else "clip_added"), folder, dirs_exist_ok=True)
        # Pillow fills what is outside of other pictures by their modes' own rules.
        is_filled = preprocess["resize_mode"] == "longest"
        world.pictures = [p for p in world.all if not is_filled or p.name == "rgb.png"]
        check_folder(world, name, folder, "open_clip", open_clip_rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--open-clip", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(arguments.program, pathlib.Path(folder))
        (check_open_clip if arguments.open_clip else check_transformers)(world)
    print("ok")


main()
