"""Checks that whatever documentation names exists: links, anchors, files, versions.

    check_docs.py [REPOSITORY]
"""
import pathlib
import re
import sys

from repository_files import repository_files

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"\b(?:docs|scripts|configs|tests|examples|src|include)/[\w./-]*\w\.(?:md|svg|png|py|cpp|h|yaml|json|sbatch|txt|tsv)\b")
CODE = re.compile(r"`([^`\n]+)`")
EXAMPLES = {"configs/a.yaml"}  # stands for the reader's own
PLACEHOLDER = re.compile(r"(?<![A-Za-z])[A-Z]{3,}\.")  # cmd_NAME.cpp


def slug(heading):
    """GitHub's anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def without_blocks(text):
    return re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text, flags=re.S | re.M)


def anchors(path):
    return {slug(m[1]) for m in re.finditer(r"^#+ (.+)$", without_blocks(path.read_text()), re.M)}


def check_links(root, path, problems):
    text = without_blocks(path.read_text())
    for match in LINK.finditer(text):
        target, _, anchor = match[1].partition("#")
        if re.match(r"[a-z]+:", match[1]):
            continue
        where = f"{path.relative_to(root)}:{text[:match.start()].count(chr(10)) + 1}"
        other = (path.parent / target).resolve() if target else path
        if not other.exists():
            problems.append(f"{where}: link to a missing file, {match[1]}")
        elif anchor and other.suffix == ".md" and anchor not in anchors(other):
            problems.append(f"{where}: {other.relative_to(root)} has no heading #{anchor}")


def check_named(root, relative, problems):
    text = (root / relative).read_text(errors="replace")
    rooms = {p.name for p in (root / "src").iterdir() if p.is_dir()}
    for number, line in enumerate(text.splitlines(), 1):
        for name in NAMED.findall(line):
            near = (root / relative).parent / name
            if not (root / name).exists() and not near.exists() and name not in EXAMPLES and \
                    (not PLACEHOLDER.search(name) or "README." in name):
                problems.append(f"{relative}:{number}: names a missing file, {name}")
        if relative.endswith(".md"):
            for code in CODE.findall(line):
                room = re.fullmatch(r"(\w+)/(\w+\.(?:h|cpp))", code)
                if room and room[1] in rooms and not any((root / p / code).exists() for p in ("src", "include/saferclip")):
                    problems.append(f"{relative}:{number}: names a missing file, {code} (neither in src nor include/saferclip)")


def check_version(root, problems):
    """CMakeLists.txt states the version; what cannot read it there must agree."""
    version = re.search(r"project\(saferclip VERSION ([\d.]+)", (root / "CMakeLists.txt").read_text())[1]
    cited = re.search(r"^version: \"?([\d.]+)", (root / "CITATION.cff").read_text(), re.M)[1]
    if cited != version:
        problems.append(f"CITATION.cff: version is {cited}, but {version} in CMakeLists.txt")
    changes = (root / "CHANGELOG.md").read_text()
    if not re.search(rf"^## \[.*\b{re.escape(version)}\b", changes, re.M):
        problems.append(f"CHANGELOG.md: no heading for {version}, the version in CMakeLists.txt")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    names = repository_files(root)
    problems = []
    for name in names:
        if name.startswith(("tests/fixtures/", "tests/fuzz/seeds/")):
            continue
        if name.endswith(".md"):
            check_links(root, root / name, problems)
        if pathlib.Path(name).suffix in {".md", ".py", ".cpp", ".h", ".yaml", ".txt", ".sbatch", ".toml", ""}:
            check_named(root, name, problems)
    check_version(root, problems)
    print("\n".join(problems) or f"{sum(n.endswith('.md') for n in names)} pages: every link, file and version exists")
    sys.exit(bool(problems))


main()
