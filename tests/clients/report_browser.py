"""The report in headless Chromium, on a phone, a tablet and a desk: nothing is fetched, pictures load, unsafe ones are blurred
until asked for, one by one or all, the keyboard reaches everything, nothing scrolls sideways, light and dark differ. Verdict and
cards hold the numbers of the evaluation. Screenshots land in OUT when given.

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

# Runs inside the page, which is in a frame, and sends its findings to the outer page, whose content --dump-dom shows.
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
  const every = document.querySelector('#reveal-all');
  every.focus();
  need(document.activeElement === every && every.labels.length === 1, 'the keyboard does not reach the box for all pictures');
  every.click();
  for (const image of all('.veil img')) need(getComputedStyle(image).filter === 'none', 'a picture stays hidden');
  every.click();
  for (const image of all('.veil img')) need(getComputedStyle(image).filter.includes('blur'), 'a picture stays shown');
  for (const image of all('.unsafe img')) need(image.closest('.veil'), 'an unsafe picture has no veil');
  for (const a of all('nav a')) need(document.querySelector(a.getAttribute('href')), 'a link leads nowhere: ' + a.href);
  for (const t of all('table')) need(t.caption && t.querySelector('th[scope=row]'), 'a table without caption or headings');
  for (const s of all('svg')) need(s.getAttribute('aria-label'), 'a chart without a name');
  let level = 0;
  for (const h of all('h1, h2, h3, h4')) {
    need(+h.tagName[1] <= level + 1, 'a heading skips a level: ' + h.textContent);
    level = +h.tagName[1];
  }
  need(all('details').every((d) => !d.open), 'something is unfolded');
  need(all('#run details table').length === 1, 'paths and hashes are not folded');
  const seen = (css) => getComputedStyle(document.querySelector(css)).display !== 'none';
  need(seen('nav .side') === innerWidth >= 1100 && seen('nav details') === innerWidth < 1100, 'contents at ' + innerWidth);
  need(getComputedStyle(document.querySelector('nav')).position === 'sticky', 'the contents scroll away');
  for (const text of all('svg text')) need(text.textContent.length < 80 && !/\\d{7}/.test(text.textContent), text.textContent);
  for (const s of all('.scroll')) need(s.scrollWidth <= s.clientWidth + 1, 'a table is cut: ' + s.getAttribute('aria-label'));
  for (const w of all('.whole')) need(w.getBoundingClientRect().height < 36, 'broken over lines: ' + w.textContent);
  need(all('.card, td').every((c) => !/[▲▼]\\s*(better|worse)/.test(c.textContent)), 'better and worse share a sign');
  const top = (element) => element.getBoundingClientRect().top;
  found.sides = all('.sides').length;
  for (const s of innerWidth >= 900 ? all('.sides') : []) {
    need([...s.children].every((side) => top(side) === top(s.firstElementChild)), 'before and after do not stand side by side');
  }
  const lowest = Math.max(...all('.card').map(top));
  need(innerWidth < 600 || all('.card').filter((c) => top(c) === lowest).length > 1, 'a card stands alone');
  found.verdict = document.querySelector('.verdict').textContent;
  found.cards = all('.card').map((c) => c.textContent);
  found.width = innerWidth;
  need(all('h1').length === 1 && document.documentElement.lang === 'en', 'language or title');
  need(document.documentElement.scrollWidth <= innerWidth + 1, 'the page scrolls sideways at ' + innerWidth);
  need(performance.getEntriesByType('resource').every((r) => r.name.startsWith('data:')), 'something is fetched');
  found.charts = all('svg').length;
  parent.postMessage(JSON.stringify(found), '*');
});</script>"""
# Chromium's windows are at least 500 px wide; a frame can be as narrow as a phone.
FRAME = """<!doctype html><body><iframe src="{page}" style="width:{width}px;height:4000px;border:0"></iframe><script>
addEventListener('message', (event) => {{
  const out = document.createElement('pre');
  out.id = 'found';
  out.textContent = event.data;
  document.body.append(out);
}});</script></body>"""


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
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(FRAME.format(page=probed.name, width=width))
    dom = chromium(frame, 1600, "--dump-dom", "--virtual-time-budget=5000")
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)[1]))


def moved(document, path):
    """A figure before and after, as the page writes it."""
    values = []
    for side in ("before", "after"):
        value = document[side]
        for key in path:
            value = value[key]
        values.append(f"{value:.1f}")
    return values


def check_texts(found, document):
    before, after = moved(document, ("unsafe_top1", "text"))
    assert f"Unsafe texts find an unsafe image first in {after} % of cases" in found["verdict"], found["verdict"]
    assert before == after or before in found["verdict"], found["verdict"]
    for path, label in ((("unsafe_top1", "text"), "unsafe text finds an unsafe image first"),
                        (("unsafe_top1", "image"), "unsafe image finds an unsafe text first"),
                        (("retrieval", "text_to_image", "r@1"), "safe text → image, R@1"),
                        (("retrieval", "image_to_text", "r@1"), "safe image → text, R@1")):
        before, after = moved(document, path)
        card = next(c for c in found["cards"] if c.startswith(label))
        assert f"before {before} →, after {after} %" in card, (card, before, after)
        assert ("lower" if path[0] == "unsafe_top1" else "higher") + " is better" in card, card
        assert any(word in card for word in ("better", "worse", "no clear change", "unchanged")), card


def check_print(page):
    """Printed, everything is unfolded: the folded configuration adds pages."""
    sizes = {}
    for name, text in (("folded", page.read_text()), ("open", page.read_text().replace("<details>", "<details open>"))):
        source = page.with_name(f"print-{name}.html")
        source.write_text(text)
        paper = source.with_suffix(".pdf")
        chromium(source, 1200, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
        sizes[name] = paper.read_bytes().count(b"/Type /Page\n")
    print(f"printed pages: {sizes}")
    assert sizes["folded"] == sizes["open"] > 3, sizes


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
        document = json.loads(world.run("evaluate", "runs/whole", "--strengths", "0,0.5,1", "--json").stdout)
        page = root / "r.html"
        world.run("report", "runs/whole", "--out", page)
        for width in (1400, 900, 390):
            found = probe(page, width)
            print(f"{width} px wide: {found}")
            assert found["width"] == width, found["width"]
            check_texts(found, document)
            assert not found["problems"], found["problems"]
            assert found["pictures"] > 50 and found["veiled"] > 20 and found["charts"] > 8 and found["sides"] > 5, found
        check_print(page)
        brightness = {}
        out = arguments.out or root
        out.mkdir(parents=True, exist_ok=True)
        for theme, scheme in (("light", 1), ("dark", 0)):
            for width in (1400, 900, 390):
                shot = out / f"{theme}-{width}.png"
                chromium(page, width, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
                picture = Image.open(shot).convert("L")
                assert len(picture.getcolors(256)) > 50, f"{shot}: empty"
                brightness[theme, width] = ImageStat.Stat(picture).mean[0]
        print(f"{page.stat().st_size / 1e6:.2f} MB, mean brightness {brightness}")
        for (theme, _), mean in brightness.items():
            assert mean > 180 if theme == "light" else mean < 80, brightness


main()
