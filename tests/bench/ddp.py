"""Two processes of one thread each beside PyTorch's DistributedDataParallel in two processes of one thread each.

    .venv/bin/python tests/bench/ddp.py [--models demo b32] [--methods lora full] [--steps 24] [--rounds 2]
                                     [--program build/release/saferclip]

Both: the same random weights of the model's size, the same rows (as many as a batch has, so that every step sees them all),
the eight terms of SaFeR-CLIP, fp32, Adam, Gloo. What DDP's step is says ddp_step.py: plain eager, gradients as views into the
buckets, no search for unused parameters, and once more with static_graph; "ratio" is saferclip's rate over that of the
faster of the two. The programs take turns, `rounds` times each. Rates are medians over the steps of all rounds after the
first third of each, in quadruplets a second. The loss of the first step must agree. JSON and a table on stdout.

A run beside which other programs took more than `--disturbed` of the processors' time is made again when they are done, for
as long as `--patience` allows in each setting; "others" is the largest share in what was counted. "Upper" is the rate that
the fastest tenth of the steps reach, which a few disturbed steps leave as it is. Linux alone.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile
import time

from processes import BATCH, ROOT, make_base, launch, steps_of, warm, write_world
from pytorch_step import KINDS, embed, normalised

FORMS = {"DDP": [], "DDP, static graph": ["--static-graph"]}
PROCESSES = 2


def picture(path, side):
    import numpy
    from PIL import Image
    return numpy.array(Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def write_batch(folder, model):
    """All rows as PyTorch takes them: ids cut at the longest caption, pixels, what the frozen reference says, nearest-safe targets."""
    import numpy
    import torch
    from safetensors.torch import save_file
    from torch.nn.functional import normalize
    from transformers import CLIPModel, CLIPTokenizerFast
    weights = folder / f"weights-{model}"
    clip, tokenizer = CLIPModel.from_pretrained(weights).eval(), CLIPTokenizerFast.from_pretrained(weights)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()][:BATCH[model]]
    captions = {kind: [tokenizer(row[f"{kind}_caption"]).input_ids for row in rows] for kind in KINDS}
    length = -(-max(len(ids) for of_kind in captions.values() for ids in of_kind) // 8) * 8
    side, out = clip.config.vision_config.image_size, {}
    for kind in KINDS:
        ids = torch.tensor([found + [0] * (length - len(found)) for found in captions[kind]])
        pixels = torch.from_numpy(numpy.stack([picture(folder / row[f"{kind}_image"], side) for row in rows]))
        out[f"{kind}_ids"], out[f"{kind}_pixels"] = ids, pixels
        with torch.no_grad():
            out[f"reference_{kind}_text"], out[f"reference_{kind}_image"] = embed(clip, ids, normalised(pixels))
    nearest = (normalize(out["reference_unsafe_text"]) @ normalize(out["reference_safe_text"]).T).argmax(1)
    out["target_text"], out["target_image"] = out["reference_safe_text"][nearest], out["reference_safe_image"][nearest]
    save_file({k: v.contiguous() for k, v in out.items()}, folder / f"batch-{model}.safetensors")


def ours(a, folder, model, method):
    shutil.rmtree(folder / "runs" / f"{model}-{method}-{PROCESSES}-1", ignore_errors=True)
    return steps_of(a, folder, model, method, PROCESSES, 1)


def ddp(a, folder, model, method, form):
    out = folder / "ddp.json"
    worker = pathlib.Path(__file__).with_name("ddp_step.py")
    launch([sys.executable, worker, folder / f"weights-{model}", folder / f"batch-{model}.safetensors", method, out,
            "--steps", a.steps, *FORMS[form]], folder, PROCESSES)
    return json.loads(out.read_text())


def busy():
    """Seconds that the processors worked or were taken away, since the machine started."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting for disks


def own_use():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def others_share(work, *arguments):
    """What `work` returns, and the share of the processors that other programs had meanwhile."""
    began, others = time.monotonic(), busy() - own_use()
    result = work(*arguments)
    return result, max(0.0, busy() - own_use() - others) / (time.monotonic() - began) / os.cpu_count()


