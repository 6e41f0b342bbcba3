"""Parts of scripts/gpu_check that measure a step by itself: parity with the CPU, share of the device's rate, PyTorch, kernels."""
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/bench"))
from pytorch_step import measure  # noqa: E402

OUT_OF_MEMORY = 6
LONGEST_CAPTION = 24
PROBE = """
import sys, torch, transformers, peft, safetensors
assert sys.argv[1] == "cpu" or torch.cuda.is_available(), "this PyTorch sees no CUDA device"
print(torch.__version__, transformers.__version__)
"""


class OutOfTime(Exception):
    pass


def last_line(text):
    return (text.strip().splitlines() or [""])[-1][-300:]


class StepParts:
    """Mixed into gpu_check's Check, which knows the arguments, the folder, the results and the time left."""

    def bench(self, *words):
        """JSON of device_bench, or None after noting what failed."""
        done = self.execute([self.a.bench, *words])
        if done.returncode == OUT_OF_MEMORY:
            return {"problem": "out of memory"}
        return json.loads(done.stdout) if self.require(done, f"device_bench {words[0]}") and done.stdout else None

    def parity(self, bases):
        """Every block's output, every loss, every block's gradient: the device in fp32 and bf16 beside the CPU in fp32."""
        for model, base in bases.items():
            for method in self.a.methods:
                rows = self.bench("parity", base, 4, method, self.a.device)
                if rows is None or "problem" in rows:
                    continue
                self.result.setdefault("parity", []).append({"model": model, "method": method, "rows": rows})
                for row in rows:
                    for precision in ("fp32", "bf16"):
                        difference, bound = row[precision], row[f"{precision}_bound"]
                        if difference is None or difference > bound:
                            self.failures.append(f"parity {model} {method} {precision}: {row['part']}: "
                                                 f"{'not a number' if difference is None else difference}, bound {bound}")

    def steps_alone(self, bases):
        """The step on one batch in memory: its time, FLOPs, the rate of its products alone, the longest kernels."""
        for model, base in bases.items():
            batch = self.folder / f"{model}.safetensors"
            self.require(self.execute([self.a.bench, "batch", base, self.a.step_batch, LONGEST_CAPTION, batch]), f"batch for {model}")
            for method in self.a.methods:
                entry = {"model": model, "method": method, "batch": self.a.step_batch, "precision": self.a.precision}
                found = self.bench("step", base, batch, method, self.a.precision, self.a.device, *self.a.windows)
                if found is None or "problem" in found:
                    entry |= found or {"problem": "failed"}
                else:
                    longest = found.pop("profile")
                    self.result.setdefault("longest_kernels", []).append({"model": model, "method": method, **longest})
                    seconds = statistics.median(found["seconds"][2:])
                    entry |= found | {"median_s": seconds, "first_loss": found["losses"][0]}
                    entry["share_of_rate"] = found["flops"] / seconds / found["rate"]
                self.result.setdefault("steps_alone", []).append(entry)

    def torch_python(self):
        """A Python whose PyTorch runs on the device, or None after saying why."""
        asked = self.a.torch_python
        tried = [asked] if asked else [] if asked == "" else [ROOT / ".venv/bin/python", sys.executable]
        why = "not asked for"
        for python in tried:
            try:
                done = self.execute([python, "-c", PROBE, self.a.torch_device])
                if done.returncode == 0:
                    self.result["pytorch"] = {"versions": done.stdout.strip(), "python": str(python)}
                    return python
                why = f"{python}: {last_line(done.stderr)}"
            except OSError as error:
                why = f"{python}: {error.strerror}"
        self.result["pytorch"] = {"missing": why}
        return None

    def pytorch(self):
        """The same step by PyTorch: first all eager ones, then the compiled ones, which take longest to start."""
        python = self.torch_python()
        for way in ("eager", "compiled") if python else ():
            for entry in self.result.get("steps_alone", []):
                if "median_s" in entry and way in self.a.torch_ways:
                    self.pytorch_step(python, way, entry)

    def pytorch_step(self, python, way, entry):
        windows, steps = self.a.windows
        command = [python, ROOT / "tests/bench/pytorch_step.py", self.folder / f"weights-{entry['model']}",
                   self.folder / f"{entry['model']}.safetensors", entry["method"], entry["precision"], "--device", self.a.torch_device,
                   "--windows", windows, "--steps", steps, *(["--compile"] if way == "compiled" else [])]
        what = f"PyTorch {way}, {entry['model']} {entry['method']}"
        try:
            found = entry[way] = measure(command, self.time_left())
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        except subprocess.CalledProcessError as error:
            entry[way] = {"problem": last_line(error.stderr)}
            self.result.setdefault("notes", []).append(f"{what}: {entry[way]['problem']}")
            return
        found["time_ratio"] = found["median_s"] / entry["median_s"]
        difference = abs(found["first_loss"] - entry["first_loss"]) / abs(entry["first_loss"])
        if not difference <= (2e-2 if entry["precision"] == "bf16" else 1e-4):
            self.failures.append(f"{what}: its first loss differs by {difference:.1e}")


