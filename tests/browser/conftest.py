"""A headless Chromium on a page of a real server."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live import Live, serving, tiny_and_slow

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator["sync_api.Browser"]:
    """Debian's chromium, or whichever is on PATH; without one the tests are skipped, or fail where CI promised one.

    Not for the whole session: while Playwright's loop is open, no other test could run one.
    """
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("there is no chromium on PATH")
        pytest.skip("there is no chromium on PATH (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tiny_and_slow(tmp_path_factory.mktemp("checkpoints"))) as server:
        yield server


@dataclass
class Playground:
    """The page, and what a test does on it again and again."""

    page: "sync_api.Page"
    live: Live
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=lambda: ["willReadFrequently"])  # what tests themselves provoke

    def choose(self, model: str, **fields: object) -> None:
        """`fields` are ids of the form, set as a user would."""
        self.page.locator("#model").select_option(model)
        for name, value in fields.items():
            control = self.page.locator(f"#{name}")
            if control.get_attribute("type") == "range":
                control.evaluate(
                    "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
                )
            else:
                control.fill(str(value))

    def generate(self) -> "sync_api.Locator":
        """Click; returns the newest card."""
        self.page.locator("#generate").click()
        return self.card()

    def card(self) -> "sync_api.Locator":
        return self.page.locator("article.card").first

    def done(self, state: str = "done") -> "sync_api.Locator":
        """The newest card, once it is over."""
        card = self.card()
        sync_api.expect(card).to_have_attribute("data-state", state, timeout=30_000)
        return card

    def pixels(self, canvas: "sync_api.Locator") -> list[int]:
        """RGBA of every pixel."""
        found: list[int] = canvas.evaluate(
            "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        )
        return found

    def picture(self, card: "sync_api.Locator", at: int = 0) -> list[int]:
        return self.pixels(card.locator("canvas.pixels").nth(at))

    def drop(self, file: Path, kind: str = "image/png") -> None:
        """Let a file fall onto the page."""
        self.page.evaluate(
            """([bytes, name, type]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], name, { type }));
                document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            [list(file.read_bytes()), file.name, kind],
        )


@pytest.fixture
def context_options() -> dict[str, object]:
    """Tests replace it for other screens."""
    return {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def playground(chromium: "sync_api.Browser", live: Live, context_options: dict[str, object]) -> Iterator[Playground]:
    """A fresh page without history. An error in its console, or one that was not caught, fails the test."""
    context = chromium.new_context(accept_downloads=True, **context_options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    made = Playground(page, live)
    page.on("console", lambda m: made.errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.goto(live.url)
    page.locator("#chips button").first.wait_for()
    yield made
    context.close()
    live.wait_idle()
    unexpected = [error for error in made.errors if not any(part in error for part in made.expected)]
    assert not unexpected, unexpected
