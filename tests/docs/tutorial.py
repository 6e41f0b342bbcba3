"""The tutorial is true: its commands run in order, and each prints what the page shows.

    tutorial.py --program build/release/saferclip [--update] [--page docs/tutorial.md]

Without transformers in the Python that runs it, commands that start with `python ` are left out. In the page:

- a `console` block holds commands (`$ COMMAND`, continued by a backslash) and below each its screen;
- a `yaml` or `python` block whose first line is `# NAME` is written to the file NAME;
- `...` alone on a line of a screen stands for any lines.

A screen must show all of the command's standard output, and each line of standard error that is no log line (`I …`), so a
warning has to be shown; log lines may be. Numbers, times, sizes, hashes, absolute paths and widths of gaps match others of
their kind; words must be equal. `next:` lines on standard error may be left out. --update writes the screens of this run into
the page and keeps what `...` shortens.
"""
import argparse
import functools
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(console|yaml|python)\n(.*?)^```$", re.S | re.M)
CLIENTS = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "PIL"))
HOME = "/home/me"  # stands for the folder in which the commands ran
KINDS = [(r"(?<![\w./])/[\w.+-]+(?:/[\w.+-]*)+", "/path"),
         (r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b", "hash"),
         (r"\b(?:bf16|fp16|fp32)\b", "precision"),
         (r"[\d.]+ (?:s/step|steps/s)", "rate"),
         (r"\b(?:\d+h )?(?:\d+m )?[\d.]+ ?m?s\b", "time"),
         (r"\b[\d.,]+ (?:[KMGT]iB|B)\b", "size"),
         (r"(?<![\w@.])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "0"),
         (r"\s+", " ")]


def kind_of(line):
    for pattern, kind in KINDS:
        line = re.sub(pattern, kind, line)
    return line.strip()


def align(shown, printed, whole):
    """For each shown line its index in `printed` (None for `...`); whole: all printed lines are to be shown. None: no match."""
    @functools.lru_cache(maxsize=None)
    def rest(i, j):
        if i == len(shown):
            return () if j == len(printed) or not whole else None
        if shown[i] == "...":
            found = (rest(i + 1, k) for k in range(j, len(printed) + 1))
            return next(((None, *f) for f in found if f is not None), None)
        for k in range(j, min(j + 1, len(printed)) if whole else len(printed)):
            if kind_of(shown[i]) == kind_of(printed[k]):
                found = rest(i + 1, k + 1)
                if found is not None:
                    return (k, *found)
        return None
    return rest(0, 0)


def is_log(line):
    return re.match(r"[IWE] ", line) is not None


def is_next(line):
    return line.startswith("next:")


class Screens:
    def __init__(self, folder, program):
        self.folder, self.here, self.problems = folder, folder / "me", []
        self.here.mkdir()
        (folder / "bin").mkdir()
        (self.here / "examples").symlink_to(ROOT / "examples")
        for name, target in (("saferclip", program), ("python", sys.executable), ("python3", sys.executable)):
            (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{target}" "$@"\n')
            (folder / "bin" / name).chmod(0o755)
        # So small a model gains nothing from a second thread.
        # The same screens on every machine: no card, and no bf16.
        self.environment = os.environ | {
            "CUDA_VISIBLE_DEVICES": "", "ONEDNN_MAX_CPU_ISA": "AVX2",
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "LC_ALL": "C.UTF-8"}

    def run(self, command):
        state = self.folder / "here"
        script = f"{command}\nstatus=$?; pwd > '{state}'; exit $status"
        done = subprocess.run(["bash", "-c", script], cwd=self.here, env=self.environment, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"$ {command}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        self.here = pathlib.Path(state.read_text().rstrip("\n"))
        return [[line.replace(str(self.folder / "me"), HOME).rstrip() for line in text.splitlines()]
                for text in (done.stdout, done.stderr)]

    def compare(self, command, shown):
        """Returns the screen to be shown."""
        if command.startswith("python ") and not CLIENTS:
            print(f"left out, for want of transformers: {command}")
            return shown
        out, err = self.run(command)
        log_shown = [line for line in shown if is_log(line)]
        out_shown = [line for line in shown if not is_log(line)]
        if not any(is_next(line) for line in out_shown):
            out = [line for line in out if not is_next(line)]
        places, log_places = align(out_shown, strip_end(out), True), align(log_shown, err, False)
        silent = [line for line in err if re.match(r"[WE] ", line) and kind_of(line) not in map(kind_of, log_shown)]
        if places is None or log_places is None or silent:
            printed = [line for line in err if is_log(line) and not line.startswith("I ")] + strip_end(out)
            self.problems.append("\n".join([f"$ {command}", "--- the page shows", *shown, "--- printed", *printed,
                                            *(["--- log lines", *err] if log_places is None else [])]))
            return [*silent, *strip_end(out)]
        lines, logs = iter(places), iter(log_places)
        result = []
        for line in shown:
            place = next(logs if is_log(line) else lines)
            result.append(line if place is None else (err if is_log(line) else strip_end(out))[place])
        return result

    def console(self, text):
        commands = re.split(r"^\$ ", text, flags=re.M)
        if commands[0].strip():
            raise SystemExit(f"a console block starts with `$ `:\n{text}")
        result = []
        for part in commands[1:]:
            lines = part.splitlines()
            count = 1
            while lines[count - 1].endswith("\\"):
                count += 1
            command, shown = "\n".join(lines[:count]), lines[count:]
            blank = len(shown) - len(strip_end(shown))
            screen = self.compare(command, strip_end(shown))
            result += ["$ " + command, *screen, *[""] * blank]
        return "".join(line + "\n" for line in result)


def strip_end(lines):
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs/tutorial.md")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    page = arguments.page.read_text()
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        screens = Screens(pathlib.Path(folder).resolve(), pathlib.Path(arguments.program).resolve())

        def do(match):
            nonlocal count
            language, text = match.groups()
            if language == "console":
                count += len(re.findall(r"^\$ ", text, re.M))
                return f"```console\n{screens.console(text)}```"
            name = re.match(r"# ([\w.-]+)\n", text)
            if name:
                (screens.here / name[1]).write_text(text)
            return match[0]

        written = BLOCK.sub(do, page)
    if arguments.update:
        arguments.page.write_text(written)
        print(f"{len(screens.problems)} screens changed their words or lines; look at the page")
        return
    print("\n\n".join(screens.problems) or f"{count} commands print what the page shows")
    sys.exit(bool(screens.problems) or not count)


main()
