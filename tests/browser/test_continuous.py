"""The page with a model of continuous tokens: its own fields, watched, painted over, repeated."""

import re
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Playground, sync_api
from tests.live import Live, serving
from tests.tiny import tiny_checkpoint, tiny_mar_checkpoint

pytestmark = pytest.mark.browser
expect = sync_api.expect


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("checkpoints")
    tiny_checkpoint(models)
    tiny_mar_checkpoint(models)
    with serving([models]) as server:
        yield server


def test_a_model_shows_the_fields_that_it_knows(playground: Playground) -> None:
    page = playground.page
    page.locator("#more summary").click()
    playground.choose("tiny-mar")
    expect(page.locator("#diffusion_steps")).to_have_value("8")
    for name in ("top_k", "top_p", "choice_temperature"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    playground.choose("tiny")
    expect(page.locator("#top_k")).to_be_visible()
    expect(page.locator("#diffusion_steps")).to_be_hidden()


def test_it_is_watched_painted_over_and_repeated(playground: Playground) -> None:
    page = playground.page
    page.locator("#more summary").click()
    playground.choose("tiny-mar", n=1, num_inference_steps=8, seed=5, prompt="bag", diffusion_steps=60)
    playground.generate()
    card = playground.done()
    first = playground.picture(card)
    frames = int(card.locator("input[type=range]").get_attribute("max") or 0) + 1
    assert frames >= 3, "the partial pictures did not come"
    page.locator("#overlay").select_option("order")
    assert any(playground.pixels(card.locator("canvas[aria-hidden]")))
    page.locator("#overlay").select_option("none")
    playground.generate()
    expect(page.locator("article.card")).to_have_count(2)
    assert playground.picture(playground.done()) == first, "the same seed, the same picture"

    playground.card().get_by_role("button", name="Paint over picture 1").click()
    box = page.locator("#paint").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator("#paint-state")).to_contain_text(re.compile("tokens? (is|are) made anew"))
    page.locator("#paint-go").click()
    expect(page.locator("article.card")).to_have_count(3)
    edited = playground.picture(playground.done())
    assert edited != first and edited[:4] == first[:4], "only what was painted"
