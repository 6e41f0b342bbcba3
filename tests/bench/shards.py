"""`prepare` of images in tar shards beside the same images as loose files: images a second and peak memory.

    .venv/bin/python tests/bench/shards.py [--rows 10000 100000] [--repeats 3] [--folder DIR] [--program PATH]

JPEGs of 256 x 256 (about 13 KB), 10,000 a shard, one caption each; a model without weights, so that nothing is embedded. Both
sides alternate, each with an empty cache; the page cache is warm. Needs 30 KB of disk a row. JSON on stdout, a table on stderr.
"""
import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

from pictures import photograph

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from world import tower, write_tokenizer  # noqa: E402

A_SHARD = 10_000
KINDS = 200  # different pictures; each file has a comment of its own


def jpegs():
    files = []
    for seed in range(KINDS):
        out = io.BytesIO()
        photograph(256, 256, seed).save(out, "JPEG", quality=85)
        files.append(out.getvalue())
    return files


def with_comment(jpeg, text):
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def write_rows(folder, rows, files):
    """Both forms of the first `rows` rows; shards that are there stay."""
    loose, shards = folder / "loose", folder / "shards"
    for path in (loose, shards):
        path.mkdir(exist_ok=True)
    with (folder / f"rows{rows}.jsonl").open("w") as manifest:
        for shard in range(0, rows, A_SHARD):
            tar_path = shards / f"{shard // A_SHARD:05}.tar"
            tar = None if tar_path.exists() else tarfile.open(tar_path, "w", format=tarfile.USTAR_FORMAT)
            (loose / f"{shard // A_SHARD:05}").mkdir(exist_ok=True)
            for i in range(shard, shard + A_SHARD):
                name, caption = f"{shard // A_SHARD:05}/{i:09}.jpg", f"picture number {i}"
                manifest.write(json.dumps(dict(id=str(i), safe_caption=caption, safe_image=name)) + "\n")
                if tar is None:
                    continue
                data = with_comment(files[i % KINDS], str(i))
                (loose / name).write_bytes(data)
                for ending, content in (("jpg", data), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{i:09}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            if tar is not None:
                tar.close()


def prepare(program, folder, form, rows):
    """Seconds and peak bytes of `prepare` with an empty cache."""
    last = rows // A_SHARD - 1
    data = f"{folder}/rows{rows}.jsonl" if form == "loose" else f"{folder}/shards/{{00000..{last:05}}}.tar"
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        words = [program, "prepare", folder / "config.yaml", "--set", f"data.train={data}", "--set", f"data.cache_dir={cache}",
                 *(("--set", f"data.image_root={folder}/loose") if form == "loose" else ()), "--log-level", "error"]
        began = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"{words}: status {status}")
        return time.monotonic() - began, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--program", default=ROOT / "build/release/saferclip")
    options = parser.parse_args()
    if any(rows % A_SHARD for rows in options.rows):
        parser.error(f"--rows: whole shards, multiples of {A_SHARD}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = pathlib.Path(name)
        write_tokenizer(folder / "tokenizer")
        (folder / "model.json").write_text(json.dumps(dict(
            model_type="clip", projection_dim=8, text_config=tower(max_position_embeddings=16, vocab_size=514),
            vision_config=tower(image_size=64, patch_size=16))))
        (folder / "config.yaml").write_text("model: {init: model.json, tokenizer: tokenizer, train_logit_scale: true, train_projections: true}\nobjective: {name: clip}\nadapter: {method: full}\n"
                                            "run: {name: none}\n")
        files, results = jpegs(), []
        for rows in options.rows:
            write_rows(folder, rows, files)
            measured = {"loose": [], "shards": []}
            for _ in range(options.repeats):
                for form, values in measured.items():
                    values.append(prepare(options.program, folder, form, rows))
            speed = {form: rows / statistics.median(seconds for seconds, _ in values) for form, values in measured.items()}
            memory = {form: max(peak for _, peak in values) for form, values in measured.items()}
            results.append(dict(rows=rows, images_per_s=speed, peak_bytes=memory, ratio=speed["shards"] / speed["loose"]))
            print(f"{rows:>8} rows: loose {speed['loose']:6.0f}, shards {speed['shards']:6.0f} images/s, ratio {results[-1]['ratio']:.2f}; "
                  f"peak {memory['loose'] >> 20} and {memory['shards'] >> 20} MiB", file=sys.stderr)
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
