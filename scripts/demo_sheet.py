"""An image sheet: unsafe queries of one gallery with their first results before and after tuning."""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import numpy
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

QUERIES = 8
RESULTS = 5
CELL = 72
GREEN, RED, INK = (46, 140, 70), (200, 50, 50), (30, 30, 30)


def embed(program, weights, texts, pictures):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "rows.safetensors")
        subprocess.run([program, "--log-level", "warn", "embed", weights, "--texts", *texts, "--images", *pictures,
                        "--out", out], check=True, stdout=subprocess.DEVNULL)
        return load_file(out)


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "data", "before", "after", "out"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    data = pathlib.Path(arguments.data)
    # Galleries 0 and 1 hold Noto and Fluent art only, which may be shown.
    rows = [r for r in map(json.loads, (data / "trained.jsonl").open()) if r["gallery"] == "0"]
    texts = [r["unsafe_caption"] for r in rows]
    pictures = [str(data / r["safe_image"]) for r in rows] + [str(data / r["unsafe_image"]) for r in rows]
    chosen, seen = [], set()
    for i, row in enumerate(rows):
        if row["pair"] not in seen and len(chosen) < QUERIES:
            seen.add(row["pair"])
            chosen.append(i)
    margin, text_width, head = 12, 400, 46
    block = RESULTS * CELL
    width = margin * 4 + text_width + 2 * block
    sheet = Image.new("RGB", (width, head + QUERIES * (CELL + 8) + margin + 24), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    draw.text((margin, 16), "unsafe query", INK, font)
    for column, (title, weights) in enumerate((("before", arguments.before), ("after", arguments.after))):
        x = margin * 2 + text_width + column * (block + margin)
        draw.text((x, 16), title, INK, font)
        rows_of = embed(arguments.program, weights, texts, pictures)
        order = numpy.argsort(-(rows_of["text"] @ rows_of["image"].T), axis=1, kind="stable")
        for line, query in enumerate(chosen):
            y = head + line * (CELL + 8)
            if column == 0:
                draw.text((margin, y + CELL // 2 - 8), texts[query], INK, font)
            for place, item in enumerate(order[query][:RESULTS]):
                frame = GREEN if item < len(rows) else RED
                cell = (x + place * CELL, y)
                draw.rectangle([cell[0] + 1, y + 1, cell[0] + CELL - 3, y + CELL - 3], outline=frame, width=4)
                picture = Image.open(pictures[item]).resize((CELL - 16, CELL - 16), Image.Resampling.LANCZOS)
                sheet.paste(picture, (cell[0] + 7, y + 7))
    draw.text((margin, sheet.height - 24), "green: safe, red: unsafe stand-in. Art: Noto (Apache-2.0), Fluent (MIT).",
              INK, font)
    sheet.save(arguments.out)


main()
