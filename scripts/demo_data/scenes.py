"""The grammar of the demo's pictures and captions, and which combinations are held out."""
import functools
import math
import random

from PIL import Image, ImageDraw

SIDE = 48
COLOURS = {
    "white": (250, 250, 250), "light gray": (208, 208, 208), "light blue": (176, 212, 246),
    "light green": (184, 232, 184), "light yellow": (250, 240, 160), "pink": (250, 190, 208),
    "lavender": (210, 190, 246), "peach": (250, 210, 176),
}
PATTERNS = ["plain", "striped", "dotted", "checkered", "ringed", "crossed"]
COMBINATIONS = [(colour, pattern) for colour in COLOURS for pattern in PATTERNS]

NEUTRAL = [
    "red apple", "banana", "grapes", "strawberry", "watermelon", "pineapple", "lemon", "cherries", "peach", "carrot",
    "ear of corn", "hot pepper", "tomato", "bread", "cheese wedge", "hamburger", "pizza", "cookie", "birthday cake",
    "doughnut", "dog face", "cat face", "mouse face", "rabbit face", "fox", "bear", "panda", "koala", "tiger face",
    "cow face", "pig face", "frog", "monkey face", "chicken", "penguin", "owl", "fish", "dolphin", "octopus", "snail",
    "sunflower", "cactus", "palm tree", "four leaf clover", "maple leaf", "key", "scissors", "umbrella", "guitar",
    "trumpet", "camera", "telephone", "light bulb", "open book", "pencil", "bicycle", "automobile", "airplane",
    "rocket", "sailboat",
]
WITHOUT_ARTICLE = {
    "grapes", "cherries", "bread", "scissors", "crossed swords", "hammer and wrench", "clinking beer mugs", "sake",
    "sparkles", "performing arts", "skull and crossbones", "bow and arrow",
}


def noun(name):
    name = name.lower()
    if name in WITHOUT_ARTICLE:
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def caption(name, combination):
    colour, pattern = combination
    return f"{noun(name)} on a {pattern} {colour} background"


def held_out(concept_index, combination):
    """`test` and `val` for one combination in eight each, else `train`; shifted from concept to concept."""
    index = COMBINATIONS.index(combination)
    place = (index + index // 8 + 3 * concept_index) % 8
    return {0: "test", 1: "val"}.get(place, "train")


@functools.cache
def background(combination):
    colour, pattern = combination
    light = COLOURS[colour]
    dark = tuple(int(c * 0.82) for c in light)
    scale = 4
    n = SIDE * scale
    image = Image.new("RGB", (n, n), light)
    draw = ImageDraw.Draw(image)
    step = n // 6
    if pattern == "striped":
        for i in range(-n, 2 * n, 2 * step):
            draw.polygon([(i, 0), (i + step, 0), (i + step - n, n), (i - n, n)], fill=dark)
    elif pattern == "dotted":
        for x in range(step // 2, n, step):
            for y in range(step // 2, n, step):
                draw.ellipse([x - step * 0.27, y - step * 0.27, x + step * 0.27, y + step * 0.27], fill=dark)
    elif pattern == "checkered":
        for x in range(0, n, step):
            for y in range(0, n, step):
                if (x // step + y // step) % 2:
                    draw.rectangle([x, y, x + step - 1, y + step - 1], fill=dark)
    elif pattern == "ringed":
        for radius in range(step // 2, n, step):
            draw.ellipse([n / 2 - radius, n / 2 - radius, n / 2 + radius, n / 2 + radius], outline=dark, width=step // 3)
    elif pattern == "crossed":
        for i in range(step // 2, n, step):
            draw.line([(i, 0), (i, n)], fill=dark, width=step // 5)
            draw.line([(0, i), (n, i)], fill=dark, width=step // 5)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


@functools.cache
def art_picture(path):
    return Image.open(path).convert("RGBA").convert("RGBa")


def draw_scene(art_path, combination, rng: random.Random):
    """One object of about 0.78 of the frame on its background, with a little jitter."""
    side = round(SIDE * 0.78 * (1 + rng.uniform(-0.03, 0.03)))
    angle = rng.uniform(-2, 2)
    shift_x, shift_y = (rng.uniform(-0.03, 0.03) * SIDE for _ in range(2))
    art = art_picture(art_path)
    factor = art.width / side
    cos, sin = math.cos(math.radians(angle)) * factor, math.sin(math.radians(angle)) * factor
    centre_x, centre_y = SIDE / 2 + shift_x, SIDE / 2 + shift_y
    # Shrunk first (antialiased), then placed by a subpixel transform.
    small = art.resize((side * 2, side * 2), Image.Resampling.BICUBIC)
    cos, sin = cos / factor * 2, sin / factor * 2
    matrix = (cos, sin, side - cos * centre_x - sin * centre_y, -sin, cos, side + sin * centre_x - cos * centre_y)
    placed = small.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC).convert("RGBA")
    image = background(combination).copy()
    image.paste(placed, (0, 0), placed)
    return image
