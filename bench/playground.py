"""From the click in the browser to the first partial picture on the screen."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.context import Context
from bench.models import small_checkpoint
from bench.results import Table, spread
from bench.serving import server

TITLE = "The playground: from the click to the first partial picture"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Clicks, and resolves with the milliseconds until the newest card has painted its first frame.
CLICK = """() => new Promise((resolve) => {
    const before = document.querySelector("article.card");
    const start = performance.now();
    document.getElementById("generate").click();
    const look = () => {
        const newest = document.querySelector("article.card");
        if (newest !== before && Number(newest?.dataset.frames) > 0) resolve(performance.now() - start);
        else requestAnimationFrame(look);
    };
    look();
})"""


def run(context: Context) -> None:
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        context.say("  there is no chromium on PATH: nothing to measure")
        return
    table = Table(
        "Milliseconds, idle and loaded server, 12 steps",
        ["pictures asked for", "click to first partial"],
        note="Headless Chromium on the same machine as the server; measured in the page, from the click to the frame "
        "in which the partial picture is drawn. Tick, preview, PNG, SSE, decoding and painting included.",
    )
    with (
        small_checkpoint(context.checkpoint) as directory,
        server(context, "batched", directory) as url,
        _page(browser, url) as page,
    ):
        page.locator("#generate").click()  # loads the model
        _idle(page)
        for pictures in (1, 4):
            page.locator("#n").fill(str(pictures))
            times = []
            for _ in range(2 if context.quick else 4 * context.repeats):
                times.append(page.evaluate(CLICK))
                _idle(page)
            table.rows.append([pictures, spread(times)])
    context.add(table)


@contextmanager
def _page(browser: str, url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(url)
        page.locator("#chips button").first.wait_for()
        yield page
        chromium.close()


def _idle(page: Any) -> None:
    page.locator("article.card:first-child[data-state=done]").wait_for(timeout=60_000)
    page.wait_for_timeout(300)
