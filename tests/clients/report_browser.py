"""The report in headless Chromium: nothing is fetched, pictures load, unsafe ones are blurred until asked for, the keyboard
reaches everything, narrow windows do not scroll sideways, light and dark differ. Screenshots land in OUT when given.

    report_browser.py --program build/release/saferclip [--out FOLDER]
"""
import argparse
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from PIL import Image, ImageStat

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import World  # noqa: E402

# Runs inside the page and leaves its findings in an element that --dump-dom shows.
PROBE = """<script>addEventListener('load', () => {
  const found = {problems: []};
  const all = (css) => [...document.querySelectorAll(css)];
  const need = (ok, what) => { if (!ok) found.problems.push(what); };
  found.pictures = all('img').length;
  for (const i of all('img')) need(i.complete && i.naturalWidth > 0 && i.alt, 'picture without content or text: ' + i.alt);
  found.veiled = all('.veil input').length;
  for (const box of all('.veil input')) {
    const picture = box.parentElement.querySelector('img');
    need(getComputedStyle(picture).filter.includes('blur'), 'an unsafe picture is not blurred');
    box.click();
    need(getComputedStyle(picture).filter === 'none', 'a click does not show the picture');
    box.click();
    box.focus();
    need(document.activeElement === box, 'the keyboard does not reach a picture');
    need(box.getAttribute('aria-label'), 'a check box has no name');
  }
  for (const image of all('.unsafe img')) need(image.closest('.veil'), 'an unsafe picture has no veil');
  for (const a of all('nav a')) need(document.querySelector(a.getAttribute('href')), 'a link leads nowhere: ' + a.href);
  for (const t of all('table')) need(t.caption && t.querySelector('th[scope=row]'), 'a table without caption or headings');
  for (const s of all('svg')) need(s.getAttribute('aria-label'), 'a chart without a name');
  need(all('h1').length === 1 && document.documentElement.lang === 'en', 'language or title');
  need(document.documentElement.scrollWidth <= innerWidth + 1, 'the page scrolls sideways at ' + innerWidth);
  need(performance.getEntriesByType('resource').every((r) => r.name.startsWith('data:')), 'something is fetched');
  found.charts = all('svg').length;
  const out = document.createElement('pre');
  out.id = 'found';
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});</script>"""


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    raise SystemExit("no Chromium: install the Debian package chromium (scripts/setup --browser)")


def chromium(page, width, *options):
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run([browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                               f"--user-data-dir={profile}", f"--window-size={width},4000", *options, page.as_uri()],
                              check=True, capture_output=True, text=True, timeout=120).stdout


def probe(page, width):
    probed = page.with_name(f"probed-{width}.html")
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    dom = chromium(probed, width, "--dump-dom", "--virtual-time-budget=5000")
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)[1]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    World.program = os.path.abspath(arguments.program)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        world = World(root)
        world.make_base()
        world.train("whole")
        world.run("evaluate", "runs/whole", "--strengths", "0,0.5,1")
        page = root / "r.html"
        world.run("report", "runs/whole", "--out", page)
        for width in (1200, 500):
            found = probe(page, width)
            print(f"{width} px wide: {found}")
            assert not found["problems"], found["problems"]
            assert found["pictures"] > 50 and found["veiled"] > 20 and found["charts"] > 8, found
        brightness = {}
        out = arguments.out or root
        out.mkdir(parents=True, exist_ok=True)
        for theme, scheme in (("light", 1), ("dark", 0)):
            shot = out / f"{theme}.png"
            chromium(page, 1200, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
            picture = Image.open(shot).convert("L")
            brightness[theme] = ImageStat.Stat(picture).mean[0]
            assert len(picture.getcolors(256)) > 50, f"{shot}: empty"
        print(f"{page.stat().st_size / 1e6:.2f} MB, mean brightness {brightness}")
        assert brightness["light"] > 180 and brightness["dark"] < 80, brightness


main()
