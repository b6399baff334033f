"""A server with API keys: the page asks for one, keeps it for the tab, and uses it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import sync_api
from tests.live import serving
from tests.tiny import tiny_checkpoint

pytestmark = pytest.mark.browser
expect = sync_api.expect


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving([tiny_checkpoint(tmp_path)], api_keys="secret") as live:
        yield live.url


def test_a_key_is_asked_for_and_used(chromium: "sync_api.Browser", url: str) -> None:
    page = chromium.new_context().new_page()
    page.goto(url)
    dialog = page.locator("#key-dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("API key")
    page.locator("#key").fill("wrong")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#key-note")).to_contain_text("incorrect")
    page.locator("#key").fill("secret")
    page.get_by_role("button", name="Use it").click()
    page.locator("#chips button").first.wait_for()
    page.locator("#generate").click()
    expect(page.locator("article.card")).to_have_attribute("data-state", "done", timeout=20_000)
    page.get_by_role("button", name="Copy as").click()
    expect(page.locator("#snippet")).to_contain_text("$MASKSERVE_KEY")
    assert "secret" not in page.locator("#snippet").inner_text()
    page.reload()
    page.locator("#chips button").first.wait_for()
    page.context.close()
