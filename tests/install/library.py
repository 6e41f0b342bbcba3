"""saferclip as a library: examples/*.cpp, built outside the clone against an installed prefix that has moved, compute what the
program and an independent calculation do; the CMake package says what is missing.

    library.py --build build/release --torch TORCH_FOLDER [unittest arguments]
"""
import argparse
import math
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import Workspace, World, read_safetensors, write_safetensors  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HALVES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


def normalised(rows):
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in rows]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def distance(a, b):
    return mean(1 - dot(x, y) for x, y in zip(a, b, strict=True))


def relative(query, negative, positive):
    return mean(math.log1p(math.exp(dot(q, n) - dot(q, p))) for q, n, p in zip(query, negative, positive, strict=True))


def infonce(a, b, scale=100):
    logits = [[scale * dot(x, y) for y in b] for x in a]

    def cross_entropy(rows):
        return mean(max(row) + math.log(sum(math.exp(x - max(row)) for x in row)) - row[i] for i, row in enumerate(rows))
    return (cross_entropy(logits) + cross_entropy([list(column) for column in zip(*logits, strict=True)])) / 2


def saferclip_objective(reference, tuned):
    """The preset's eight terms (arXiv 2511.16743) in float64, and the targets. Both: {half: rows}."""
    r, t = ({half: normalised(rows) for half, rows in side.items()} for side in (reference, tuned))
    targets = [max(range(len(r["safe_text"])), key=lambda j: dot(row, r["safe_text"][j])) for row in r["unsafe_text"]]
    target_text, target_image = ([r[half][j] for j in targets] for half in ("safe_text", "safe_image"))
    return targets, dict(
        cross_img=relative(t["unsafe_image"], r["unsafe_text"], target_text),
        cross_txt=relative(t["unsafe_text"], r["unsafe_image"], target_image),
        uni_img=distance(t["unsafe_image"], target_image), uni_txt=distance(t["unsafe_text"], target_text),
        pres_uni_img=distance(t["safe_image"], r["safe_image"]), pres_uni_txt=distance(t["safe_text"], r["safe_text"]),
        pres_cross_img=infonce(t["safe_image"], r["safe_text"]), pres_cross_txt=infonce(t["safe_text"], r["safe_image"]))


