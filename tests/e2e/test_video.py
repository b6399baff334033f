"""Videos over HTTP, by a model of random weights: blocks of three frames of 16x16, three shown before and behind."""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx2
import numpy as np
import pytest
from PIL import Image

from service.media.films import ClipLimits, read_clip
from service.media.videos import VIDEO_TYPES, encode_video
from tests.e2e.asks import png
from tests.live import Live, serving
from tests.tiny import tiny_mcvd_checkpoint

SIDE, F = 16, 3
CLIP = np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 1), np.uint8)
FILE = encode_video(CLIP, 8, "mkv")
LIMITS = ClipLimits(1000, 1 << 20)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI closes its own


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving([tiny_mcvd_checkpoint(tmp_path_factory.mktemp("video"), "clips")]) as made:
        yield made


def frames_of(file: bytes) -> np.ndarray:
    return read_clip(file, 1, None, LIMITS).frames


def post(live: Live, fields: dict[str, Any], files: Any = None, path: str = "") -> httpx2.Response:
    url = f"{live.url}/v1/videos{path}"
    if files is None and path != "/edits":
        return httpx2.post(url, json=fields, timeout=60)
    values = {name: str(value) for name, value in {"output_format": "mkv", "seed": 1, **fields}.items()}
    if files is None:
        files = {name: (None, value) for name, value in values.items()}
        return httpx2.post(url, files=files, timeout=60)
    return httpx2.post(url, data=values, files=files, timeout=60)


def made(live: Live, answer: httpx2.Response) -> tuple[dict[str, Any], bytes]:
    """The finished video object and its file."""
    assert answer.status_code == 200, answer.text
    id = answer.json()["id"]
    for _ in range(2000):
        video = httpx2.get(f"{live.url}/v1/videos/{id}").json()
        if video["status"] in ("completed", "failed"):
            break
        time.sleep(0.01)
    assert video["status"] == "completed", video
    return video, httpx2.get(f"{live.url}/v1/videos/{id}/content").content


@pytest.mark.parametrize(
    ("fields", "files", "task", "count"),
    [
        ({}, {"input_reference": FILE}, "prediction", F),
        ({"frames": 7}, {"input_reference": FILE}, "prediction", 7),
        ({"seconds": "2"}, {"input_reference": FILE}, "prediction", 16),
        ({"seconds": "2", "fps": 5}, {"input_reference": FILE}, "prediction", 10),
        ({"task": "past", "frames": 5}, {"input_reference": FILE}, "past", 5),
        ({"frames": 5}, {"end_reference": FILE}, "past", 5),
        ({}, {"input_reference": FILE, "end_reference": FILE}, "interpolation", F),
        ({"task": "interpolation"}, {"input_reference": FILE}, "interpolation", F),
        ({"frames": 4}, None, "unconditional", 4),
    ],
)
def test_what_is_given_says_what_is_made(live: Live, fields: dict[str, Any], files: Any, task: str, count: int) -> None:
    video, file = made(live, post(live, {"output_format": "mkv", **fields}, files))
    assert video["result"]["data"][0]["task"] == task
    assert video["frames"] == len(frames_of(file)) == count
    assert video["seconds"] == f"{count / video['fps']:g}" and video["progress"] == 100


def test_a_seed_repeats_a_video(live: Live) -> None:
    asked = {"frames": 4, "seed": 7, "output_format": "mkv"}
    first, second = (made(live, post(live, asked))[1] for _ in range(2))
    other = made(live, post(live, {**asked, "seed": 8}))[1]
    assert first == second != other


@pytest.mark.parametrize("format", VIDEO_TYPES)
def test_every_format(live: Live, format: str) -> None:
    video, file = made(live, post(live, {"output_format": format, "frames": 4}))
    answer = httpx2.get(f"{live.url}/v1/videos/{video['id']}/content")
    assert answer.headers["content-type"] == VIDEO_TYPES[format]  # type: ignore[index]
    assert format == "zip" or len(frames_of(file)) == 4


def test_a_larger_size_repeats_pixels(live: Live) -> None:
    asked = {"frames": 3, "seed": 7, "output_format": "mkv"}
    small, large = (frames_of(made(live, post(live, {**asked, **more}))[1]) for more in ({}, {"size": "48x48"}))
    assert np.array_equal(large, small.repeat(3, axis=1).repeat(3, axis=2))


def test_the_file_may_begin_with_what_was_given(live: Live) -> None:
    file = made(live, post(live, {"include_input": True, "frames": 4}, {"input_reference": FILE}))[1]
    frames = frames_of(file)
    assert len(frames) == 16 and np.array_equal(frames[:12], CLIP)
    between = made(live, post(live, {"include_input": True, "task": "interpolation"}, {"input_reference": FILE}))[1]
    frames = frames_of(between)
    assert np.array_equal(frames[:9], CLIP[:9]) and np.array_equal(frames[-3:], CLIP[-3:]) and len(frames) == 12 + F


