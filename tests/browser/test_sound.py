"""The sound view: made, seen, made anew in part, continued, brought back from its file."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.browser.conftest import Playground, sync_api
from tests.browser.test_access import violations
from tests.e2e.test_audio import CODEC, NETWORK, RATE
from tests.live import Live, serving
from tests.tiny import tiny_checkpoint, tiny_magnet_checkpoint

pytestmark = pytest.mark.browser
expect = sync_api.expect
INK = """c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)
    .filter((v, i) => i % 4 === 3 && v).length"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("checkpoints")
    tiny_checkpoint(models)
    tiny_magnet_checkpoint(models, "loops", network=NETWORK, codec=CODEC)
    with serving([models]) as server:
        yield server


def open_view(playground: Playground, prompt: str = "slow piano", sounds: int = 1) -> "sync_api.Page":
    page = playground.page
    page.locator("#tab-sound").click()
    page.locator("#s-prompt").fill(prompt)
    page.locator("#s-n").fill(str(sounds))
    page.locator("#s-seed").fill("5")
    return page


def newest(page: "sync_api.Page", state: str = "done") -> "sync_api.Locator":
    card = page.locator("#s-cards article.card").first
    expect(card).to_have_attribute("data-state", state, timeout=30_000)
    return card


def test_sounds_are_made_seen_and_made_anew_in_part(playground: Playground) -> None:
    page = open_view(playground, sounds=2)
    page.locator("#s-generate").click()
    card = newest(page)
    assert int(card.get_attribute("data-frames") or 0) > 2, "no previews came"
    expect(card.locator("section.track")).to_have_count(2)
    for canvas in ("canvas.wave", "canvas.spectrogram"):
        assert card.locator(canvas).first.evaluate(INK) > 100
    expect(card.locator("audio").first).to_have_attribute("src", re.compile("^blob:"))
    expect(card.locator(".made").nth(1)).to_contain_text("slow piano, 1.95 s, steps 4 + 2 + 2 + 2")

    card.get_by_label("From, seconds, of sound 1").fill("0.5")
    card.get_by_label("To, seconds, of sound 1").fill("1")
    card.get_by_role("button", name="Make the range of sound 1 anew").click()
    expect(page.locator("#s-cards article.card")).to_have_count(2)
    expect(newest(page).locator("h3")).to_contain_text("edit: slow piano")


def test_a_short_sound_is_continued(playground: Playground) -> None:
    page = open_view(playground)
    page.locator("#s-duration").evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    page.locator("#s-generate").click()
    card = newest(page)
    expect(card.locator(".made").nth(1)).to_contain_text("1.00 s")
    card.get_by_role("button", name="Continue sound 1").click()
    expect(page.locator("#s-cards article.card")).to_have_count(2)
    expect(newest(page).locator(".made").nth(1)).to_contain_text("1.50 s")


def test_a_range_is_dragged_over_the_waveform(playground: Playground) -> None:
    page = open_view(playground)
    page.locator("#s-generate").click()
    card = newest(page)
    box = card.locator("canvas.wave").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 10, steps=4)
    page.mouse.up()
    assert float(card.get_by_label("From, seconds, of sound 1").input_value()) == pytest.approx(0.5, abs=0.06)
    assert float(card.get_by_label("To, seconds, of sound 1").input_value()) == pytest.approx(1.45, abs=0.06)


def test_a_file_brings_its_settings_back(playground: Playground, tmp_path: Path) -> None:
    page = open_view(playground, "fast organ")
    page.locator("#s-loop").check()
    page.locator("#s-generate").click()
    card = newest(page)
    with page.expect_download() as download:
        card.get_by_role("link", name="Save sound 1").click()
    file = tmp_path / "made.wav"
    download.value.save_as(file)
    page.locator("#s-reset").click()
    page.locator("#s-prompt").fill("bass")
    page.locator("#s-seed").fill("")
    page.locator("#s-file").set_input_files(file)
    expect(page.locator("#s-prompt")).to_have_value("fast organ")
    expect(page.locator("#s-seed")).to_have_value("5")
    expect(page.locator("#s-loop")).to_be_checked()
    page.locator("#opened-to").fill("0.5")
    page.locator("#opened-edit button").click()
    expect(page.locator("#s-cards article.card")).to_have_count(2)
    newest(page)


def test_a_file_of_24_bits_is_seen_and_keeps_its_depth(playground: Playground, tmp_path: Path) -> None:
    file = tmp_path / "deep.wav"
    soundfile.write(file, 0.5 * np.sin(np.arange(RATE) / 9.0), RATE, "PCM_24")
    page = open_view(playground)
    page.locator("#s-file").set_input_files(file)
    expect(page.locator("#opened-to")).to_have_value("1.00")
    page.locator("#opened-to").fill("0.5")
    page.locator("#opened-edit button").click()
    card = newest(page)
    assert card.locator("canvas.wave").evaluate(INK) > 100
    expect(card.locator("audio")).to_have_attribute("src", re.compile("^blob:"))
    expect(card.locator(".made").nth(1)).to_contain_text("1.00 s")


def test_steps_of_codebooks_and_what_a_model_lacks(playground: Playground) -> None:
    page = open_view(playground)
    page.locator("#sound-form summary").click()
    expect(page.locator("#s-reuse")).to_be_visible()
    expect(page.locator("#s-head_start")).to_be_hidden()
    page.locator("#s-codebook_steps").fill("5, 2, 1, 1")
    page.locator("#s-reuse").fill("1")
    page.locator("#s-generate").click()
    expect(newest(page).locator(".made").nth(1)).to_contain_text("steps 5 + 2 + 1 + 1")


def test_what_is_refused_is_said_at_its_field(playground: Playground) -> None:
    playground.expected.append("400")
    page = open_view(playground, "violin")
    page.locator("#s-generate").click()
    expect(page.locator("#s-problem")).to_contain_text("no word that this model knows")
    expect(page.locator("#s-prompt")).to_have_attribute("aria-invalid", "true")


def test_the_code_of_a_request_is_shown(playground: Playground) -> None:
    page = open_view(playground)
    page.locator("#s-generate").click()
    newest(page).get_by_role("button", name="Copy as").click()
    expect(page.locator("#snippet")).to_contain_text("/v1/audio/generations")
    page.locator("#lang-python").check()
    expect(page.locator("#snippet")).to_contain_text("httpx.post")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(playground: Playground, theme: str) -> None:
    page = open_view(playground)
    page.emulate_media(color_scheme=theme)
    page.locator("#s-generate").click()
    newest(page)
    page.locator("#sound-form summary").click()
    assert not violations(playground)
