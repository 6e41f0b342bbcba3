"""Checks includes: the order of the rooms, and which files may include which library.

    check_layers.py [REPOSITORY]
"""
import pathlib
import re
import sys

ROOMS = {
    "core": set(),
    "io": {"core"},
    "text": {"core"},
    "image": {"core"},
    "nn": {"core"},
    "eval": {"core"},
    "objective": {"core"},
    "distributed": {"core"},
    "model": {"core", "nn"},
    "weights": {"core", "io", "text", "image", "model"},
    "data": {"core", "io"},
    "prepare": {"core", "io", "text", "image", "model", "weights", "data", "objective", "distributed"},
    "train": {"core", "io", "nn", "model", "weights", "data", "objective", "distributed"},
    "evaluate": {"core", "io", "image", "model", "weights", "data", "prepare", "eval", "objective", "distributed"},
    "export": {"core", "io", "text", "image", "model", "weights"},
    "report": {"core", "io", "eval"},
    "config": {"core", "io"},
}
ROOMS["run"] = set(ROOMS)
ROOMS["cli"] = set(ROOMS)
# library header pattern -> where it may be included
LIBRARIES = {
    r"opencv2/": r"src/image/",
    r"webp/": r"src/image/",
    r"jpeglib\.h": r"src/image/jpeg\.cpp",
    r"spdlog/": r"src/core/log\.cpp",
    r"yaml-cpp/": r"src/io/",
    r"CLI/": r"src/cli/",
    r"sentencepiece": r"src/text/sentencepiece_tokenizer\.cpp",
    r"unicode/": r"src/text/unicode\.cpp",
    r"openssl/": r"src/core/hash\.cpp",
    r"gloo/|.*ProcessGroupGloo": r"src/distributed/gloo\.cpp",
    r"nccl\.h$|cuda|ATen/cuda/|c10/cuda/|.*ProcessGroupNCCL|.*NCCLUtils": r"src/distributed/nccl\.cpp",
    r"torch/csrc/distributed/": r"src/distributed/",
    r"torch/torch\.h": r"(?!)",
}
MAX_LINES = 360
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def room_of(path):
    parts = path.parts
    return parts[2] if parts[0] == "include" else parts[1]


def target_room(include):
    parts = include.split("/")
    if parts[0] == "saferclip" and len(parts) == 3:
        return parts[1]
    return parts[0] if parts[0] in ROOMS and len(parts) == 2 else None


def check_file(root, path, problems):
    relative = path.relative_to(root)
    room = room_of(relative)
    lines = path.read_text().splitlines()
    if len(lines) > MAX_LINES:
        problems.append(f"{relative}: {len(lines)} lines; the limit is {MAX_LINES}")
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        include, where = match.group(1), f"{relative}:{number}"
        other = target_room(include)
        is_options = include.endswith("_options.h")
        if other and other != room and other not in ROOMS[room] and not (room == "config" and is_options):
            problems.append(f"{where}: {room} may not include {other} ({include})")
        for pattern, allowed in LIBRARIES.items():
            if re.match(pattern, include) and not re.match(allowed, str(relative)):
                problems.append(f"{where}: {include} may not be included in this file")
        if relative.parts[0] == "include" and include.startswith("ATen/") and include != "ATen/core/Tensor.h":
            problems.append(f"{where}: a public header may include only ATen/core/Tensor.h from ATen")


def check_page(root, problems):
    """docs/architecture.md states the same order: lines `room  what it holds  → rooms`."""
    block = re.search(r"^```rooms\n(.*?)^```", (root / "docs/architecture.md").read_text(), re.S | re.M)
    stated = {}
    for line in block[1].splitlines() if block else []:
        name, _, rooms = line.partition("→")
        if rooms.strip() in ("all", "all but cli"):
            stated[name.split()[0]] = set(ROOMS) - {"run", "cli"}
        else:
            stated[name.split()[0]] = {r for r in re.findall(r"\w+", rooms) if r in ROOMS}
    for room in sorted(set(ROOMS) | set(stated)):
        if stated.get(room) != ROOMS.get(room, set()) - {"run", "cli"}:
            problems.append(f"docs/architecture.md: the line for {room} in the table differs from ROOMS in scripts/check_layers.py")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = [p for folder in ("include/saferclip", "src") for p in sorted((root / folder).rglob("*")) if p.suffix in (".h", ".cpp")]
    rooms = {room_of(p.relative_to(root)) for p in files}
    problems = [f"room {room} has no files" for room in ROOMS if room not in rooms]
    problems += [f"room {room} is missing from ROOMS" for room in rooms if room not in ROOMS]
    for path in files:
        if room_of(path.relative_to(root)) in ROOMS:
            check_file(root, path, problems)
    check_page(root, problems)
    print("\n".join(problems) or f"{len(files)} files in {len(rooms)} rooms: every include is allowed")
    sys.exit(bool(problems))


main()
