"""Pictures from file bytes to a tower's 224 x 224 pixels beside Pillow and torchvision: one core each, pixels compared.

    .venv-open-clip/bin/python tests/bench/pictures.py [--kinds jpeg_vga jpeg_12mp png_vga] [--repeats 7] [--rows 600]

Pillow's side is CLIP's transform: Image.open, convert("RGB"), Resize(224, bicubic), CenterCrop(224). Both read from memory,
one process a measurement. OpenCV's own resize (area, all of the picture) stands beside as a reference; it gives other pixels.
--rows also decodes that many copies of the VGA JPEG as `prepare` does, with one thread and with two. JSON on stdout, a
table on stderr.
"""
import argparse
import io
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = {  # format, width, height, pictures a repetition
    "jpeg_vga": ("JPEG", 640, 480, 40),
    "jpeg_12mp": ("JPEG", 4000, 3000, 2),
    "png_vga": ("PNG", 640, 480, 40),
}


def photograph(width, height, seed=1):
    """Noise with a photograph's spectrum (amplitude 1 / frequency) and a little of a sensor's."""
    import numpy
    from PIL import Image
    rng = numpy.random.default_rng(seed)
    fy, fx = numpy.fft.fftfreq(height)[:, None] * height, numpy.fft.rfftfreq(width)[None] * width
    planes = []
    for _ in range(3):
        phases = numpy.fft.rfft2(rng.standard_normal((height, width)))
        planes.append(numpy.fft.irfft2(phases / numpy.maximum(1, numpy.hypot(fy, fx)) ** 1.2, (height, width)))
    planes = numpy.stack([plane / plane.std() for plane in planes], -1)
    colours = planes @ numpy.array([[1, 1, 1], [0.2, 0, -0.2], [0.1, -0.2, 0.1]])  # brightness varies most
    pixels = 128 + 50 * colours + rng.standard_normal(colours.shape) * 2
    return Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))


def make(kind, file):
    form, width, height, _ = KINDS[kind]
    photograph(width, height).save(file, form, **(dict(quality=90, subsampling=2) if form == "JPEG" else {}))


def run_pillow(file, times, repeats, folder):
    import numpy
    import torch
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
    torch.set_num_threads(1)
    data = file.read_bytes()
    fit = Compose([Resize(224, InterpolationMode.BICUBIC), CenterCrop(224)])

    def decode():
        return Image.open(io.BytesIO(data)).convert("RGB")

    def seconds_of(work):
        seconds = []
        for _ in range(repeats + 2):
            began = time.perf_counter()
            for _ in range(times):
                work()
            seconds.append((time.perf_counter() - began) / times)
        return seconds[2:]
    decoded = decode()
    numpy.asarray(decoded).tofile(folder / "decoded.pillow")
    numpy.asarray(fit(decoded)).tofile(folder / "square.pillow")
    print(json.dumps(dict(whole_s=seconds_of(lambda: fit(decode())), decode_s=seconds_of(decode), resize_s=seconds_of(lambda: fit(decoded)))))


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(seconds):
    return dict(median_s=statistics.median(seconds), min_s=min(seconds), max_s=max(seconds))


def equality(folder, name):
    import numpy
    own, theirs = (numpy.fromfile(folder / f"{name}.{side}", numpy.uint8).astype(numpy.int16) for side in ("rgb", "pillow"))
    if own.shape != theirs.shape:
        return dict(equal_share=0.0, largest_difference=None)
    return dict(equal_share=float((own == theirs).mean()), largest_difference=int(numpy.abs(own - theirs).max()))


def compare(kind, folder, program, repeats):
    file, times = folder / kind, KINDS[kind][3]
    make(kind, file)
    ours = run([program, "one", file, times, repeats, folder])
    theirs = run([sys.executable, __file__, "--inside", file, "--times", times, "--repeats", repeats, "--folder", folder])
    row = dict(kind=kind, file_bytes=file.stat().st_size)
    for part in ("whole", "decode", "resize"):
        row[part] = dict(saferclip=spread(ours[f"{part}_s"]), pillow=spread(theirs[f"{part}_s"]))
        row[part]["ratio"] = round(row[part]["pillow"]["median_s"] / row[part]["saferclip"]["median_s"], 2)
    row["opencv_resize"] = spread(ours["opencv_resize_s"])
    row["decoded"], row["square"] = equality(folder, "decoded"), equality(folder, "square")
    return row


def compare_threads(count, folder, program, repeats):
    make("jpeg_vga", folder / "one.jpg")
    (folder / "copies").mkdir()
    data, names = (folder / "one.jpg").read_bytes(), []
    for i in range(count):
        names.append(folder / "copies" / f"{i}.jpg")
        names[-1].write_bytes(data)
    (folder / "list").write_text("".join(f"{name}\n" for name in names))
    (folder / "cache").mkdir()
    rates = {}
    for threads in (1, 2):
        seconds = run([program, "rows", folder / "list", threads, repeats, folder / "cache"])["seconds"]
        rates[threads] = dict(median=count / statistics.median(seconds), least=count / max(seconds), most=count / min(seconds))
    return dict(pictures=count, per_second=rates, ratio=round(rates[2]["median"] / rates[1]["median"], 2))


def markdown(rows, threads):
    """The table of docs/lab/performance.md: milliseconds a picture, median (least … most)."""
    def cell(of):
        return f"{of['median_s'] * 1e3:.2f} ({of['min_s'] * 1e3:.2f} … {of['max_s'] * 1e3:.2f})"
    lines = ["| picture | part | saferclip, ms | Pillow, ms | ratio | bytes equal to Pillow's |", "|---|---|---|---|---|---|"]
    for row in rows:
        for part, pixels in (("whole", "square"), ("decode", "decoded"), ("resize", "")):
            equal = f"{row[pixels]['equal_share']:.2%}, worst {row[pixels]['largest_difference']}" if pixels else ""
            lines.append(f"| {row['kind']} | {part} | {cell(row[part]['saferclip'])} | {cell(row[part]['pillow'])} | {row[part]['ratio']:.2f} | {equal} |")
        lines.append(f"| {row['kind']} | OpenCV's resize | {cell(row['opencv_resize'])} | | | |")
    if threads:
        rates = [f"{n} threads {r['median']:.0f} ({r['least']:.0f} … {r['most']:.0f})" for n, r in threads["per_second"].items()]
        lines.append(f"\n`prepare`, {threads['pictures']} VGA JPEGs, pictures a second: {', '.join(rates)}; ratio {threads['ratio']:.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build" / "release" / "tests" / "pictures_bench")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=600, help="pictures for the comparison of threads; 0 leaves it out")
    parser.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_pillow(arguments.inside, arguments.times, arguments.repeats, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = [compare(kind, folder, arguments.program, arguments.repeats) for kind in arguments.kinds]
        threads = compare_threads(arguments.rows, folder, arguments.program, arguments.repeats) if arguments.rows else None
    print(json.dumps(dict(rows=rows, threads=threads), indent=1))
    print(markdown(rows, threads), file=sys.stderr)


if __name__ == "__main__":
    main()
