"""The video view: made from nothing and from a clip, gone on with, made anew in part, saved, brought back."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.media.films import ClipLimits, read_clip
from service.media.videos import encode_video
from tests.browser.conftest import Playground, sync_api
from tests.browser.test_access import violations
from tests.live import Live, serving
from tests.tiny import tiny_checkpoint, tiny_mcvd_checkpoint

pytestmark = pytest.mark.browser
expect = sync_api.expect
SIDE = 16
CLIP = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 1), np.uint8)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("checkpoints")
    tiny_checkpoint(models)
    tiny_mcvd_checkpoint(models, "clips")
    with serving([models]) as server:
        yield server


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    file = tmp_path / "clip.mkv"
    file.write_bytes(encode_video(CLIP, 8, "mkv"))
    return file


def open_view(playground: Playground, task: str = "unconditional", frames: int = 6) -> "sync_api.Page":
    page = playground.page
    page.locator("#tab-video").click()
    page.locator("#v-task").select_option(task)
    if task != "interpolation":
        page.locator("#v-frames").fill(str(frames))
    page.locator("#v-seed").fill("5")
    return page


def newest(page: "sync_api.Page", state: str = "done") -> "sync_api.Locator":
    card = page.locator("#v-cards article.card").first
    expect(card).to_have_attribute("data-state", state, timeout=30_000)
    return card


def made(page: "sync_api.Page", count: int = 1) -> "sync_api.Locator":
    """The newest of `count` cards, once it is done."""
    expect(page.locator("#v-cards article.card")).to_have_count(count)
    return newest(page)


def said(card: "sync_api.Locator") -> "sync_api.Locator":
    return card.locator(".track .made")


def saved(playground: Playground, card: "sync_api.Locator", format: str, place: Path) -> Path:
    card.get_by_label("Format").select_option(format)
    with playground.page.expect_download() as download:
        card.get_by_role("button", name="Save").click()
    file = place / download.value.suggested_filename
    download.value.save_as(file)
    return file


def frames_of(file: Path) -> np.ndarray:
    return read_clip(file.read_bytes(), 1, None, ClipLimits(100, 1 << 16)).frames


def test_a_video_is_dreamt_gone_on_with_and_made_anew_in_part(playground: Playground, tmp_path: Path) -> None:
    page = open_view(playground)
    page.locator("#v-generate").click()
    card = made(page)
    assert int(card.get_attribute("data-frames") or 0) > 2, "no previews came"
    expect(said(card)).to_contain_text("unconditional, 6 frames, 0.6 s, 12 steps")
    first = frames_of(saved(playground, card, "zip", tmp_path))

    card.get_by_role("button", name="Go on").click()
    longer = made(page, 2)
    expect(said(longer)).to_contain_text("prediction, 12 frames")
    whole = frames_of(saved(playground, longer, "mkv", tmp_path))
    assert np.array_equal(whole[:6], first), "what was there stays"

    longer.get_by_label("From frame").fill("7")
    longer.get_by_label("To frame").fill("8")
    longer.get_by_role("button", name="Make them anew").click()
    edited = made(page, 3)
    anew = frames_of(saved(playground, edited, "zip", tmp_path))
    changed = np.flatnonzero((anew != whole).any(axis=(1, 2, 3)))
    assert changed.tolist() == [7, 8]


def test_a_clip_goes_on_and_back(playground: Playground, clip: Path) -> None:
    page = open_view(playground, "prediction", 4)
    page.locator("#v-before").set_input_files(clip)
    page.locator("#v-generate").click()
    expect(said(made(page))).to_contain_text("prediction, 8 frames, 1 s")
    newest(page).get_by_role("button", name="Go back").click()
    expect(said(made(page, 2))).to_contain_text("past, 12 frames")


def test_pictures_on_both_sides_are_joined(playground: Playground, clip: Path) -> None:
    page = open_view(playground, "interpolation")
    expect(page.locator("#v-frames")).to_be_disabled()
    for name in ("before", "behind"):
        page.locator(f"#v-{name}").set_input_files(clip)
    page.locator("#v-generate").click()
    expect(said(made(page))).to_contain_text("interpolation, 11 frames")


def test_frames_are_chosen_by_dragging_and_looked_at_by_the_slider(playground: Playground) -> None:
    page = open_view(playground)
    page.locator("#v-generate").click()
    card = made(page)
    canvas = card.locator("canvas.timeline")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 10, steps=4)
    page.mouse.up()
    expect(card.get_by_label("From frame")).to_have_value("1")
    expect(card.get_by_label("To frame")).to_have_value("4")
    pictures = []
    for frame in ("0", "3"):
        card.get_by_label("Frame", exact=True).evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", frame
        )
        expect(card.locator(".player .where")).to_have_text(f"frame {frame} of 6")
        pictures.append(playground.pixels(card.locator("canvas.screen")))
    assert len(pictures[0]) == 4 * SIDE * SIDE and pictures[0] != pictures[1]


@pytest.mark.parametrize("format", ["mp4", "zip"])
def test_a_file_brings_its_settings_back(playground: Playground, tmp_path: Path, format: str) -> None:
    page = open_view(playground)
    page.locator("#video-form summary").click()
    page.locator("#v-sampler").select_option("ddim")
    page.locator("#v-generate").click()
    file = saved(playground, made(page), format, tmp_path)
    page.locator("#v-reset").click()
    expect(page.locator("#v-sampler")).to_have_value("ddpm")
    page.locator("#v-seed").fill("")
    page.locator("#v-file").set_input_files(file)
    expect(page.locator("#v-seed")).to_have_value("5")
    expect(page.locator("#v-sampler")).to_have_value("ddim")
    expect(page.locator("#v-task")).to_have_value("unconditional")


def test_a_clip_that_is_dropped_is_gone_on_with(playground: Playground, clip: Path) -> None:
    playground.drop(clip, "video/x-matroska")
    page = playground.page
    expect(page.locator("#tab-video")).to_have_attribute("aria-selected", "true")
    assert page.locator("#v-before").evaluate("e => e.files[0].name") == "clip.mkv"


def test_what_is_refused_is_said_at_its_field(playground: Playground) -> None:
    playground.expected.append("400")
    page = open_view(playground, "prediction")
    page.locator("#v-generate").click()
    expect(page.locator("#v-problem")).to_contain_text("needs 3 frames")
    expect(page.locator("#v-before")).to_have_attribute("aria-invalid", "true")


def test_the_code_of_a_request_is_shown(playground: Playground, clip: Path) -> None:
    page = open_view(playground, "prediction")
    page.locator("#v-before").set_input_files(clip)
    page.locator("#v-generate").click()
    made(page).get_by_role("button", name="Copy as").click()
    expect(page.locator("#snippet")).to_contain_text("-F input_reference=@input_reference.mkv")
    expect(page.locator("#snippet-files a")).to_have_text("input_reference.mkv")
    page.locator("#lang-python").check()
    expect(page.locator("#snippet")).to_contain_text('server.post("/v1/videos"')


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(playground: Playground, theme: str) -> None:
    page = open_view(playground)
    page.emulate_media(color_scheme=theme)
    page.locator("#v-generate").click()
    made(page)
    page.locator("#video-form summary").click()
    assert not violations(playground)
