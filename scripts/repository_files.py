"""The files of the repository: committed ones, and new ones that git does not ignore."""
import os
import subprocess

IGNORED = {".git", ".venv", ".venv-open-clip", "build", "runs", "cache", "demo", "data", "__pycache__"}


def repository_files(root):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True)
    if listed.returncode == 0:
        paths = listed.stdout.decode().split("\0")
    else:  # an unpacked archive
        paths = []
        for folder, inner, names in os.walk(root):
            below = os.path.relpath(folder, root)
            inner[:] = [n for n in inner if n not in IGNORED or below != "." and n != "__pycache__"]
            paths += [os.path.normpath(os.path.join(below, name)) for name in names]
    return sorted({p for p in paths if p and (root / p).is_file()})
