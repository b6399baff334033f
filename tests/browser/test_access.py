"""Everybody can use the page: axe finds nothing of level A or AA, phones scroll down only, nothing is foreign."""

import json

import httpx2
import pytest

from service.http.playground import FILES
from tests.browser.conftest import Playground, sync_api

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.browser
expect = sync_api.expect
DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
LEVELS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def violations(playground: Playground) -> list[str]:
    found = axe.Axe().run(playground.page, options=LEVELS).response["violations"]
    return [f"{v['id']}: {json.dumps([node['html'] for node in v['nodes']])[:300]}" for v in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("context_options", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(playground: Playground, theme: str) -> None:
    page = playground.page
    page.emulate_media(color_scheme=theme)
    playground.expected.append("400")
    playground.choose("tiny", n=2, prompt="nothing of the kind")
    playground.generate()
    playground.done("failed")
    playground.choose("tiny", prompt="shirt")
    playground.generate()
    card = playground.done()
    page.locator("#overlay").select_option("order")
    page.locator("#more summary").click()
    assert not violations(playground)
    card.get_by_role("button", name="Paint over picture 1").click()
    assert not violations(playground)
    page.locator("#paint-close").click()
    card.get_by_role("button", name="Copy as").click()
    assert not violations(playground)
    page.keyboard.press("Escape")
    page.locator("#open-key").click()
    assert not violations(playground)
    page.keyboard.press("Escape")
    page.locator("#tab-engine").click()
    page.locator("#lanes tr").first.wait_for()
    assert not violations(playground)


@pytest.mark.parametrize("context_options", [PHONE], ids=["phone"])
def test_a_phone_scrolls_down_only(playground: Playground) -> None:
    playground.choose("tiny", n=4)
    playground.generate()
    card = playground.done()
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for tab in ("engine", "images"):
        playground.page.locator(f"#tab-{tab}").click()
        assert playground.page.evaluate(wide) == 0
    card.get_by_role("button", name="Paint over picture 1").tap()
    assert playground.page.locator("#painter").evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    playground.page.locator("#paint").tap(position={"x": 30, "y": 30})
    expect(playground.page.locator("#paint-go")).to_be_enabled()


def test_the_choice_of_a_theme_is_kept(playground: Playground) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    before = playground.page.evaluate(background)
    playground.page.locator("#theme").click()
    after = playground.page.evaluate(background)
    assert after != before
    playground.page.reload()
    assert playground.page.evaluate(background) == after


def test_nothing_comes_from_elsewhere_and_all_of_it_is_small(playground: Playground) -> None:
    asked: list[str] = []
    playground.page.on("request", lambda request: asked.append(request.url))
    playground.page.reload()
    playground.page.locator("#chips button").first.wait_for()
    foreign = [url for url in asked if not url.startswith((playground.live.url, "blob:", "data:"))]
    assert asked and not foreign
    assert sum(file.stat().st_size for file in FILES.rglob("*") if file.is_file()) < 200_000
    answer = httpx2.get(playground.live.url)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
