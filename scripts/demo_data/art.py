"""The emoji art: pinned packages, fetched by npm, checked, rendered once to 64 px RGBA pictures."""
import concurrent.futures
import hashlib
import json
import pathlib
import subprocess
import tarfile
import tempfile

# package, version, SHA-256 of the archive
PACKAGES = {
    "noto": ("@iconify-json/noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    "fluent": ("@iconify-json/fluent-emoji-flat", "1.2.6",
               "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"),
    "noto-v1": ("@iconify-json/noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
    "openmoji": ("openmoji", "17.0.0", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68"),
    "keywords": ("emojilib", "4.0.3", "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303"),
    "names": ("unicode-emoji-json", "0.9.0", "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401"),
}
ART_SETS = ["noto", "fluent", "openmoji", "noto-v1", "twemoji"]
UNSEEN_ART = "twemoji"
SIDE = 64


def fetch(name, cache):
    """The package archive in `cache`, downloaded when it is not there with the right checksum."""
    package, version, checksum = PACKAGES[name]
    target = cache / f"{package.replace('@', '').replace('/', '-')}-{version}.tgz"
    if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != checksum:
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)
            archive = next(pathlib.Path(folder).glob("*.tgz"))
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != checksum:
                raise SystemExit(f"{package}@{version}: SHA-256 is {found}, expected {checksum}; retry the download")
            archive.rename(target)
    return tarfile.open(target)


def read_json(archive, name):
    return json.load(archive.extractfile(f"package/{name}"))


def bare(code):
    """A code like 2620-FE0F without the variation selector, upper case."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


class IconifySet:
    """SVG bodies of an iconify package, found by code or, where it has no codes, by the name's slug."""

    def __init__(self, archive):
        self.icons = read_json(archive, "icons.json")
        chars = read_json(archive, "chars.json")
        self.by_code = {bare(code): name for code, name in chars.items()}

    def svg(self, code, name):
        icon_name = self.by_code.get(bare(code)) or slug(name)
        icon_name = self.icons.get("aliases", {}).get(icon_name, {}).get("parent", icon_name)
        icon = self.icons["icons"].get(icon_name)
        if icon is None:
            return None
        width = icon.get("width", self.icons.get("width", 16))
        height = icon.get("height", self.icons.get("height", 16))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{box}">{icon["body"]}</svg>').encode()


class OpenMojiSet:
    def __init__(self, archive):
        self.archive = archive
        self.files = {bare(pathlib.PurePath(m.name).stem): m for m in archive.getmembers()
                      if m.name.startswith("package/color/svg/") and m.name.endswith(".svg")}

    def svg(self, code, name):
        member = self.files.get(bare(code))
        return self.archive.extractfile(member).read() if member else None


def slug(name):
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower().replace("'", "")).split())


def render(svg, target):
    result = subprocess.run(["rsvg-convert", "-w", str(SIDE), "-h", str(SIDE), "--keep-aspect-ratio"], input=svg,
                            stdout=subprocess.PIPE, check=True)
    temporary = target.with_suffix(".part")
    temporary.write_bytes(result.stdout)
    temporary.rename(target)


def render_all(concepts, cache):
    """{(set, concept name): picture file} of everything that the sets have; `concepts` maps name to code."""
    cache.mkdir(parents=True, exist_ok=True)
    jobs, found = [], {}
    for set_name in ART_SETS:
        archive = fetch(set_name, cache)
        source = OpenMojiSet(archive) if set_name == "openmoji" else IconifySet(archive)
        for name, code in concepts.items():
            target = cache / f"{set_name}-{slug(name)}-{SIDE}.png"
            svg = None if target.exists() else source.svg(code, name)
            if svg is not None:
                jobs.append((svg, target))
            if svg is not None or target.exists():
                found[set_name, name] = target
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(render, *job) for job in jobs]:
            job.result()
    return found


def emoji_codes(cache, groups=None):
    """{CLDR name: code} of all emoji, or of those in some groups of Unicode's."""
    data = read_json(fetch("names", cache), "data-by-emoji.json")
    return {entry["name"]: "-".join(f"{ord(c):X}" for c in emoji) for emoji, entry in data.items()
            if groups is None or entry["group"] in groups}


def keywords(cache):
    """{code: words of an emoji}. Some are slang or unsafe senses: choose from them by a list of one's own."""
    data = read_json(fetch("keywords", cache), "dist/emoji-en-US.json")
    return {"-".join(f"{ord(c):X}" for c in emoji): words for emoji, words in data.items()}
