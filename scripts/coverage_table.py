"""Share of lines the tests run, per room, from a build with --coverage. Fails if any room is below 80 %.

    scripts/coverage_table.py BUILD
"""
import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LEAST = 80


def main():
    out = subprocess.run([sys.executable, "-m", "gcovr", "--root", ROOT, "--filter", f"{ROOT}/src/", "--filter", f"{ROOT}/include/",
                          "--json-summary", "-", "--merge-mode-functions", "merge-use-line-min", "--exclude-throw-branches", sys.argv[1]],
                         check=True, capture_output=True, text=True).stdout
    rooms = collections.defaultdict(lambda: [0, 0])
    for file in json.loads(out)["files"]:
        parts = pathlib.Path(file["filename"]).parts
        room = parts[1] if parts[0] == "src" else parts[2]
        rooms[room][0] += file["line_covered"]
        rooms[room][1] += file["line_total"]
    low = []
    print("| room | lines | covered |\n|---|---|---|")
    for room, (covered, lines) in sorted(rooms.items()):
        print(f"| {room} | {lines:,} | {100 * covered / lines:.1f} % |")
        low += [room] if 100 * covered < LEAST * lines else []
    covered, lines = (sum(values[i] for values in rooms.values()) for i in (0, 1))
    print(f"| all | {lines:,} | {100 * covered / lines:.1f} % |")
    if low:
        sys.exit(f"coverage below {LEAST} %: {', '.join(low)}")


main()
