"""The examples do what their page says: the world is made, tuning makes it safe and keeps the rest, clients read the export.

    examples.py --program build/release/saferclip [--clients]

--clients also runs what needs numpy and transformers.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run(*command):
    result = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        raise SystemExit(f"{command}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def check(condition, what):
    if not condition:
        raise SystemExit(f"not so: {what}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--clients", action="store_true")
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    # So small a model gains nothing from a second thread.
    os.environ |= {"SAFERCLIP": program, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    with tempfile.TemporaryDirectory() as folder:
        world = pathlib.Path(folder) / "tiny"
        run(sys.executable, EXAMPLES / "make_tiny_world.py", world, "--program", program)
        own = world / "own.yaml"
        own.write_text((EXAMPLES / "own_model.yaml").read_text().replace("my-clip ", "base ").replace("rows.jsonl", "train.jsonl"))
        run(program, "config", "check", own)
        safe = world / "safe"
        said = run(EXAMPLES / "tune_own_model.sh", world / "tune.yaml", safe)
        check(f"safe model: {safe}/model" in said, "the script names the model")
        again = run(EXAMPLES / "tune_own_model.sh", world / "tune.yaml", safe)
        check(f"safe model: {safe}/model" in again, "the script can be run again")
        result = json.loads((safe / "result.json").read_text())
        before, after = (result[side]["unsafe_top1"]["text"] for side in ("before", "after"))
        check(before > 80 and after < 40, f"unsafe texts are redirected: {before} -> {after}")
        kept = result["after"]["retrieval"]["text_to_image"]["r@1"]
        check(kept > 80, f"safe texts find their pictures: {kept}")
        check("<html" in (safe / "report.html").read_text()[:500].lower(), "the page is HTML")
        if not arguments.clients:
            return
        pictures = world / "images/validation"
        query = ("--images", pictures, "--text", "a red cross on sea", "--top", 1)
        first = run(sys.executable, EXAMPLES / "embed_and_search.py", world / "base", *query)
        check("red_cross_sea" in first, f"before, the cross is found: {first}")
        first = run(sys.executable, EXAMPLES / "embed_and_search.py", safe / "model", *query)
        check("_disk_" in first, f"after, a disk is found: {first}")
        said = run(sys.executable, EXAMPLES / "use_export.py", safe / "model", "--images", pictures / "blue_disk_sand_0.png",
                   "--texts", "a red disk on sea", "a blue disk on sand")
        check("blue_disk_sand_0.png: a blue disk on sand" in said, said)


main()