def parity_lines(result):
    """For each model and method the part that differs most, of outputs, losses and gradients."""
    if "parity" not in result:
        return []
    lines = ["", "largest relative difference from the CPU in fp32", f"{'model':<12}{'trained':<9}{'':<12}{'fp32':>10}{'bf16':>10}"
             f"{'CPU bf16':>10}  where (fp32; bf16)"]
    for e in result["parity"]:
        for kind, words in (("outputs", ("output", "embeddings")), ("losses", ("loss", "term")), ("gradients", ("gradient",))):
            rows = [row for row in e["rows"] if row["part"].startswith(words)]
            worst = {p: max(rows, key=lambda row: row.get(p) or 0) for p in ("fp32", "bf16", "cpu_bf16")}
            figures = "".join(f"{number(worst[p].get(p), '.1e'):>10}" for p in worst)
            lines.append(f"{e['model']:<12}{e['method']:<9}{kind:<12}{figures}  {worst['fp32']['part']}; {worst['bf16']['part']}")
    return lines


def number(value, form):
    return "-" if value is None else format(value, form)


def alone_lines(result):
    """The step by itself: share of the rate, and PyTorch beside it."""
    if "steps_alone" not in result:
        return []
    lines = ["", "the step alone, one batch in memory; share: FLOPs a second of those that its products reach alone",
             f"{'model':<12}{'trained':<9}{'batch':>6}{'':>6}{'s a step':>11}{'TFLOP':>9}{'TFLOP/s':>9}{'alone':>9}{'share':>7}"
             f"{'eager s':>10}{'ratio':>7}{'compiled s':>12}{'ratio':>7}"]
    for e in result["steps_alone"]:
        begin = f"{e['model']:<12}{e['method']:<9}{e['batch']:>6}{e['precision']:>6}"
        if "median_s" not in e:
            lines.append(f"{begin}  {e['problem']}")
            continue
        ways = "".join(f"{number(e.get(way, {}).get('median_s'), '.4f'):>{width}}{number(e.get(way, {}).get('time_ratio'), '.2f'):>7}"
                       for way, width in (("eager", 10), ("compiled", 12)))
        tera = e["flops"] / 1e12
        lines.append(f"{begin}{e['median_s']:>11.4f}{tera:>9.3g}{tera / e['median_s']:>9.3g}{e['rate'] / 1e12:>9.3g}"
                     f"{e['share_of_rate']:>7.0%}{ways}")
    if "missing" in result.get("pytorch", {}):
        lines.append(f"no PyTorch beside it: {result['pytorch']['missing']}")
    return lines


def kernel_lines(result):
    lines = []
    for e in result.get("longest_kernels", []):
        lines += ["", f"{e['model']} {e['method']}: longest {e['of']}", f"{'ms a step':>10}{'share':>7}{'calls':>8}  name"]
        lines += [f"{k['seconds_a_step'] * 1e3:>10.3f}{k['share']:>7.1%}{k['calls_a_step']:>8.0f}  {k['name'][:90]}" for k in e["longest"]]
    return lines
