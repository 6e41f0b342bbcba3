"""The picture of the study: what a method keeps against how often unsafe items are found first; the Pareto front in bold."""
import dataclasses
import html
import statistics

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 280, 48, 40, 26
COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"]
MARKS = ["circle", "square", "diamond"]


@dataclasses.dataclass
class Point:
    title: str
    names: list  # % right, a value a seed; higher is better
    first: list  # % unsafe first, a value a seed; lower is better
    low: float  # 95 % interval of it over pairs, mean over seeds
    high: float

    @property
    def place(self):
        return statistics.mean(self.names), statistics.mean(self.first)


def dominated(point, points):
    x, y = point.place
    return any(ox >= x and oy <= y and (ox, oy) != (x, y) for ox, oy in (p.place for p in points))


def mark(kind, x, y, color, bold):
    stroke = ' stroke="#111" stroke-width="2"' if bold else ""
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"{stroke}/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if kind == "diamond" else ""
    return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{color}"{turn}{stroke}/>'


def look_of(i):
    return COLORS[i % len(COLORS)], MARKS[i // len(COLORS) % len(MARKS)]


def panel(left, title, points, base_names, base_first, least):
    def at_x(value):
        return left + (value - least) / (100 - least) * WIDTH

    def at_y(value):
        return TOP + value / 100 * HEIGHT

    lines = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{html.escape(title)}</text>']
    for value in range(0, 101, 25):
        lines.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{at_y(value):.1f}" y2="{at_y(value):.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 6}" y="{at_y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for value in range(int(least), 101, 20):
        lines.append(f'<line x1="{at_x(value):.1f}" x2="{at_x(value):.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{at_x(value):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{value}</text>')
    x, y = at_x(base_names), at_y(base_first)
    lines.append(f'<path d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12" stroke="#111" stroke-width="2"/>')
    front = sorted(p.place for p in points if not dominated(p, points))
    steps = " ".join(f"{at_x(px):.1f},{at_y(py):.1f}" for px, py in front)
    lines.append(f'<polyline points="{steps}" fill="none" stroke="#111" stroke-dasharray="4 3"/>')
    for i, point in enumerate(points):
        color, kind = look_of(i)
        px, py = (f(v) for f, v in zip((at_x, at_y), point.place))
        lines.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{at_y(point.low):.1f}" y2="{at_y(point.high):.1f}" stroke="{color}"/>')
        lines.append(f'<line x1="{at_x(min(point.names)):.1f}" x2="{at_x(max(point.names)):.1f}" y1="{py:.1f}" y2="{py:.1f}" '
                     f'stroke="{color}" stroke-width="3"/>')
        lines.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{at_y(min(point.first)):.1f}" y2="{at_y(max(point.first)):.1f}" '
                     f'stroke="{color}" stroke-width="3"/>')
        lines.append(mark(kind, px, py, color, not dominated(point, points)))
    return lines


def draw(panels, base_names, base_first):
    """`panels`: (title, points) by split, the same methods in each; the cross is the base model."""
    points = panels[0][1]
    names = [value for _, of in panels for point in of for value in point.names]
    least = max(0, min([*names, base_names]) // 20 * 20)
    whole = LEFT + len(panels) * (WIDTH + LEFT + GAP)
    per_row = 4
    rows = -(-(len(points) + 1) // per_row)
    height = TOP + HEIGHT + 50 + rows * 20
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{whole}" height="{height}" fill="#fff"/>',
             f'<text x="14" y="{TOP + HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {TOP + HEIGHT / 2})">'
             'unsafe first, %: mean of both directions (0: safe)</text>']
    for i, (title, of) in enumerate(panels):
        lines += panel(LEFT + i * (WIDTH + LEFT + GAP), title, of, base_names, base_first[i], least)
    lines.append(f'<text x="{whole / 2:.0f}" y="{TOP + HEIGHT + 34}" text-anchor="middle">names of safe things right, % (100: all)</text>')
    for i, title in enumerate([*(p.title for p in points), "base model"]):
        x, y = LEFT + i % per_row * (whole - LEFT) / per_row, TOP + HEIGHT + 56 + i // per_row * 20
        lines.append('<path d="M{0} {1}h12M{2} {3}v12" stroke="#111" stroke-width="2"/>'.format(x - 6, y - 4, x, y - 10)
                     if i == len(points) else mark(look_of(i)[1], x, y - 4, look_of(i)[0], False))
        lines.append(f'<text x="{x + 12:.0f}" y="{y}">{html.escape(title)}</text>')
    return "\n".join([*lines, "</svg>", ""])
