"""The page as people use it: generate, watch, paint over, make room, vary, reproduce, cancel, err."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.media.tags import read_tags
from tests.browser.conftest import Playground, sync_api

pytestmark = pytest.mark.browser
expect = sync_api.expect
SIDE = 16  # pixels of the tiny model; its grid is 4 x 4


def array(pixels: list[int]) -> np.ndarray:
    return np.array(pixels, np.uint8).reshape(SIDE, SIDE, 4)


def saved(playground: Playground, card: "sync_api.Locator", at: int = 0) -> Path:
    with playground.page.expect_download() as download:
        card.locator("a[download]").nth(at).click()
    return Path(download.value.path())


def paint(playground: Playground, *points: tuple[float, float]) -> None:
    """A stroke through `points`, as shares of the canvas."""
    box = playground.page.locator("#paint").bounding_box()
    assert box is not None
    mouse = playground.page.mouse
    for at, (x, y) in enumerate(points):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4 if at else 1)
        if at == 0:
            mouse.down()
    mouse.up()


def test_a_cold_visitor_generates_with_one_click(playground: Playground) -> None:
    playground.generate()
    card = playground.done()
    assert card.locator(".tile").count() == 4
    assert array(playground.picture(card)).std() > 0
    expect(playground.page.locator("#shelf li")).to_have_count(4)
    expect(card.locator(".status")).to_have_text("done")


def test_the_steps_can_be_watched_and_replayed(playground: Playground) -> None:
    playground.choose("slow", n=1, num_inference_steps=8, seed=5)
    card = playground.generate()
    expect(card.locator(".status")).to_have_text(re.compile(r"step \d of 8"))
    card = playground.done()
    slider = card.locator("input[type=range]")
    frames = int(slider.get_attribute("max") or 0) + 1
    assert frames >= 6, "the partial pictures did not come"
    final = playground.picture(card)
    slider.evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    assert playground.picture(card) != final
    playground.page.locator("#overlay").select_option("order")
    early = playground.pixels(card.locator("canvas[aria-hidden]"))
    slider.evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input')); }")
    assert playground.picture(card) == final
    assert playground.pixels(card.locator("canvas[aria-hidden]")) != early, "the grid does not fill"
    playground.page.locator("#overlay").select_option("none")
    assert not any(playground.pixels(card.locator("canvas[aria-hidden]")))


def test_painting_changes_what_is_painted_and_nothing_else(playground: Playground) -> None:
    playground.choose("tiny", n=1, seed=5, prompt="shirt")
    playground.generate()
    card = playground.done()
    before = array(playground.picture(card))
    card.get_by_role("button", name="Paint over picture 1").click()
    paint(playground, (0.2, 0.6), (0.4, 0.7))
    expect(playground.page.locator("#paint-state")).to_contain_text("tokens are made anew")
    marked = array(playground.pixels(playground.page.locator("#paint")))[..., :3].astype(int)
    touched = np.abs(marked - before[..., :3].astype(int)).sum(-1) > 0
    playground.page.locator("#paint-prompt").fill("bag")
    playground.page.locator("#paint-n").fill("2")
    playground.page.locator("#paint-go").click()
    expect(playground.page.locator("article.card")).to_have_count(2)
    edited = playground.done()
    assert edited.locator(".tile").count() == 2
    for at in range(2):
        after = array(playground.picture(edited, at))
        assert (after[~touched] == before[~touched]).all(), "a pixel outside the mask has changed"
        assert (after[touched] != before[touched]).any()


def test_room_is_made_around_a_picture(playground: Playground, tmp_path: Path) -> None:
    ramp = np.linspace(10, 250, SIDE * SIDE).astype(np.uint8).reshape(SIDE, SIDE)
    file = tmp_path / "ramp.png"
    Image.fromarray(np.stack([ramp] * 3, -1)).save(file)
    playground.choose("tiny", n=1, seed=5)
    playground.drop(file)
    playground.page.locator(".handle[data-side=left]").click()
    playground.page.locator(".handle[data-side=left]").click(modifiers=["Shift"])
    expect(playground.page.locator("#paint-state")).to_have_text("Nothing is marked yet")
    playground.page.locator(".handle[data-side=left]").click()
    expect(playground.page.locator("#paint-state")).to_have_text("4 of 16 tokens are made anew")
    playground.page.locator("#paint-n").fill("1")
    playground.page.locator("#paint-go").click()
    playground.card().wait_for()
    after = array(playground.picture(playground.done()))[..., 0]
    assert (after[:, 4:] == ramp[:, :-4]).all(), "the picture moved by one token, and is otherwise the same"
    assert (after[:, :4] != 0).any()


def test_the_painter_works_without_a_mouse(playground: Playground) -> None:
    playground.choose("tiny", n=1, seed=5)
    playground.generate()
    playground.done().get_by_role("button", name="Paint over picture 1").press("Enter")
    keyboard, state = playground.page.keyboard, playground.page.locator("#paint-state")
    for key in ("ArrowLeft", "ArrowUp", "Space"):
        keyboard.press(key)
    expect(state).to_have_text("1 of 16 tokens are made anew; row 2, column 2 marked")
    keyboard.press("Space")
    expect(state).to_have_text("Nothing is marked yet; row 2, column 2 kept")
    expect(playground.page.locator("#paint-go")).to_be_disabled()
    playground.page.locator("#undo").press("Enter")
    expect(state).to_have_text("1 of 16 tokens are made anew")
    playground.page.locator("#paint-go").press("Enter")
    expect(playground.page.locator("article.card")).to_have_count(2)
    playground.done()
    keyboard.press("Control+Enter")
    expect(playground.page.locator("article.card")).to_have_count(3)
    playground.done()


def test_variations_start_from_the_picture(playground: Playground) -> None:
    playground.choose("tiny", n=2, seed=5)
    playground.generate()
    card = playground.done()
    card.get_by_role("button", name="Make variations of picture 2").click()
    expect(playground.page.locator("article.card")).to_have_count(2)
    varied = playground.done()
    slider = varied.locator("input[type=range]")
    slider.evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    assert playground.picture(varied) == playground.picture(card, 1), "the replay begins elsewhere"


def test_a_saved_picture_brings_its_seed_and_settings_back(playground: Playground) -> None:
    playground.choose("tiny", n=2, seed=77, num_inference_steps=6, guidance_scale=2.5, prompt="bag")
    playground.generate()
    card = playground.done()
    file = saved(playground, card, 1)
    assert read_tags(file.read_bytes())["seed"] == 77
    wanted = playground.picture(card, 1)
    playground.page.reload()
    playground.page.locator("#chips button").first.wait_for()
    expect(playground.page.locator("#shelf li")).to_have_count(2)  # the history outlives the page
    playground.drop(file)
    expect(playground.page.locator("#opened-note")).to_contain_text("makes the same picture again")
    assert playground.page.locator("#seed").input_value() == "77"
    assert playground.page.locator("#prompt").input_value() == "bag"
    playground.generate()
    again = playground.done()
    assert again.locator(".tile").count() == 2
    assert playground.picture(again, 1) == wanted


def test_the_first_partial_comes_before_the_end_and_cancel_stops_the_engine(playground: Playground) -> None:
    playground.choose("slow", n=1, num_inference_steps=16)
    card = playground.generate()
    expect(card.locator(".status")).to_have_text(re.compile(r"step \d+ of 16"))
    card.get_by_role("button", name="Cancel").click()
    playground.done("cancelled")
    expect(card.locator(".status")).to_have_text("cancelled")
    playground.live.wait_idle(2)


def test_twenty_rapid_clicks_and_cancels_leave_nothing_running(playground: Playground) -> None:
    playground.choose("slow", n=2, num_inference_steps=16)
    for _ in range(20):
        playground.page.locator("#generate").click()
    expect(playground.page.locator("article.card")).to_have_count(20)
    expect(playground.page.locator(".status", has_text="waiting for a connection").first).to_be_visible()
    playground.page.locator("h1").click()
    playground.page.keyboard.press("Escape")
    over = playground.page.locator("article[data-state=cancelled], article[data-state=done]")
    expect(over).to_have_count(20)  # on a busy machine the first are done before the last click
    assert playground.page.locator("article[data-state=cancelled]").count() >= 10
    playground.live.wait_idle(3)
    playground.choose("tiny", n=1)
    playground.generate()
    playground.done()


def test_requests_side_by_side_share_batches_in_the_engine_view(playground: Playground) -> None:
    playground.choose("slow", n=3, num_inference_steps=16, reuse=1)
    for _ in range(3):
        playground.page.locator("#generate").click()
    playground.page.locator("#tab-engine").click()
    lane = playground.page.locator("#lanes tr", has_text="slow · step")
    lane.wait_for()
    expect(lane.locator("td").nth(2)).to_have_text(re.compile(r"\d+ : [1-9]\d*"), timeout=15_000)
    end = time.monotonic() + 10
    while float(lane.locator("td").nth(1).inner_text()) <= 3.0:
        assert time.monotonic() < end, "nine samples never shared a batch"
        time.sleep(0.05)
    playground.page.locator("#tab-engine").press("ArrowLeft")
    expect(playground.page.locator("#view-images")).to_be_visible()
    expect(playground.page.locator("article[data-state=done]")).to_have_count(3, timeout=30_000)


def test_errors_are_shown_in_the_servers_words_beside_their_field(playground: Playground) -> None:
    playground.expected.append("400")
    playground.choose("tiny", prompt="zeppelin")
    playground.generate()
    playground.done("failed")
    shown = playground.page.locator("#problem")
    expect(shown).to_contain_text("names none of this model's classes")
    expect(playground.page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    expect(playground.page.locator("#prompt")).to_be_focused()
    playground.choose("tiny", prompt="shirt")
    playground.page.locator("#more summary").click()
    playground.choose("tiny", plan="1,2,oops")
    playground.generate()
    playground.done("failed")
    expect(playground.page.locator("#plan")).to_have_attribute("aria-invalid", "true")
    playground.page.locator("#reset").click()
    playground.generate()
    playground.done()
    expect(shown).to_be_hidden()


def test_what_is_no_picture_is_refused_kindly(playground: Playground, tmp_path: Path) -> None:
    file = tmp_path / "notes.png"
    file.write_text("not a picture")
    playground.drop(file)
    expect(playground.page.locator("#problem")).to_contain_text("no picture")


def test_a_refused_painting_is_not_lost(playground: Playground) -> None:
    playground.expected.append("400")
    playground.choose("tiny", n=1, seed=5)
    playground.generate()
    playground.done().get_by_role("button", name="Paint over picture 1").click()
    paint(playground, (0.3, 0.3), (0.6, 0.6))
    playground.page.locator("#paint-prompt").fill("nothing of the kind")
    playground.page.locator("#paint-go").click()
    expect(playground.page.locator("#paint-problem")).to_contain_text("names none of this model's classes")
    expect(playground.page.locator("#paint-state")).to_contain_text("tokens are made anew")
    expect(playground.page.locator("article.card")).to_have_count(1)
    playground.page.locator("#paint-prompt").fill("bag")
    playground.page.locator("#paint-go").click()
    expect(playground.page.locator("article.card")).to_have_count(2)
    playground.done()
    expect(playground.page.locator("#painter")).to_be_hidden()


def test_seeds_beyond_the_numbers_of_javascript_and_far_too_many_pictures(playground: Playground) -> None:
    seed = str(2**63 - 5)
    playground.choose("tiny", n=1, seed=seed, guidance_scale=2.25)
    playground.generate()
    file = saved(playground, playground.done())
    tags = read_tags(file.read_bytes())
    assert tags["seed"] == int(seed) and tags["sampling"]["guidance_scale"] == 2.25  # type: ignore[index]
    playground.page.reload()
    playground.page.locator("#chips button").first.wait_for()
    playground.drop(file)
    expect(playground.page.locator("#seed")).to_have_value(seed)
    expect(playground.page.locator("#guidance_scale")).to_have_value("2.25")
    playground.expected.append("400")
    playground.choose("tiny", n=100_000_000)
    playground.generate()
    playground.done("failed")
    expect(playground.page.locator("#n")).to_have_attribute("aria-invalid", "true")


def test_what_was_made_while_another_view_was_open_shows_its_grid(playground: Playground) -> None:
    playground.page.locator("#overlay").select_option("order")
    playground.choose("slow", n=1, num_inference_steps=8)
    playground.generate()
    playground.page.locator("#tab-engine").click()
    time.sleep(1.5)
    playground.page.locator("#tab-images").click()
    assert any(playground.pixels(playground.done().locator("canvas[aria-hidden]")))


def test_a_removed_card_gives_its_place_back_and_a_failed_one_can_be_tried_again(playground: Playground) -> None:
    playground.choose("slow", n=1, num_inference_steps=16)
    playground.generate().get_by_role("button", name="Cancel").click()
    playground.done("cancelled").get_by_role("button", name="Again").click()
    expect(playground.page.locator("article.card")).to_have_count(2)
    playground.card().get_by_role("button", name="Remove").click()
    expect(playground.page.locator("article.card")).to_have_count(1)
    playground.live.wait_idle(2)


@pytest.mark.parametrize("kind", ["generation", "edit", "variation"])
def test_a_run_can_be_copied_as_code_that_runs(playground: Playground, kind: str, tmp_path: Path) -> None:
    page = playground.page
    playground.choose("tiny", n=1, seed=2**63 - 5, num_inference_steps=4)
    playground.generate()
    if kind == "edit":
        playground.done().get_by_role("button", name="Paint over picture 1").click()
        paint(playground, (0.3, 0.3), (0.6, 0.6))
        page.locator("#paint-go").click()
    elif kind == "variation":
        playground.done().get_by_role("button", name="Make variations of picture 1").click()
    expect(page.locator("article.card")).to_have_count(1 if kind == "generation" else 2)
    playground.done().get_by_role("button", name="Copy as").click()
    for at in range(page.locator("#snippet-files a").count()):
        with page.expect_download() as download:
            page.locator("#snippet-files a").nth(at).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    programs = {"curl": ["bash"], "python": [sys.executable], "javascript": ["node"]}
    for language, program in programs.items():
        if shutil.which(program[0]) is None:
            continue
        page.locator(f"#lang-{language}").check()
        source = tmp_path / {"curl": "run.sh", "python": "run.py", "javascript": "run.mjs"}[language]
        source.write_text(page.locator("#snippet").inner_text())
        done = subprocess.run([*program, source.name], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{source.read_text()}\n{done.stdout}\n{done.stderr}"
        assert read_tags((tmp_path / "0.png").read_bytes())["task"] == {"generation": "generate"}.get(kind, kind)
        (tmp_path / "0.png").unlink()
