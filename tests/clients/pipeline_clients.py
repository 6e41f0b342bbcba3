"""Pipelines that people put a CLIP into take ours: transformers' zero-shot classification, diffusers' Stable Diffusion, LLaVA's
vision tower, sentence-transformers.

    pipeline_clients.py --program build/release/saferclip
"""
import json
import os
import pathlib
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["DIFFUSERS_VERBOSITY"] = "error"
warnings.simplefilter("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from client_world import normal, program_argument
from world import Workspace, World
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import CLIPModel as SentenceClip
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionModel, LlamaConfig, LlavaConfig, \
    LlavaForConditionalGeneration, pipeline

TEXTS = ["red car", "blue tree", "moon", "a dog, and a cat", "dog " * 30]


def require(name, difference, bound=1e-5):
    print(f"  {name}: largest difference {difference:.1e}")
    if not difference <= bound:
        raise SystemExit(f"{name}: more than {bound}")


def zero_shot(world, folder, own):
    labels = ["red car", "blue tree", "moon"]
    classify = pipeline("zero-shot-image-classification", model=str(folder), device="cpu")
    scale = load_file(folder / "model.safetensors")["logit_scale"].exp()
    worst = 0
    for i in range(4):
        said = {entry["label"]: entry["score"] for entry in classify(str(world.root / f"images/safe{i}.png"), candidate_labels=labels,
                                                                      hypothesis_template="{}")}
        wanted = (scale * own["image"][i] @ own["text"][:3].T).softmax(-1)
        worst = max(worst, *(abs(said[label] - wanted[j].item()) for j, label in enumerate(labels)))
    require("transformers, zero-shot-image-classification", worst)


def stable_diffusion(folder, base):
    """The text encoder as it is, its padding, and clip_skip, beside the hidden states of the merged adapter's layers."""
    text = CLIPTextModel.from_pretrained(folder).eval()
    object.__setattr__(text, "text_model", text)  # where diffusers 0.42 looks for it; transformers 5 has it no more
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    width = text.config.hidden_size
    unet = UNet2DConditionModel(sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
                                norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=width, attention_head_dim=4)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, sample_size=16)
    pipe = StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=DDIMScheduler(),
                                   safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    whole = CLIPModel.from_pretrained(folder).eval().text_model
    for skip in (None, 1):
        embeds, _ = pipe.encode_prompt(TEXTS, "cpu", 1, False, clip_skip=skip)
        ids = tokenizer(TEXTS, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            states = whole(ids, output_hidden_states=True)
            wanted = states.last_hidden_state if skip is None else whole.final_layer_norm(states.hidden_states[-1 - skip])
        if embeds.shape != (len(TEXTS), tokenizer.model_max_length, width):
            raise SystemExit(f"prompt embeddings of shape {tuple(embeds.shape)}")
        require(f"diffusers, prompt embeddings, clip_skip {skip}", (embeds - wanted).abs().max().item())
    pictures = [pipe(TEXTS[:1], num_inference_steps=2, height=16, width=16, output_type="np", generator=torch.manual_seed(1)).images[0]]
    pipe.text_encoder = CLIPTextModel.from_pretrained(base).eval()
    pictures.append(pipe(TEXTS[:1], num_inference_steps=2, height=16, width=16, output_type="np", generator=torch.manual_seed(1)).images[0])
    if not abs(pictures[0] - pictures[1]).max() > 1e-4:
        raise SystemExit("the tuned text encoder draws what the base draws")


def llava(world, folder, own):
    """Its vision tower is a CLIPVisionModel, whose layer before the last is read."""
    vision = CLIPVisionModel.from_pretrained(folder).eval()
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=vision.config, text_config=LlamaConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                                             num_attention_heads=2, vocab_size=64), image_token_index=63)).eval()
    tower = model.model.vision_tower
    tower.load_state_dict(vision.state_dict(), strict=True)
    pixels = CLIPImageProcessor.from_pretrained(folder)(images=[Image.open(world.root / f"images/safe{i}.png") for i in range(4)],
                                                        return_tensors="pt").pixel_values
    with torch.no_grad():
        states = tower(pixels, output_hidden_states=True)
        projected = CLIPModel.from_pretrained(folder).eval().visual_projection(states.pooler_output)
        features = model.model.multi_modal_projector(states.hidden_states[-2][:, 1:])
        found = model.get_image_features(pixels)
    require("LLaVA, its tower's pooled output, projected", (normal(projected) - own["image"]).abs().max().item())
    found = torch.cat(list(found.pooler_output if hasattr(found, "pooler_output") else found)).reshape(features.shape)
    require("LLaVA, image features", (found - features).abs().max().item())


def sentences(world, folder, own):
    model = SentenceTransformer(modules=[SentenceClip(str(folder))], device="cpu")
    found = torch.tensor(model.encode(TEXTS[:4]))
    require("sentence-transformers, texts", (normal(found) - own["text"][:4]).abs().max().item())
    found = torch.tensor(model.encode([Image.open(world.root / f"images/safe{i}.png") for i in range(4)]))
    require("sentence-transformers, images", (normal(found) - own["image"]).abs().max().item())


def hidden_states(world, folder, base):
    """evaluate.prompts: the change of the last hidden states up to the end mark, relative, the mean over prompts."""
    (world.root / "prompts.txt").write_text("\n".join(TEXTS))
    document = json.loads(world.run("evaluate", "runs/safe", "--set", "evaluate.prompts=prompts.txt", "--json").stdout)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    models = [CLIPTextModel.from_pretrained(of).eval() for of in (base, folder)]
    changes = []
    for text in TEXTS:
        ids = tokenizer([text], truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
        with torch.no_grad():
            before, after = (model(ids).last_hidden_state for model in models)
        changes.append(((after - before).norm() / before.norm()).item())
    wanted = sum(changes) / len(changes)
    if not wanted > 1e-3:
        raise SystemExit("the tuned text encoder's hidden states are those of the base")
    require("hidden states of prompts, relative change", abs(document["after"]["drift"]["text"]["hidden_states"] / wanted - 1))


def main():
    Workspace.program = program_argument()
    with tempfile.TemporaryDirectory() as name:
        world = World(pathlib.Path(name))
        world.make_base()
        world.train("safe")
        world.run("export", "runs/safe", "--to", "hf", "--out", "safe")
        folder = world.root / "safe"
        world.run("embed", "safe", "--texts", *TEXTS, "--images", *(f"images/safe{i}.png" for i in range(4)), "--out", "own.safetensors")
        own = load_file(world.root / "own.safetensors")
        print(json.loads((folder / "config.json").read_text())["model_type"])
        zero_shot(world, folder, own)
        stable_diffusion(folder, world.root / "base")
        hidden_states(world, folder, world.root / "base")
        llava(world, folder, own)
        sentences(world, folder, own)


if __name__ == "__main__":
    main()