class Quiet:
    """Runs of one setting, repeated while others disturb them."""

    def __init__(self, a):
        self.limit, self.ends, self.worst, self.repeated = a.disturbed, time.monotonic() + a.patience, 0.0, 0

    def run(self, work, *arguments):
        while True:
            while time.monotonic() < self.ends and others_share(time.sleep, 2)[1] > self.limit:
                pass
            result, share = others_share(work, *arguments)
            if share <= self.limit or time.monotonic() > self.ends:
                self.worst = max(self.worst, share)
                return result, share
            self.repeated += 1


def compare(a, folder, model, method):
    rates = {name: [] for name in ("saferclip", *FORMS)}
    losses, apart, quiet = {}, 0.0, Quiet(a)

    def add(name, steps, loss, share):
        losses[name] = loss
        rates[name].append(warm(steps))
        print(f"{model}, {method}, {name}: {statistics.median(warm(steps)):.2f}, others {share:.1%}", file=sys.stderr, flush=True)
    for _ in range(a.rounds):
        lines, share = quiet.run(ours, a, folder, model, method)
        add("saferclip", [line["quadruplets_per_s"] for line in lines], lines[0]["loss"], share)
        for form in FORMS:
            found, share = quiet.run(ddp, a, folder, model, method, form)
            apart = max(apart, found["gradient_apart"])
            add(form, [BATCH[model] / seconds for seconds in found["seconds"]], found["first_loss"], share)
    if max(losses.values()) - min(losses.values()) > 1e-4 * abs(losses["DDP"]):
        raise SystemExit(f"{model}, {method}: the first losses differ: {losses}")
    medians = {name: statistics.median(sum(of_rounds, [])) for name, of_rounds in rates.items()}
    upper = {name: statistics.quantiles(sum(of_rounds, []), n=10)[-1] for name, of_rounds in rates.items()}
    by_round = {name: [round(statistics.median(steps), 2) for steps in of_rounds] for name, of_rounds in rates.items()}
    faster = max(FORMS, key=medians.get)
    return {"model": model, "method": method, "batch": BATCH[model], "processes": PROCESSES, "threads": 1, "steps": a.steps,
            "quadruplets_per_s": {name: round(rate, 2) for name, rate in medians.items()}, "by_round": by_round, "faster": faster,
            "ratio": round(medians["saferclip"] / medians[faster], 3),
            "upper": {name: round(rate, 2) for name, rate in upper.items()},
            "upper_ratio": round(upper["saferclip"] / max(upper[form] for form in FORMS), 3),
            "ratio_by_round": [round(ours / theirs, 3) for ours, theirs in zip(by_round["saferclip"], by_round[faster])],
            "others": round(quiet.worst, 3), "repeated": quiet.repeated, "first_loss": losses, "gradient_apart": apart}


def markdown(rows):
    names = " | ".join(rows[0]["quadruplets_per_s"])
    lines = [f"| model, method | batch | {names} | ratio to the faster | by round | ratio, upper | others |", "|---" * 9 + "|"]
    for row in rows:
        cells = [f"{row['model']}, {row['method']}", str(row["batch"]), *(f"{rate:.4g}" for rate in row["quadruplets_per_s"].values()),
                 f"{row['ratio']:.2f}", ", ".join(f"{ratio:.2f}" for ratio in row["ratio_by_round"]), f"{row['upper_ratio']:.2f}",
                 f"{row['others']:.1%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["demo", "b32"], choices=list(BATCH))
    parser.add_argument("--methods", nargs="+", default=["lora", "full"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--disturbed", type=float, default=0.05)
    parser.add_argument("--patience", type=float, default=600, help="seconds for each model and method")
    parser.add_argument("--program", default=ROOT / "build/release/saferclip")
    a = parser.parse_args()
    a.program = os.path.abspath(a.program)
    result = []
    for model in a.models:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_world(folder, BATCH[model])
            make_base(a, folder, model)
            write_batch(folder, model)
            for method in a.methods:
                result.append(compare(a, folder, model, method))
                print(json.dumps(result[-1]), file=sys.stderr, flush=True)
    print(json.dumps(result, indent=2))
    print(markdown(result))


if __name__ == "__main__":
    main()
