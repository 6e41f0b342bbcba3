"""Photographs with captions: the stamps of Tux Paint, fetched by apt at a pinned version, checked, and cut to small pictures."""
import dataclasses
import hashlib
import math
import pathlib
import re
import subprocess
import tarfile
import tempfile

import scenes
from PIL import Image

PACKAGE, VERSION = "tuxpaint-stamps-default", "2022.06.04-1"
CHECKSUM = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
# Folders of drawings, letters and signs, and of what the demo's stand-ins for "unsafe" resemble.
NO_PHOTOS = re.compile(r"/(cartoon|symbols|military|toys|plastic|halloween|people|medical|armor)(/|$)")
SIDE = 96  # of what is kept of a stamp
LONGEST = 60  # letters of a caption
ATTRIBUTION = """
The photographs are stamps of Tux Paint (`tuxpaint-stamps-default`, GPL-2 or later), © Bill Kendrick and contributors.
"""


@dataclasses.dataclass
class Photo:
    caption: str
    image: Image.Image  # RGBa, premultiplied

    def draw(self, rng):
        """The photograph on white, with more jitter than the emoji get."""
        side = scenes.SIDE * rng.uniform(0.7, 1.0)
        angle = math.radians(rng.uniform(-8, 8))
        scale = SIDE / side
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        x, y = (scenes.SIDE / 2 + rng.uniform(-0.06, 0.06) * scenes.SIDE for _ in range(2))
        matrix = (cos, sin, SIDE / 2 - cos * x - sin * y, -sin, cos, SIDE / 2 + sin * x - cos * y)
        art = self.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else self.image
        placed = art.transform((scenes.SIDE,) * 2, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC).convert("RGBA")
        picture = Image.new("RGB", placed.size, (250, 250, 250))
        picture.paste(placed, (0, 0), placed)
        return picture


def fetch(cache):
    """The stamps as a tar file in `cache`."""
    target = cache / f"{PACKAGE}-{VERSION}.tar"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache) as place:
        subprocess.run(["apt-get", "download", "-q", f"{PACKAGE}={VERSION}"], cwd=place, check=True, stdout=subprocess.DEVNULL)
        package = next(pathlib.Path(place).glob("*.deb"))
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != CHECKSUM:
            raise SystemExit(f"{PACKAGE} {VERSION}: SHA-256 is {found}, expected {CHECKSUM}; retry the download")
        part = pathlib.Path(place) / "stamps.tar"
        with open(part, "wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=file)
        part.rename(target)
    return target


def caption_of(text):
    """The first line, which is English, without its full stop: "A German shepherd." -> "a german shepherd"."""
    line = text.decode("utf-8").split("\n", 1)[0].strip().rstrip(".!").lower()
    return line if re.fullmatch(r"[a-z' -]+", line) and len(line) <= LONGEST else None


def square(image):
    image = image.convert("RGBA").convert("RGBa")
    factor = SIDE / max(image.size)
    small = image.resize([max(1, round(n * factor)) for n in image.size], Image.Resampling.BICUBIC)
    canvas = Image.new("RGBa", (SIDE, SIDE))
    canvas.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return canvas


def photos(cache):
    """One Photo per caption, in the order of the paths."""
    found = {}
    with tarfile.open(fetch(cache)) as archive:
        names = set(archive.getnames())
        for name in sorted(n for n in names if n.endswith(".png") and not NO_PHOTOS.search(n)):
            words = name[:-len(".png")] + ".txt"
            caption = caption_of(archive.extractfile(words).read()) if words in names else None
            if caption and caption not in found:
                found[caption] = Photo(caption, square(Image.open(archive.extractfile(name))))
    return list(found.values())