def test_stills_and_data_urls(live: Live) -> None:
    stills = [("input_reference", (f"{at}.png", png(frame), "image/png")) for at, frame in enumerate(CLIP[-3:])]
    by_stills, by_clip = (frames_of(made(live, post(live, {}, one))[1]) for one in (stills, {"input_reference": FILE}))
    assert np.array_equal(by_stills, by_clip)
    url = "data:video/x-matroska;base64," + b64encode(FILE).decode()
    asked = {"input_reference": {"image_url": url}, "seed": 1, "output_format": "mkv"}
    assert frames_of(made(live, post(live, asked))[1]).shape == (F, SIDE, SIDE, 1)


def test_an_edit_makes_frames_anew_between_their_neighbours(live: Live) -> None:
    video, file = made(live, post(live, {"ranges": "4-5"}, {"video": FILE}, "/edits"))
    frames = frames_of(file)
    assert video["result"]["data"][0]["task"] == "interpolation"
    kept = [at for at in range(12) if at not in (4, 5)]
    assert np.array_equal(frames[kept], CLIP[kept]) and not np.array_equal(frames[4:6], CLIP[4:6])


@pytest.mark.parametrize(
    ("ranges", "task"), [("0-1", "past"), ("8-11", "prediction"), ("3-9", "prediction"), ("0-11", "unconditional")]
)
def test_an_edit_is_shown_what_there_is(live: Live, ranges: str, task: str) -> None:
    video, file = made(live, post(live, {"ranges": ranges}, {"video": FILE}, "/edits"))
    assert video["result"]["data"][0]["task"] == task
    first, last = map(int, ranges.split("-"))
    frames = frames_of(file)
    assert len(frames) == 12
    assert np.array_equal(np.delete(frames, np.s_[first : last + 1], 0), np.delete(CLIP, np.s_[first : last + 1], 0))


def test_an_edit_by_a_mask_keeps_every_other_pixel(live: Live) -> None:
    alpha = np.full((SIDE, SIDE, 4), 255, np.uint8)
    alpha[:, 8:, 3] = 0
    parts = {"video": FILE, "mask": ("mask.png", png(alpha), "image/png")}
    frames = frames_of(made(live, post(live, {"ranges": "6-7"}, parts, "/edits"))[1])
    changed = (frames != CLIP)[..., 0]
    assert changed[6:8, :, 8:].mean() > 0.9
    changed[6:8, :, 8:] = False
    assert not changed.any()


def test_a_mask_may_move(live: Live) -> None:
    bright = np.zeros_like(CLIP)
    for at in range(5, 8):
        bright[at, at : at + 4, :4] = 255
    parts = {"video": FILE, "mask": encode_video(bright, 8, "mkv")}
    frames = frames_of(made(live, post(live, {}, parts, "/edits"))[1])
    assert not (frames != CLIP)[bright == 0].any() and (frames != CLIP)[bright > 0].any()


def test_the_sdk_makes_polls_lists_downloads_and_deletes(live: Live) -> None:
    client = live.client
    video = client.videos.create_and_poll(prompt="go on", model="clips", input_reference=("a.mkv", FILE), seconds="4")
    assert video.status == "completed" and video.prompt == "go on" and video.seconds == "4"
    assert frames_of(client.videos.download_content(video.id).read()).shape == (32, SIDE, SIDE, 1)
    still = client.videos.download_content(video.id, variant="thumbnail").read()
    sheet = client.videos.download_content(video.id, variant="spritesheet").read()
    assert Image.open(BytesIO(still)).format == "WEBP" and Image.open(BytesIO(sheet)).size == (5 * SIDE, 7 * SIDE)
    other = client.videos.poll(client.videos.remix(video.id, prompt="again").id)
    assert other.remixed_from_video_id == video.id and other.status == "completed"
    longer = client.videos.poll(client.videos.extend(prompt="more", video=("a.mkv", FILE), seconds="4").id)
    assert longer.seconds == str((12 + 32) / 8)
    edited = client.videos.edit(prompt="", video=("a.mkv", FILE), extra_body={"ranges": "3"})
    assert client.videos.poll(edited.id).status == "completed"
    ids = [one.id for one in client.videos.list(limit=2)]
    assert ids[:4] == [edited.id, longer.id, other.id, video.id]
    assert client.videos.delete(video.id).deleted
    assert video.id not in [one.id for one in client.videos.list()]
    again = httpx2.post(f"{live.url}/v1/videos/extensions", json={"video": {"id": longer.id}, "frames": 4})
    assert made(live, again)[0]["frames"] == 44 + 4


def test_a_stream_tells_of_every_block(live: Live) -> None:
    events = []
    asked = {"frames": 8, "seed": 3, "stream": True, "output_format": "mkv"}
    with httpx2.stream("POST", f"{live.url}/v1/videos", json=asked, timeout=60) as answer:
        assert answer.status_code == 200
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    *partials, last = events
    assert [one["type"] for one in partials] == ["video_generation.partial_video"] * len(partials)
    assert 1 <= len(partials) <= 2 and last["type"] == "video_generation.completed"
    whole = frames_of(b64decode(last["b64_json"]))
    for one in partials:
        assert one["done"] in (3, 6)
        assert np.array_equal(frames_of(b64decode(one["b64_json"]))[: one["done"]], whole[: one["done"]])
    assert frames_of(made(live, post(live, {**asked, "stream": False}))[1]).tobytes() == whole.tobytes()


