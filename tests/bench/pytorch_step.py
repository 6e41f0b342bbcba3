"""PyTorch's half of the comparisons: a SaFeR-CLIP step with transformers and PEFT on given weights and one given batch.

    python tests/bench/pytorch_step.py WEIGHTS BATCH.safetensors lora|full bf16|fp32 [--way best|published] [--device cpu] [--compile]
                                       [--windows 7] [--steps 1] [--threads 2]

Prints JSON: seconds a step (each window: so many steps, then the host waits for the device), losses, peak memory. What the
ways are says step.py.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
TARGETS = ["k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"]
KINDS = ("safe", "unsafe")


def normalised(pixels):
    import torch
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], device=pixels.device)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711], device=pixels.device)
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def embed(clip, ids, pixels):
    return (clip.text_projection(clip.text_model(input_ids=ids).pooler_output),
            clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output))


def saferclip_loss(t, r, target_text, target_image, scale):
    """The published eight terms, weight 1 each. t, r: tuned and reference rows by name."""
    import torch
    from torch.nn.functional import cosine_similarity as cos
    from torch.nn.functional import cross_entropy, normalize, softplus

    def contrast(a, b):
        logits = scale * normalize(a) @ normalize(b).T
        own = torch.arange(len(a), device=a.device)
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    t = {k: v.float() for k, v in t.items()}
    return (softplus(cos(t["unsafe_image"], r["unsafe_text"]) - cos(t["unsafe_image"], target_text)).mean() +
            softplus(cos(t["unsafe_text"], r["unsafe_image"]) - cos(t["unsafe_text"], target_image)).mean() +
            (1 - cos(t["unsafe_image"], target_image)).mean() + (1 - cos(t["unsafe_text"], target_text)).mean() +
            (1 - cos(t["safe_image"], r["safe_image"])).mean() + (1 - cos(t["safe_text"], r["safe_text"])).mean() +
            contrast(t["safe_image"], r["safe_text"]) + contrast(t["safe_text"], r["safe_image"]))


def tuned_model(weights, method, device):
    import peft
    import torch
    from transformers import CLIPModel
    # Not SDPA on a CPU: its backward pass makes a step of these lengths a quarter slower there.
    clip = CLIPModel.from_pretrained(weights, attn_implementation="eager" if device == "cpu" else "sdpa")
    if method == "lora":
        torch.manual_seed(1)
        peft.inject_adapter_in_model(peft.LoraConfig(r=16, lora_alpha=1, target_modules=TARGETS), clip)
        for name, p in clip.named_parameters():
            p.requires_grad_("lora_" in name)
    else:
        clip.logit_scale.requires_grad_(False)
        for projection in (clip.text_projection, clip.visual_projection):
            projection.requires_grad_(False)
    return clip.to(device)


class Step:
    """What a step needs, made once; run() is the step and returns its loss, for which the host does not wait."""

    def __init__(self, a):
        import torch
        from safetensors.torch import load_file
        from transformers import CLIPModel
        self.a = a
        self.data = {k: v.to(a.device) for k, v in load_file(a.batch).items()}
        self.clip = tuned_model(a.weights, a.method, a.device)
        self.optimizer = torch.optim.Adam([p for p in self.clip.parameters() if p.requires_grad], lr=1e-4, fused=a.way == "best")
        self.scale = float(self.clip.logit_scale.exp())
        longest = max(int((self.data[f"{k}_ids"].argmax(1)).max()) + 1 for k in KINDS)
        self.ids = {k: self.data[f"{k}_ids"].long() for k in KINDS}
        if a.way == "best":
            self.ids = {k: v[:, :-(-longest // 8) * 8].contiguous() for k, v in self.ids.items()}
        self.teacher = CLIPModel.from_pretrained(a.weights).eval().to(a.device) if a.way == "published" else None
        self.forward = torch.compile(embed) if a.compile else embed

    def published_rows(self):
        import torch
        rows, reference = {}, {}
        for k in KINDS:
            pixels = normalised(self.data[f"{k}_pixels"])
            rows[f"{k}_text"], rows[f"{k}_image"] = embed(self.clip, self.ids[k], pixels)
            with torch.no_grad():
                reference[f"{k}_text"], reference[f"{k}_image"] = embed(self.teacher, self.ids[k], pixels)
        return rows, reference

    def best_rows(self):
        import torch
        reference = {f"{k}_{side}": self.data[f"reference_{k}_{side}"] for k in KINDS for side in ("text", "image")}
        with torch.autocast(torch.device(self.a.device).type, dtype=torch.bfloat16, enabled=self.a.precision == "bf16"):
            text, image = self.forward(self.clip, torch.cat([self.ids[k] for k in KINDS]),
                                       normalised(torch.cat([self.data[f"{k}_pixels"] for k in KINDS])))
        rows = {}
        for side, both in (("text", text), ("image", image)):
            rows[f"safe_{side}"], rows[f"unsafe_{side}"] = both.chunk(2)
        return rows, reference

    def run(self):
        self.optimizer.zero_grad()
        rows, reference = self.published_rows() if self.a.way == "published" else self.best_rows()
        loss = saferclip_loss(rows, reference, self.data["target_text"], self.data["target_image"], self.scale)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def measure(command, timeout=None):
    """Of a program that prints seconds and losses: medians over what comes after the first two windows, and all it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    warm = found.pop("seconds")[2:]
    losses = found.pop("losses")
    return found | dict(median_s=statistics.median(warm), min_s=min(warm), max_s=max(warm), first_loss=losses[0], last_loss=losses[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("batch", type=pathlib.Path)
    parser.add_argument("method", choices=["lora", "full"])
    parser.add_argument("precision", choices=["bf16", "fp32"])
    parser.add_argument("--way", default="best", choices=["best", "published"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    import torch
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    step = Step(arguments)
    seconds, losses = [], []
    for _ in range(arguments.windows):
        began = time.perf_counter()
        losses += [float(loss) for loss in [step.run() for _ in range(arguments.steps)]]
        seconds.append((time.perf_counter() - began) / arguments.steps)
    out = dict(seconds=seconds, losses=losses, peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    if arguments.device != "cpu":
        out["peak_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
