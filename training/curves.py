"""Training curves as a PNG, drawn with Pillow: no plotting library is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

Points = Sequence[tuple[float, float]]
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14))
SIZE, LEFT, EDGE = (560, 300), 64, 28


def draw_curves(title: str, curves: Mapping[str, Points], path: Path) -> None:
    """One panel: named lines over the step. Each needs at least two points."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    every = [point for points in curves.values() for point in points]
    x0, x1 = min(x for x, _ in every), max(x for x, _ in every)
    y0, y1 = min(y for _, y in every), max(y for _, y in every)
    y1 = y1 if y1 > y0 else y0 + 1

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / (x1 - x0) * (SIZE[0] - LEFT - EDGE)
        up = (y - y0) / (y1 - y0) * (SIZE[1] - 2 * EDGE)
        return LEFT + across, SIZE[1] - EDGE - up

    pen.text((LEFT, 8), title, fill="black")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value, step = y0 + share * (y1 - y0), x0 + share * (x1 - x0)
        level = place(x0, value)[1]
        pen.line((LEFT, level, SIZE[0] - EDGE, level), fill=(225, 225, 225))
        pen.text((6, level - 6), f"{value:.3g}", fill="black")
        pen.text((place(step, y0)[0] - 12, SIZE[1] - EDGE + 6), f"{step:.0f}", fill="black")
    for i, (name, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        pen.line([place(*point) for point in points], fill=colour, width=2)
        pen.text((SIZE[0] - 150, EDGE + 4 + 14 * i), name, fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def smoothed(points: Points, window: int = 9) -> Points:
    """Moving average over `window` entries around each point."""
    values = [y for _, y in points]
    half = window // 2
    spans = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [(x, sum(span) / len(span)) for (x, _), span in zip(points, spans, strict=True)]
