"""Pixels of thousands of pictures against Pillow: decoding, resizing, and the clients' resize-and-crop.

    pixels.py --tool build/release/tests/corpus_tool --corpus FOLDER [--count N]

Lossless files must be equal to the bit; JPEG differences are printed as a histogram of levels.
"""
import argparse
import collections
import itertools
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import numpy
import PIL
from PIL import Image, features

Image.MAX_IMAGE_PIXELS = None
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
LOSSLESS = [("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P+"),
            ("BMP", "RGB"), ("BMP", "L"), ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF+lzw", "RGB"), ("WEBP", "RGB"), ("WEBP", "RGBA")]


class Tool:
    def __init__(self, path):
        self.process = subprocess.Popen([path, "pixels"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        width, height = struct.unpack("<II", self.process.stdout.read(8))
        return numpy.frombuffer(self.process.stdout.read(width * height * 3), numpy.uint8).reshape(height, width, 3)


def random_size(rng):
    """1 to 6000 px a side, all ratios, mostly below 3 megapixels."""
    while True:
        width, height = (int(round(6000 ** rng.random())) for _ in range(2))
        if width * height <= 3_000_000 or (width * height <= 36_000_000 and rng.random() < 0.03):
            return width, height


def content(rng, width, height, channels):
    numbers = numpy.random.default_rng(rng.randrange(2 ** 32))
    kind = rng.randrange(3)
    if kind == 0:
        return numbers.integers(0, 256, (height, width, channels), dtype=numpy.uint8)
    step = rng.choice([2, 5, 16])
    coarse = numbers.integers(0, 256, (height // step + 1, width // step + 1, channels), dtype=numpy.uint8)
    if kind == 1:
        return numpy.ascontiguousarray(coarse.repeat(step, 0).repeat(step, 1)[:height, :width])
    return (numpy.arange(height)[:, None, None] * 3 + numpy.arange(width)[None, :, None] * 2 + coarse[0, 0]).astype(numpy.uint8)


def picture(rng, mode, width, height):
    rgba = Image.fromarray(content(rng, width, height, 4), "RGBA")
    if mode in ("P", "P+"):
        return rgba.convert("RGB").convert("P", palette=Image.Palette.WEB), {"transparency": rng.randrange(200)} if mode == "P+" else {}
    if mode == "RGBA":
        return rgba, {}
    return rgba.convert("RGB").convert(mode), {}


def fitted(image, side, mode, rounding, filter_name):
    """torchvision's (half-even) and transformers' (floor) resize and centre crop, on RGB."""
    filter_ = FILTERS[filter_name]
    if mode == "squash":
        return image if image.size == (side, side) else image.resize((side, side), filter_)
    width, height = image.size
    long = int(side * max(image.size) / min(image.size))
    size = (side, long) if width <= height else (long, side)
    if size != image.size:
        image = image.resize(size, filter_)
    left, top = ((extent - side) // 2 if rounding == "floor" else round((extent - side) / 2) for extent in size)
    return image.crop((left, top, left + side, top + side))


class Tally:
    def __init__(self):
        self.equal = collections.Counter()
        self.different = collections.Counter()
        self.examples = []

    def compare(self, name, own, theirs, what):
        if own.shape == theirs.shape and (own == theirs).all():
            self.equal[name] += 1
            return
        self.different[name] += 1
        if len(self.examples) < 20:
            worst = int(numpy.abs(own.astype(int) - theirs).max()) if own.shape == theirs.shape else None
            self.examples.append(f"{name}: {what}: {own.shape} against {theirs.shape}, largest difference {worst}")

    def show(self):
        for name in sorted(set(self.equal) | set(self.different)):
            print(f"{self.equal[name]:>7,} equal {self.different[name]:>5,} different  {name}")
        print("\n".join(self.examples))


def check_lossless(tool, folder, count, rng, tally):
    for i in range(count):
        form, mode = rng.choice(LOSSLESS)
        width, height = random_size(rng)
        if form == "WEBP" and max(width, height) > 2000:
            continue
        image, options = picture(rng, mode, width, height)
        path = folder / f"x.{form.split('+')[0].lower()}"
        if form == "PNG":
            options["compress_level"] = 1
        if form == "WEBP":
            options |= {"lossless": True, "exact": True, "method": 0, "quality": 0}
        if form == "TIFF+lzw":
            options["compression"] = "tiff_lzw"
        image.save(path, form.split("+")[0], **options)
        rgb = Image.open(path).convert("RGB")
        what = f"{form} {mode} {width}x{height}"
        tally.compare(f"decode {form} {mode}", tool.ask(f"decode {path}"), numpy.asarray(rgb), what)
        target, name = random_size(rng) if rng.random() < 0.3 else (rng.randint(1, 500), rng.randint(1, 500)), rng.choice(list(FILTERS))
        tally.compare(f"resize {name}", tool.ask(f"resize {target[0]} {target[1]} {name} {path}"), numpy.asarray(rgb.resize(target, FILTERS[name])),
                      f"{what} to {target}")
        side, crop, rounding = rng.choice([16, 224, 224, 240, 336, 384]), rng.choice(["shortest", "shortest", "squash"]), rng.choice(["floor", "even"])
        if crop == "shortest" and max(width, height) / min(width, height) * side * side > 30e6:
            continue
        tally.compare(f"fit {crop} {rounding} {name}", tool.ask(f"fit {side} {crop} {rounding} {name} {path}"),
                      numpy.asarray(fitted(rgb, side, crop, rounding, name)), f"{what} to {side}")


def check_clients(tool, folder, count, rng, tally):
    """The clients' own transforms: the normalised fp32 tensor of open_clip, the bytes before normalising of transformers."""
    import torch
    from open_clip.transform import image_transform
    from transformers import CLIPImageProcessor, CLIPImageProcessorPil
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None], torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    path, levels = folder / "client.png", numpy.zeros(256, numpy.int64)
    for i in range(count):
        width, height = (int(round(1500 ** rng.random())) for _ in range(2))
        if max(width, height) > 40 * min(width, height):
            continue
        Image.fromarray(content(rng, width, height, 3)).save(path, compress_level=1)
        image, side = Image.open(path), rng.choice([16, 224, 336])
        mode, name = rng.choice(["shortest", "squash"]), rng.choice(list(FILTERS))
        transform = image_transform(side, is_train=False, resize_mode=mode, interpolation=name)
        own = torch.from_numpy(tool.ask(f"fit {side} {mode} even {name} {path}").copy()).permute(2, 0, 1)
        own = (own.float().div(255) - mean) / std
        tally.compare(f"open_clip's transform, {mode} {name}", own.numpy(), transform(image).numpy(), f"{width}x{height} to {side}")
        own = tool.ask(f"fit {side} shortest floor bicubic {path}")
        for kind in (CLIPImageProcessorPil, CLIPImageProcessor):
            processor = kind(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_normalize=False, do_rescale=False)
            theirs = numpy.asarray(processor(image, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
            if kind is CLIPImageProcessorPil:
                tally.compare("transformers' CLIPImageProcessorPil", own, theirs, f"{width}x{height} to {side}")
            else:
                levels += numpy.bincount(numpy.abs(own.astype(numpy.int16) - theirs).astype(int).ravel(), minlength=256)
    print("transformers' torchvision backend resizes otherwise; samples by levels:", {level: int(n) for level, n in enumerate(levels) if n})


def check_jpeg(tool, folder, corpus, count, rng):
    levels = collections.defaultdict(lambda: numpy.zeros(256, numpy.int64))
    files = sorted(p for p in corpus.glob("debian/**/*") if p.suffix.lower() in (".jpg", ".jpeg") and p.is_file() and not p.is_symlink())
    sources = [("real photograph", path) for path in files]
    photos = [Image.open(path).convert("RGB") for path in files[:6]]

    def generated():
        for i in range(count):
            photo = rng.choice(photos) if photos and rng.random() < 0.7 else Image.fromarray(content(rng, 900, 700, 3))
            width, height = rng.randint(1, min(700, photo.width)), rng.randint(1, min(500, photo.height))
            left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
            part = photo.crop((left, top, left + width, top + height))
            mode = rng.choice(["RGB", "RGB", "RGB", "L", "CMYK"])
            subsampling = rng.choice([0, 1, 2])
            progressive = rng.random() < 0.3
            path = folder / "x.jpg"
            try:
                part.convert(mode).save(path, "JPEG", quality=rng.randint(20, 100), subsampling=subsampling, progressive=progressive)
            except OSError:  # Pillow's buffer is too small for some tiny progressive pictures
                continue
            yield f"{mode} {['4:4:4', '4:2:2', '4:2:0'][subsampling] if mode == 'RGB' else ''}{' progressive' if progressive else ''}", path
    for kind, path in itertools.chain(sources, generated()):
        own = tool.ask(f"decode {path}")
        try:
            theirs = numpy.asarray(Image.open(path).convert("RGB"))
        except OSError as problem:
            print(f"  Pillow refuses {path.name} ({problem}); saferclip {'refuses it too' if own.size == 0 else 'reads it'}")
            continue
        if own.shape != theirs.shape:
            raise SystemExit(f"{path}: {own.shape} against {theirs.shape}")
        levels[kind] += numpy.bincount(numpy.abs(own.astype(numpy.int16) - theirs).ravel(), minlength=256)
        PICTURES[kind] += 1
    print("\nJPEG: samples by the levels they differ")
    for kind in sorted(levels):
        row = {level: int(n) for level, n in enumerate(levels[kind]) if n}
        print(f"  {kind:24} {PICTURES[kind]:>5} pictures  " + "  ".join(f"{level}: {n:,}" for level, n in row.items()))


PICTURES = collections.Counter()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--corpus", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    tool, tally = Tool(arguments.tool), Tally()
    print("Pillow", PIL.__version__, "with libjpeg-turbo", features.version("libjpeg_turbo"))
    with tempfile.TemporaryDirectory() as folder:
        check_lossless(tool, pathlib.Path(folder), arguments.count, rng, tally)
        check_clients(tool, pathlib.Path(folder), arguments.count // 4, rng, tally)
        tally.show()
        check_jpeg(tool, pathlib.Path(folder), arguments.corpus, arguments.count // 4, rng)
    return 1 if tally.different else 0


if __name__ == "__main__":
    sys.exit(main())
