"""Pictures to train on, drawn: a disc or a square whose colours, place and size differ."""

from PIL import Image, ImageDraw


def draw(kind: str, at: int) -> Image.Image:
    """Number `at` of a kind: `discs` are round, all others square."""
    width, height = 30 + at % 7, 30 + at % 5
    picture = Image.new("RGB", (width, height), (20 * (at % 10), 80, 200))
    pen = ImageDraw.Draw(picture)
    box = (4 + at % 3, 5, width - 5, height - 4 - at % 4)
    (pen.ellipse if kind == "discs" else pen.rectangle)(box, fill=(250, 8 * (at % 30), 30))
    return picture