def test_a_result_comes_in_other_formats(live: Live) -> None:
    video, file = made(live, post(live, {"frames": 4, "seed": 3, "output_format": "mkv"}))
    for id in (video["id"], video["result"]["data"][0]["id"]):
        answer = httpx2.get(f"{live.url}/v1/videos/{id}/content?format=zip")
        assert answer.headers["content-type"] == "application/zip"
        assert np.array_equal(frames_of(answer.content), frames_of(file))
        with ZipFile(BytesIO(answer.content)) as folder:
            assert json.loads(folder.read("tags.json"))["seed"] == 3
    large = httpx2.get(f"{live.url}/v1/videos/{video['id']}/content?format=zip&size=48x48")
    assert np.array_equal(frames_of(large.content), frames_of(file).repeat(3, axis=1).repeat(3, axis=2))
    for wrong in ("format=avi", "size=20x20", "size=100000x100000", "variant=thumbnail&format=gif"):
        answer = httpx2.get(f"{live.url}/v1/videos/{video['id']}/content?{wrong}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, wrong.split("&")[-1].split("=")[0])
    for name in (f"vid_{24 * '0'}_0", video["result"]["data"][0]["id"][:-1] + "\u0660"):
        missing = httpx2.get(f"{live.url}/v1/videos/{name}/content")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "video_not_found")


@pytest.mark.parametrize(
    ("fields", "files", "path", "status", "param"),
    [
        ({"frames": 1001}, None, "", 400, "frames"),
        ({"seconds": "1000"}, None, "", 400, "seconds"),
        ({"seconds": "soon"}, None, "", 400, "seconds"),
        ({"frames": 4, "seconds": 9}, None, "", 400, "seconds"),
        ({"n": 2}, None, "", 400, "n"),
        ({"size": "20x20"}, None, "", 400, "size"),
        ({"size": "16000x16000"}, None, "", 400, "size"),
        ({"guidance_scale": 2.0}, None, "", 400, "guidance_scale"),
        ({"temperature": 2.0}, None, "", 400, "temperature"),
        ({"task": "prediction"}, None, "", 400, "input_reference"),
        ({"task": "interpolation", "frames": 4}, {"input_reference": FILE}, "", 400, "frames"),
        ({"task": "unconditional"}, {"input_reference": FILE}, "", 400, "input_reference"),
        ({"block_steps": "3,3,3"}, {"input_reference": FILE}, "", 400, "block_steps"),
        ({}, {"input_reference": encode_video(CLIP[:2], 8)}, "", 400, "input_reference"),
        ({}, {"input_reference": encode_video(np.zeros((4, 32, 32, 1), np.uint8), 8)}, "", 400, "input_reference"),
        ({}, {"input_reference": FILE[:700]}, "", 400, "input_reference"),
        ({}, {"input_reference": b"GIF89a"}, "", 400, "input_reference"),
        ({}, {"input_reference": FILE, "sound": b"x"}, "", 400, "sound"),
        ({"video_id": "video_000000000000000000000000"}, None, "", 404, "video_id"),
        ({"model": "nothing"}, None, "", 404, "model"),
        ({"ranges": "0"}, None, "/edits", 400, "video"),
        ({}, {"video": FILE}, "/edits", 400, "mask"),
        ({"ranges": "9-12"}, {"video": FILE}, "/edits", 400, "ranges"),
        ({"ranges": "5-3"}, {"video": FILE}, "/edits", 400, "ranges"),
        ({"ranges": "1-2-3"}, {"video": FILE}, "/edits", 400, "ranges"),
        ({}, {"video": FILE, "mask": png(np.zeros((8, 8, 4), np.uint8))}, "/edits", 400, "mask"),
        ({}, {"video": FILE, "mask": png(np.full((SIDE, SIDE, 4), 255, np.uint8))}, "/edits", 400, "mask"),
        ({}, {"video": FILE, "mask": encode_video(CLIP[:5], 8)}, "/edits", 400, "mask"),
    ],
)
def test_what_does_not_fit_is_named(
    live: Live, fields: dict[str, Any], files: Any, path: str, status: int, param: str
) -> None:
    answer = post(live, fields, files, path)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text


def test_a_picture_job_is_no_video(live: Live) -> None:
    answer = httpx2.get(f"{live.url}/v1/videos/video_0123")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "video_not_found")
    assert httpx2.get(f"{live.url}/v1/jobs").json()["data"]  # where videos are jobs like others


def test_the_model_says_what_it_makes(live: Live) -> None:
    [model] = httpx2.get(f"{live.url}/v1/models").json()["data"]
    assert model["maskserve"]["modality"] == "video" and model["maskserve"]["footage"]["block"] == F
