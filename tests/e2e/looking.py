"""The quickest look at a model: embeddings for other tools.

    looking.py --program build/release/saferclip [unittest arguments]
"""
import ast
import csv
import math
import struct

from world import WorldCase, main, read_safetensors

PICTURES = [f"images/safe{i}.png" for i in range(4)]
TEXTS = ['a "red" car, parked', "blue tree"]


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def rows_of(path):
    """{name: rows} of a safetensors file."""
    result = {}
    for name, (dtype, shape, data) in read_safetensors(path).items():
        assert dtype == "F32"
        values = floats(data)
        result[name] = [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]
    return result


def read_npy(path):
    """The shape and values of an .npy file of version 1.0, by the format's own description."""
    content = path.read_bytes()
    assert content[:8] == b"\x93NUMPY\x01\x00"
    length, = struct.unpack_from("<H", content, 8)
    assert (10 + length) % 64 == 0 and content[9 + length] == ord("\n")
    header = ast.literal_eval(content[10:10 + length].decode("ascii"))
    assert header["descr"] == "<f4" and not header["fortran_order"] and len(header) == 3
    return header["shape"], floats(content[10 + length:])


class Looking(WorldCase):
    prefix = "saferclip-looking-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.train("tuned", "--set", "train.max_steps=6")

    def said(self, *words, code=2):
        return self.world.run(*words, code=code).stderr

    # --- embed

    def test_forms_of_embeddings(self):
        w = self.world
        both = ("--images", *PICTURES, "--texts", *TEXTS)
        w.run("embed", "base", *both, "--out", "rows.safetensors")
        right = rows_of(w.root / "rows.safetensors")
        for kind, words in (("image", ("--images", *PICTURES)), ("text", ("--texts", *TEXTS))):
            w.run("embed", "base", *words, "--out", f"{kind}.npy")
            shape, values = read_npy(w.root / f"{kind}.npy")
            self.assertEqual(shape, (len(right[kind]), 8))
            self.assertEqual(values, tuple(v for row in right[kind] for v in row))
            try:
                import numpy
            except ImportError:
                continue
            self.assertEqual(numpy.load(w.root / f"{kind}.npy").tolist(), [list(row) for row in right[kind]])
        w.run("embed", "base", *both, "--out", "rows.CSV")
        with open(w.root / "rows.CSV", newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        self.assertEqual(header, ["kind", "item", *(f"d{i}" for i in range(8))])
        self.assertEqual([line[:2] for line in lines], [["image", p] for p in PICTURES] + [["text", t] for t in TEXTS])
        for line, row in zip(lines, right["image"] + right["text"], strict=True):
            self.assertEqual(struct.pack("<8f", *map(float, line[2:])), struct.pack("<8f", *row))
            self.assertTrue(math.isclose(sum(v * v for v in row), 1, rel_tol=1e-5))

    def test_forms_that_are_refused(self):
        w = self.world
        for out in ("rows.parquet", "rows", "rows.csv.gz"):
            said = self.said("embed", "base", "--texts", "a", "--out", out)
            self.assertIn("expected .safetensors, .npy or .csv", said)
            self.assertNotIn("loading", said)
            self.assertFalse((w.root / out).exists())
        said = self.said("embed", "base", "--texts", "a", "--images", PICTURES[0], "--out", "both.npy")
        self.assertIn("in two calls", said)
        self.assertFalse((w.root / "both.npy").exists())


if __name__ == "__main__":
    main()
