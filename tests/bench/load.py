"""Load time and peak memory of a ViT-L/14, one process each: saferclip, transformers, open_clip, torch.load.

    load.py --program build/release/saferclip --folder FOLDER

Runs in .venv-open-clip. FOLDER gets the files on first use (a random ViT-L/14: safetensors in fp16, a TorchScript archive with
OpenAI's dtypes, a state_dict). Each process is run three times; the smallest wall time counts. JSON on stdout.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

PYTHON = {
    "transformers, safetensors": "from transformers import CLIPModel; import torch; t=time.time(); m=CLIPModel.from_pretrained('{hf}', dtype=torch.float32)",
    "torch.load, state_dict": "import torch; t=time.time(); m={{k: v.float() for k, v in torch.load('{flat}', weights_only=True).items()}}",
    "torch.jit.load, TorchScript": "import torch; t=time.time(); m={{k: v.float() for k, v in torch.jit.load('{script}', map_location='cpu').state_dict().items()}}",
    "import of torch alone": "import torch; t=time.time()",
    "import of transformers alone": "from transformers import CLIPModel; t=time.time()",
}


def make_files(folder, program):
    import open_clip
    import torch
    files = dict(hf=folder / "hf", script=folder / "script.pt", flat=folder / "flat.pt")
    if all(path.exists() for path in files.values()):
        return files
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-L-14-quickgelu", pretrained=None).eval()
    open_clip.model.convert_weights_to_lp(model, torch.float16)
    state = {k: v for k, v in model.state_dict().items() if k != "attn_mask"}
    torch.save(state, files["flat"])
    holder = torch.nn.Module()
    for name, child in model.named_children():
        setattr(holder, name, child)
    for name, parameter in model.named_parameters(recurse=False):
        setattr(holder, name, parameter)
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        holder.register_buffer(name, torch.tensor(value))
    holder.forward = lambda image: holder.visual(image)
    torch.jit.trace(holder, torch.zeros(1, 3, 224, 224, dtype=torch.float16), check_trace=False).save(str(files["script"]))
    subprocess.run([program, "export", files["flat"], "--activation", "quick_gelu", "--to", "hf", "--dtype", "fp16", "--out", files["hf"]], check=True)
    return files


def measure(command, times=3):
    best = None
    for _ in range(times):
        began = time.time()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = process.communicate()
        wall = time.time() - began
        if process.returncode:
            raise SystemExit(f"{command}: {err}")
        if best is None or wall < best["wall_s"]:
            best = dict(wall_s=round(wall, 2), **({"load_s": round(float(out.split()[-2]), 2), "peak_mib": int(out.split()[-1]) // 1024} if command[0] == sys.executable else {}))
    return best


def peak_of(command):
    """Peak resident memory of a program, in MiB: the largest child of a fresh process."""
    code = f"import resource, subprocess; subprocess.run({[str(c) for c in command]!r}, check=True, capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) // 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--make", action="store_true", help="only make the files")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    program = os.path.abspath(arguments.program)
    if arguments.make:
        make_files(arguments.folder, program)
        return
    # In a process of its own: a child's peak memory counts what its parent held when it was forked.
    subprocess.run([sys.executable, __file__, "--make", "--program", program, "--folder", arguments.folder], check=True)
    files = dict(hf=arguments.folder / "hf", script=arguments.folder / "script.pt", flat=arguments.folder / "flat.pt")
    for path in files.values():  # page cache warm for everyone
        for file in [path] if path.is_file() else path.iterdir():
            subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
    result = {"bytes": {k: sum(f.stat().st_size for f in ([p] if p.is_file() else p.iterdir())) for k, p in files.items()}}
    out = str(arguments.folder / "rows.safetensors")
    for name, path, more in (("saferclip, safetensors", files["hf"], []), ("saferclip, TorchScript", files["script"], []),
                             ("saferclip, state_dict", files["flat"], ["--activation", "quick_gelu"])):
        command = [program, "embed", str(path), *more, "--texts", "a dog", "--out", out]
        result[name] = measure(command) | {"peak_mib": peak_of(command)}
    for name, code in PYTHON.items():
        full = ("import time, resource, warnings; warnings.filterwarnings('ignore'); " + code.format(**files) +
                "; print(time.time() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
        result[name] = measure([sys.executable, "-c", full])
    result["ratio, safetensors: transformers / saferclip"] = round(result["transformers, safetensors"]["wall_s"] / result["saferclip, safetensors"]["wall_s"], 2)
    result["ratio, TorchScript: torch.jit.load / saferclip"] = round(result["torch.jit.load, TorchScript"]["wall_s"] / result["saferclip, TorchScript"]["wall_s"], 2)
    print(json.dumps(result, indent=1))


main()