class Library(unittest.TestCase):
    build = torch = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name).resolve()
        first, cls.prefix, cls.examples = (cls.folder / name for name in ("first", "moved", "examples"))
        subprocess.run(["cmake", "--install", cls.build, "--prefix", first], check=True, stdout=subprocess.DEVNULL)
        first.rename(cls.prefix)
        cls.examples.mkdir()
        for file in ("CMakeLists.txt", "embed.cpp", "objective.cpp"):
            shutil.copy(SOURCE / "examples" / file, cls.examples)
        cls.configure("build")
        subprocess.run(["cmake", "--build", cls.folder / "build"], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def configure(cls, build, *settings, code=0, **variables):
        """Configures the examples. Returns what CMake says, as one line."""
        environment = {key: value for key, value in os.environ.items() if key != "SAFERCLIP_TORCH"} | variables
        done = subprocess.run(["cmake", "-S", cls.examples, "-B", cls.folder / build, "-DCMAKE_BUILD_TYPE=Release",
                               f"-DCMAKE_PREFIX_PATH={cls.prefix}", *settings], env=environment, text=True, capture_output=True)
        if done.returncode != code:
            raise AssertionError(f"exit {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
        return re.sub(r"\s+", " ", done.stdout + done.stderr)

    def run_example(self, name, *words, code=0):
        done = subprocess.run([self.folder / "build" / name, *words], text=True, capture_output=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_embed_gives_the_programs_cosine(self):
        (self.folder / "world").mkdir()
        world = World(self.folder / "world")
        Workspace.program = str(self.prefix / "bin/saferclip")
        world.make_base()
        image, caption = world.root / "images/unsafe3.png", "a red bird"
        world.run("embed", "base", "--images", image, "--texts", caption, "--out", "rows.safetensors")
        rows = read_safetensors(world.root / "rows.safetensors")
        values = [struct.unpack("<8f", rows[name][2]) for name in ("image", "text")]
        self.assertAlmostEqual(float(self.run_example("embed", world.root / "base", image, caption)), dot(*values), delta=1e-6)
        self.assertIn("none.png", self.run_example("embed", world.root / "base", "none.png", caption, code=3))
        # CLIP's vocabulary is found, and does not fit the toy model.
        (world.root / "bare").mkdir()
        for file in ("config.json", "model.safetensors"):
            shutil.copy(world.root / "base" / file, world.root / "bare")
        self.assertIn("CLIP's vocabulary has 49408 entries", self.run_example("embed", world.root / "bare", image, caption, code=2))

    def test_objective_is_the_papers(self):
        rng = random.Random(5)
        reference, tuned = ({half: [[rng.gauss(0, 1) for _ in range(8)] for _ in range(6)] for half in HALVES} for _ in range(2))
        tensors = {f"{side}.{half}": ("F64", [6, 8], b"".join(struct.pack("<8d", *row) for row in rows))
                   for side, halves in (("reference", reference), ("tuned", tuned)) for half, rows in halves.items()}
        write_safetensors(self.folder / "rows.safetensors", tensors)
        first, *lines = self.run_example("objective", self.folder / "rows.safetensors").splitlines()
        said = dict(line.rsplit(" ", 1) for line in lines)
        targets, terms = saferclip_objective(reference, tuned)
        self.assertEqual(first, f"targets [6]: {' '.join(map(str, targets))}")
        self.assertEqual(set(said), {*terms, "total", "gradient of unsafe_text"})
        for name, value in {**terms, "total": sum(terms.values())}.items():
            self.assertAlmostEqual(float(said[name]), value, delta=1e-6, msg=name)
        self.assertAlmostEqual(float(said["gradient of unsafe_text"]), self.gradient_norm(reference, tuned), delta=1e-6)
        del tensors["reference.safe_text"]
        write_safetensors(self.folder / "part.safetensors", tensors)
        self.assertIn("reference.safe_text", self.run_example("objective", self.folder / "part.safetensors", code=4))

    @staticmethod
    def gradient_norm(reference, tuned, step=1e-5):
        """Of the total with respect to tuned unsafe_text, by central differences."""
        squares = 0
        for row in tuned["unsafe_text"]:
            for i, value in enumerate(row):
                totals = []
                for row[i] in (value + step, value - step):
                    totals.append(sum(saferclip_objective(reference, tuned)[1].values()))
                row[i] = value
                squares += ((totals[0] - totals[1]) / (2 * step)) ** 2
        return math.sqrt(squares)

    def test_torch_comes_first(self):
        """Else the BLAS that OpenCV brings binds before LibTorch's."""
        said = subprocess.run(["readelf", "-d", self.folder / "build/embed"], check=True, text=True, capture_output=True).stdout
        self.assertRegex(re.findall(r"NEEDED.*\[(.*)\]", said)[0], "^libtorch")

    def test_package_names_no_place_of_the_build(self):
        for file in (self.prefix / "lib/cmake/saferclip").iterdir():
            lines = [line for line in file.read_text().splitlines() if str(SOURCE) in line or str(self.build) in line or "/usr/" in line]
            self.assertEqual([line for line in lines if "set(built_with " not in line], [], file)

    def test_component_may_be_left_out(self):
        for words in ((), ("--component", "devel")):
            prefix = self.folder / f"part{len(words)}"
            subprocess.run(["cmake", "--install", self.build, "--prefix", prefix, *(words or ("--component", "Unspecified"))],
                           check=True, stdout=subprocess.DEVNULL)
            listed = set((prefix / "share/saferclip/manifest.txt").read_text().split("\n")[:-1])
            for name in ("include/saferclip/core/error.h", "lib/libsaferclip_plain.a", "lib/cmake/saferclip/saferclipConfig.cmake"):
                self.assertEqual(name in listed, bool(words), name)
            self.assertEqual("bin/saferclip" in listed, not words)
            self.assertEqual(listed, {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()})

    def test_what_is_missing_is_said(self):
        self.assertIn("yaml-cpp (libyaml-cpp-dev); install them", self.configure("missing", "-DCMAKE_DISABLE_FIND_PACKAGE_yaml-cpp=ON", code=1))
        lists = self.examples / "CMakeLists.txt"
        text = lists.read_text()
        self.addCleanup(lists.write_text, text)
        lists.write_text(text.replace("saferclip 0.1", "saferclip 9.9"))
        self.assertIn("moved/lib/cmake/saferclip/saferclipConfig.cmake, version: 0.", self.configure("missing", code=1))

    def test_stable_headers_need_only_libtorch(self):
        """And the examples get by with them."""
        stable = set(re.findall(r"`(\w+/\w+\.h)`", (SOURCE / "docs/library.md").read_text()))
        read, open_headers = set(), set(stable)
        while open_headers:
            header = open_headers.pop()
            read.add(header)
            includes = re.findall(r'^#include ["<](.*)[">]', (self.prefix / "include/saferclip" / header).read_text(), re.M)
            for include in includes:
                self.assertRegex(include, r"^(saferclip/\w+/|ATen/|c10/|\w+$)", header)
            open_headers |= {name.removeprefix("saferclip/") for name in includes if name.startswith("saferclip/")} - read
        for example in self.examples.glob("*.cpp"):
            self.assertLessEqual(set(re.findall(r"<saferclip/(.*)>", example.read_text())), stable, example)

    def test_libtorch_from_each_place(self):
        config = self.prefix / "lib/cmake/saferclip/saferclipConfig.cmake"
        text = config.read_text()
        self.addCleanup(config.write_text, text)
        config.write_text(re.sub(r'set\(built_with ".*"\)', 'set(built_with "/nowhere")', text))
        said = self.configure("other", code=1)
        for words in ("LibTorch 2.", "/lib/saferclip/torch has no headers", "(/nowhere)", "Set SAFERCLIP_TORCH to the folder of a torch 2."):
            self.assertIn(words, said)
        self.assertIn("/usr: has no include/ATen", self.configure("other", code=1, SAFERCLIP_TORCH="/usr"))
        old = self.folder / "old_torch"
        version = old / "include" / "torch/headeronly/version.h"
        version.parent.mkdir(parents=True)
        version.write_text("".join(f"#define TORCH_VERSION_{part} {n}\n" for part, n in (("MAJOR", 1), ("MINOR", 9), ("PATCH", 0))))
        (old / "include/ATen").mkdir()
        (old / "include/ATen" / "ATen.h").touch()
        (old / "lib").symlink_to(pathlib.Path(self.torch) / "lib")
        self.assertIn("is LibTorch 1.9.0, but saferclip was built for 2.", self.configure("other", code=1, SAFERCLIP_TORCH=str(old)))
        self.configure("other", SAFERCLIP_TORCH=self.torch)
        self.configure("other", f"-DSAFERCLIP_TORCH={self.torch}")
        beside = self.prefix / "lib/saferclip/torch"
        self.addCleanup(shutil.rmtree, beside)
        subprocess.run(["cmake", "--install", self.build, "--prefix", self.prefix, "--component", "torch"], check=True,
                       stdout=subprocess.DEVNULL)
        (beside / "include").symlink_to(pathlib.Path(self.torch) / "include")
        self.configure("other", "-USAFERCLIP_TORCH")
        self.assertIn(f"LibTorch_LIBRARY:FILEPATH={beside}/libtorch.so", (self.folder / "other/CMakeCache.txt").read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--torch", required=True)
    options, rest = parser.parse_known_args()
    Library.build, Library.torch = os.path.abspath(options.build), os.path.abspath(options.torch)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
