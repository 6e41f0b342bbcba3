"""Commands in the documentation exist: each `saferclip COMMAND --option` of a code block is one that the program has, each
script and configuration is there, and each table of commands is complete.

    commands.py --program build/release/saferclip
"""
import argparse
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]


def code_lines(text):
    """Lines of code blocks that hold commands, continued lines joined; and code spans."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M):
        if language in ("", "sh", "bash", "console"):
            yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M))


def help_of(program, *command):
    result = subprocess.run([program, *command, "--help"], text=True, capture_output=True)
    return result.stdout if result.returncode == 0 else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    program = parser.parse_args().program
    top = help_of(program)
    commands = re.findall(r"^  (\w+)  +", top.split("Subcommands:")[1], re.M)
    helps = {c: help_of(program, c) + top for c in commands}
    for part in ("show", "check", "keys"):
        helps["config"] += help_of(program, "config", part)
    problems, seen = [], 0
    for page in PAGES:
        for line in code_lines((ROOT / page).read_text()):
            match = re.match(r"(?:\$ )?(?:build/release/)?saferclip(?: +--[\w-]+(?: \w+)?)* +(\w+)(.*)", line)
            if match:
                seen += 1
                command, rest = match.groups()
                if command not in commands:
                    problems.append(f"{page}: no command {command}: {line}")
                    continue
                for option in re.findall(r"(?<!\S)(--[a-z][\w-]*)", rest.split("#")[0]):
                    if not re.search(rf"{option}(?![\w-])", helps[command]):
                        problems.append(f"{page}: {command} has no {option}: {line}")
            words = line.split("#")[0]
            try:
                words = shlex.split(words)
            except ValueError:
                words = words.split()
            for word in words:
                if re.match(r"(\./)?(scripts|examples|configs)/[\w./-]+$", word) and not (ROOT / word).exists() and \
                        not re.search(r"\b[A-Z]{3,}\.", word):
                    problems.append(f"{page}: no file {word}: {line}")
    readme = (ROOT / "README.md").read_text()
    for command in set(commands) - {"help", "version"}:
        if not re.search(rf"^\|.*`{command}`", readme, re.M):
            problems.append(f"README.md: no row of a table names `{command}`")
    print("\n".join(problems) or f"{seen} commands in {len(PAGES)} pages are the program's")
    sys.exit(bool(problems) or not seen)


main()
