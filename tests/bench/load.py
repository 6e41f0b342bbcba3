"""Load time and peak memory of a ViT-L/14: saferclip beside transformers, torch.load and torch.jit.load.

    .venv-open-clip/bin/python tests/bench/load.py --program build/release/saferclip --folder FOLDER [--before OTHER_PROGRAM]

FOLDER (6 GB) gets a random ViT-L/14 in four forms. A repetition is a whole process, page cache warm: saferclip's is `embed` of
one text, so it has started, checked every number, made the fp32 model (hashing the file meanwhile) and written the embedding;
the others import their packages and hold fp32 tensors. JSON on stdout, a table on stderr.
"""
import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PYTHON = {
    "safetensors fp16": ("transformers", "from transformers import CLIPModel; import torch; m=CLIPModel.from_pretrained('{hf}', dtype=torch.float32)"),
    "safetensors fp32": ("transformers", "from transformers import CLIPModel; import torch; m=CLIPModel.from_pretrained('{hf32}', dtype=torch.float32)"),
    "OpenAI state_dict": ("torch.load", "import torch; m={{k: v.float() for k, v in torch.load('{flat}', weights_only=True).items()}}"),
    "OpenAI TorchScript": ("torch.jit.load", "import torch; m={{k: v.float() for k, v in torch.jit.load('{script}', map_location='cpu').state_dict().items()}}"),
}
FORMS = {"safetensors fp16": "hf", "safetensors fp32": "hf32", "OpenAI state_dict": "flat", "OpenAI TorchScript": "script"}
# Peak memory of a process is its own only when its parent was small.
PEAK = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"


def paths(folder):
    return dict(hf=folder / "hf", hf32=folder / "hf32", script=folder / "script.pt", flat=folder / "flat.pt")


def make_files(folder, program):
    import open_clip
    import torch
    files = paths(folder)
    if all(path.exists() for path in files.values()):
        return
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-L-14-quickgelu", pretrained=None).eval()
    open_clip.model.convert_weights_to_lp(model, torch.float16)
    torch.save({k: v for k, v in model.state_dict().items() if k != "attn_mask"}, files["flat"])
    holder = torch.nn.Module()
    for name, child in model.named_children():
        setattr(holder, name, child)
    for name, parameter in model.named_parameters(recurse=False):
        setattr(holder, name, parameter)
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        holder.register_buffer(name, torch.tensor(value))
    holder.forward = lambda image: holder.visual(image)
    torch.jit.trace(holder, torch.zeros(1, 3, 224, 224, dtype=torch.float16), check_trace=False).save(str(files["script"]))
    for name, dtype in (("hf", "fp16"), ("hf32", "fp32")):
        subprocess.run([program, "export", files["flat"], "--activation", "quick_gelu", "--to", "hf", "--dtype", dtype, "--out", files[name]], check=True)


def measure(command, repeats):
    """Seconds of whole processes after a warm one, and peak memory in MiB."""
    command = [str(word) for word in command]
    walls = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - began)
    peak = int(subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True).stdout)
    walls = walls[1:]
    return {"s": {"median": statistics.median(walls), "least": min(walls), "most": max(walls)}, "peak_mib": peak}


def text(result):
    return f"{result['s']['median']:.2f} ({result['s']['least']:.2f} … {result['s']['most']:.2f}) | {result['peak_mib']:,}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--before", help="another saferclip to measure beside it")
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--make", action="store_true", help="only make the files")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    program = os.path.abspath(arguments.program)
    if arguments.make:
        return make_files(arguments.folder, program)
    # In a process of its own: a child's peak memory counts what its parent held when it was forked.
    subprocess.run([sys.executable, __file__, "--make", "--program", program, "--folder", arguments.folder], check=True)
    files, results, outputs = paths(arguments.folder), {}, {}
    print("| file | MiB | saferclip, s | peak, MiB | beside | s | peak, MiB | ratio |\n|---|---|---|---|---|---|---|---|", file=sys.stderr)
    for form in arguments.forms:
        path = files[FORMS[form]]
        more = ["--activation", "quick_gelu"] if path.is_file() and form != "OpenAI TorchScript" else []
        out = arguments.folder / "rows.safetensors"
        result = {"mib": sum(f.stat().st_size for f in ([path] if path.is_file() else path.iterdir())) >> 20}
        for name, command in (("saferclip", program), ("before", arguments.before)):
            if command:
                result[name] = measure([command, "embed", path, *more, "--texts", "a dog", "--out", out], arguments.repeat)
                outputs[form, name] = hashlib.sha256(out.read_bytes()).hexdigest()
        client, code = PYTHON[form]
        result["client"] = {"name": client, **measure([sys.executable, "-c", "import warnings; warnings.filterwarnings('ignore'); " + code.format(**files)], arguments.repeat)}
        result["ratio"] = result["client"]["s"]["median"] / result["saferclip"]["s"]["median"]
        results[form] = result
        print(f"| {form} | {result['mib']:,} | {text(result['saferclip'])} | {client} | {text(result['client'])} | {result['ratio']:.1f} |", file=sys.stderr)
        if "before" in result:
            print(f"| {form}, before | {result['mib']:,} | {text(result['before'])} | | | | |", file=sys.stderr)
    results["embeddings are equal to the bit"] = len(set(outputs.values())) == 1
    print(json.dumps(results, indent=1))


main()
