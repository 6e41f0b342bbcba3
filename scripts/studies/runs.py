"""What the studies of both worlds share: running the program, reading its figures, figures over seeds."""
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = [42, 1, 2, 3, 4]
W = "objective.weights."
T_95 = {3: 3.18, 4: 2.78}


def weights(**values):
    return [f"{W}{name}={value}" for name, value in values.items()]


def saferclip(program, *arguments):
    """Runs the program with one thread; what it cost: seconds, seconds of CPU, the peak of its memory in MiB."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([program, "--log-level", "error", "--threads", "1", *map(str, arguments)], cwd=ROOT,
                                   env={**os.environ, "GOMP_SPINCOUNT": "1000"}, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"saferclip {' '.join(map(str, arguments))}\n{said.read().decode()}")
    return {"seconds": time.monotonic() - start, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}


def set_all(settings):
    return [word for setting in settings for word in ("--set", setting)]


def look(node, path):
    """The number at a dotted path; none where a model is not compared with itself."""
    for key in path.split("."):
        node = node.get(key) if node else None
    return node


def by_split(path):
    return {document["split"]: document for document in json.loads(path.read_text())}


def spread(values):
    """Mean ± half of the 95 % interval of the mean over seeds (Student's t); of three seeds or fewer the range."""
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    digits = 1 if max(map(abs, values)) > 1.5 else 2
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) < 2 or max(values) == min(values):
        return mean
    if len(values) - 1 not in T_95:
        return f"{mean} ({min(values):.{digits}f} … {max(values):.{digits}f})"
    half = T_95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"
