"""Records docs/images/playground.webp and the screenshots beside it from the running page.

Usage: maskserve serve, then in another shell: python scripts/record_playground.py [URL]
Needs chromium on PATH and the test extras.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PLACE = Path(__file__).resolve().parent.parent / "docs" / "images"
FRAME = 90  # milliseconds
WIDTH = 840  # pixels of the animation


class Film:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []

    def shoot(self, times: int = 1) -> None:
        for _ in range(times):
            shot = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
            self.frames.append(shot.resize((WIDTH, shot.height * WIDTH // shot.width), Image.Resampling.LANCZOS))

    def hold(self, seconds: float) -> None:
        self.frames += [self.frames[-1]] * int(1000 * seconds / FRAME)

    def save(self, path: Path) -> None:
        first, *rest = self.frames
        first.save(path, save_all=True, append_images=rest, duration=FRAME, loop=0, quality=70, method=4)


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    PLACE.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1120, "height": 700})
        page.goto(url)
        page.locator("#chips button").first.wait_for()
        record(page).save(PLACE / "playground.webp")
        stills(page)
        chromium.close()


def record(page: Page) -> Film:
    """Generate, watch, paint over, see only that change."""
    film = Film(page)
    page.locator("#zoom").evaluate("e => { e.value = 160; e.dispatchEvent(new Event('input')); }")
    film.shoot()
    film.hold(0.6)
    page.get_by_role("button", name="sneaker", exact=True).click()
    page.locator("#seed").fill("7")
    film.shoot(3)
    page.locator("#generate").click()
    follow(film, 1)
    page.get_by_role("button", name="Paint over picture 1").first.click()
    film.shoot(2)
    box = page.locator("#paint").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    for at in range(10):
        page.mouse.move(box["x"] + (0.25 + 0.05 * at) * box["width"], box["y"] + (0.35 + 0.02 * at) * box["height"])
        film.shoot()
    page.mouse.up()
    page.locator("#paint-prompt").fill("ankle boot")
    film.shoot()
    film.hold(0.5)
    page.locator("#paint-go").click()
    follow(film, 2)
    film.hold(1.5)
    return film


def follow(film: Film, cards: int) -> None:
    """Until the newest of `cards` cards is over."""
    film.page.locator("article.card").nth(cards - 1).wait_for()
    newest = film.page.locator("article.card").first
    while newest.get_attribute("data-state") not in ("done", "failed"):
        film.shoot()
    film.shoot()
    film.hold(0.8)


def stills(page: Page) -> None:
    page.locator("#overlay").select_option("order")
    page.screenshot(path=PLACE / "playground-order.png")
    page.get_by_role("button", name="Paint over picture 1").first.click()
    page.locator(".handle[data-side=top]").click()
    page.screenshot(path=PLACE / "playground-painter.png")
    page.locator("#paint-close").click()
    page.locator("#reuse").evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    for _ in range(5):
        page.locator("#generate").click()
    page.locator("#tab-engine").click()
    page.wait_for_timeout(2500)
    page.screenshot(path=PLACE / "playground-engine.png")


if __name__ == "__main__":
    main()
