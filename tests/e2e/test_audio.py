"""Sound over HTTP, by a model of random weights: two seconds at 64 Hz, prompts of six words."""

import json
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from models.magnet.config import MAGNeTConfig
from models.tokenizers.encodec_config import EnCodecConfig
from tests.live import Live, serving
from tests.tiny import WORDS, tiny_magnet_checkpoint

RATE, HOP = 8000, 400
CODEC = EnCodecConfig(
    sample_rate=RATE, dimension=8, filters=4, ratios=(20, 20), lstm_layers=1, codebook_size=32, codebooks=4
)
NETWORK = MAGNeTConfig(
    codebook_size=32,
    frame_rate=20,
    seconds=2.0,
    dim=32,
    depth=2,
    heads=4,
    text_dim=16,
    text_encoder="",
    terms=len(WORDS),
)
LOUD = np.linspace(-20000, 20000, RATE).astype(np.int16)  # a second


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    place = tmp_path_factory.mktemp("audio")
    checkpoint = tiny_magnet_checkpoint(place, "loops", network=NETWORK, codec=CODEC, twin=True)
    with serving([checkpoint]) as made:
        yield made


def post(live: Live, body: dict[str, Any], **options: Any) -> httpx2.Response:
    return httpx2.post(f"{live.url}/v1/audio/generations", json={"prompt": "slow piano", **body}, timeout=60, **options)


def edit(live: Live, fields: dict[str, Any], file: bytes | None, **options: Any) -> httpx2.Response:
    files = None if file is None else {"audio": ("take.wav", file)}
    fields = {"prompt": "fast organ", "seed": "1"} | fields
    if files is None:  # a form nevertheless
        files = {name: (None, value) for name, value in fields.items()}  # type: ignore[misc]
        return httpx2.post(f"{live.url}/v1/audio/edits", files=files, timeout=60, **options)
    return httpx2.post(f"{live.url}/v1/audio/edits", data=fields, files=files, timeout=60, **options)


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", **options: Any) -> bytes:
    out = BytesIO()
    soundfile.write(out, samples, rate, format=options.get("format", "WAV"), subtype=subtype)
    return out.getvalue()


def samples(file: bytes) -> np.ndarray:
    found, _ = soundfile.read(BytesIO(file), dtype="int16", always_2d=True)
    return np.asarray(found)


def files(answer: httpx2.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    return [b64decode(one["b64_json"]) for one in answer.json()["data"]]


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def test_a_prompt_becomes_a_wav(live: Live) -> None:
    answer = post(live, {"seed": 3})
    [file] = files(answer)
    made = answer.json()
    assert samples(file).shape == (39 * HOP, 1), "of 40 tokens spans of three fill 39"
    assert (made["duration"], made["sample_rate"], made["channels"]) == (1.95, RATE, 1)
    [one] = made["data"]
    assert (one["revised_prompt"], one["seed"], one["codebook_steps"]) == ("slow piano", 3, [4, 2, 2, 2])
    assert one["id"].startswith("aud_") and made["usage"]["output_tokens"] == 4 * 39
    tags = json.loads(soundfile.SoundFile(BytesIO(file)).comment)
    assert (tags["seed"], tags["prompt"], tags["model"]) == (3, "slow piano", "loops")
    assert files(post(live, {"seed": 3, "n": 2}))[0] == file


def test_a_file_is_an_answer(live: Live) -> None:
    answer = post(live, {"seed": 3, "response_format": "file", "duration": 1.0})
    assert (answer.headers["content-type"], answer.headers["x-maskserve-seed"]) == ("audio/wav", "3")
    assert len(samples(answer.content)) == RATE


@pytest.mark.parametrize("format", ["flac", "mp3", "opus", "pcm"])
def test_formats(live: Live, format: str) -> None:
    answer = post(live, {"seed": 3, "response_format": "file", "output_format": format})
    found = np.frombuffer(answer.content, "<i2")[:, None] if format == "pcm" else samples(answer.content)
    assert len(found) == pytest.approx(39 * HOP, abs=1200), answer.headers["content-type"]
    again = post(live, {"seed": 3, "response_format": "file", "output_format": format})
    assert again.content == answer.content
    if format in ("flac", "pcm"):
        assert np.array_equal(found, samples(files(post(live, {"seed": 3}))[0]))


def test_a_stream_lets_one_hear_finished_codebooks(live: Live) -> None:
    told = events(post(live, {"seed": 3, "stream": True, "partial_audio": 3}))
    assert [one["type"] for one in told] == ["audio_generation.partial_audio"] * (len(told) - 1) + [
        "audio_generation.completed"
    ]
    assert len(told) > 1 and len(samples(b64decode(told[0]["b64_json"]))) == 39 * HOP
    assert b64decode(told[-1]["b64_json"]) == files(post(live, {"seed": 3}))[0]
    detailed = events(post(live, {"seed": 3, "stream": True, "progress": True}))
    kinds = [one["type"].rpartition(".")[2] for one in detailed]
    assert kinds[0] in ("queued", "started") and "step" in kinds
    assert np.array(detailed[-1]["order"]).shape == (4, 39) and np.array(detailed[-1]["known"]).all()


def test_steps_can_be_sent_back(live: Live) -> None:
    one = post(live, {"seed": 3, "num_inference_steps": 20}).json()["data"][0]
    assert one["codebook_steps"] == [8, 4, 4, 4] and one["steps"] == {"full": 20, "reuse": 0}
    same = post(live, {"seed": 3, "codebook_steps": [8, 4, 4, 4]}).json()["data"][0]
    assert same["b64_json"] == one["b64_json"]


def test_cheap_steps_and_a_twin_have_an_effect(live: Live) -> None:
    asked = {"seed": 3, "codebook_steps": [8, 4, 4, 4]}
    changes: list[dict[str, Any]] = [
        {},
        {"reuse": 2, "full_first": 1},
        {"guidance_share": 0.5},
        {"head_start": 0.5},
        {"rescoring": 0.7},
    ]
    answers = [post(live, asked | change).json()["data"][0] for change in changes]
    assert len({one["b64_json"] for one in answers}) == len(changes)
    assert answers[1]["steps"] == {"full": 10, "reuse": 10} and answers[1]["codebook_steps"] == [8, 4, 4, 4]


def test_an_edit_keeps_the_other_samples_bit_for_bit(live: Live) -> None:
    [made] = files(edit(live, {"ranges": "0.25-0.5"}, wav(LOUD)))
    found = samples(made)[:, 0]
    assert len(found) == RATE
    kept = np.r_[0 : RATE // 4, RATE // 2 : RATE]
    assert np.array_equal(found[kept], LOUD[kept])
    assert not np.array_equal(found[2000:4000], LOUD[2000:4000])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_an_edit_is_as_deep_as_what_was_sent(live: Live, subtype: str) -> None:
    wave = np.sin(np.arange(RATE) / 9.0).astype(np.float32) * 0.7
    file = wav(wave, subtype=subtype)
    [made] = files(edit(live, {"ranges": "0.5-1"}, file))
    sent, _ = soundfile.read(BytesIO(file), dtype="float32")
    found, _ = soundfile.read(BytesIO(made), dtype="float32")
    assert np.array_equal(sent[:4000], found[:4000])


def test_floats_beyond_full_scale_are_kept(live: Live) -> None:
    sent = (np.sin(np.arange(RATE) / 9.0) * 1.5).astype(np.float32)
    [made] = files(edit(live, {"ranges": "0.5-1"}, wav(sent, subtype="FLOAT")))
    found, _ = soundfile.read(BytesIO(made), dtype="float32")
    assert np.array_equal(sent[:4000], found[:4000]) and np.abs(found[4000:]).max() <= 1.5


def test_the_depth_of_an_edit_outlives_the_next(live: Live) -> None:
    wave = np.sin(np.arange(RATE) / 9.0).astype(np.float32) * 0.7
    answer = edit(live, {"ranges": "0.5-1"}, wav(wave, subtype="PCM_24"))
    [again] = files(edit(live, {"audio_id": answer.json()["data"][0]["id"], "ranges": "0.7-0.8"}, None))
    first, _ = soundfile.read(BytesIO(files(answer)[0]), dtype="int32")
    found, _ = soundfile.read(BytesIO(again), dtype="int32")
    assert np.array_equal(first[:5600], found[:5600])


def test_a_last_token_that_is_half_there_is_made_anew(live: Live) -> None:
    """What stood behind it was silence that nobody recorded."""
    answer = edit(live, {"duration": "1.5"}, wav(LOUD[:4200]))
    usage = answer.json()["usage"]
    assert len(samples(files(answer)[0])) == 12000
    assert (usage["input_tokens"], usage["output_tokens"]) == (2 + 4 * 11, 4 * 20)
    little = edit(live, {"duration": "0.54"}, wav(LOUD[:4200]))  # of the same token
    assert len(samples(files(little)[0])) == 4320 and np.array_equal(samples(files(little)[0])[:4200, 0], LOUD[:4200])


def test_a_longer_edit_continues(live: Live) -> None:
    answer = edit(live, {"duration": "1.5"}, wav(LOUD))
    found = samples(files(answer)[0])[:, 0]
    assert len(found) == 12000 and np.array_equal(found[:RATE], LOUD)
    assert abs(int(found[RATE]) - int(found[RATE - 1])) < 4000, "no jump at the seam"
    assert answer.json()["usage"]["output_tokens"] == 4 * 10


def test_results_can_be_edited_by_their_id(live: Live) -> None:
    answer = post(live, {"seed": 3})
    [file] = files(answer)
    id = answer.json()["data"][0]["id"]
    again = edit(live, {"audio_id": id, "ranges": "1.5-1.95"}, None)
    assert np.array_equal(samples(files(again)[0])[:12000], samples(file)[:12000])
    assert edit(live, {"audio_id": id.replace("aud_", "img_"), "ranges": "0-1"}, None).status_code == 404


def test_other_rates_and_channels_are_converted(live: Live) -> None:
    stereo = np.stack([np.repeat(LOUD, 2)] * 2, axis=1)
    [made] = files(edit(live, {"ranges": "0.5-1"}, wav(stereo, 2 * RATE)))
    assert samples(made).shape == (RATE, 1)
    mp3 = wav(LOUD, format="MP3", subtype="MPEG_LAYER_III")
    assert edit(live, {"ranges": "0.5-0.7"}, mp3).status_code == 200


def test_a_loop_leads_over_into_itself(live: Live) -> None:
    def seam(**body: Any) -> float:
        found = [samples(file)[:, 0].astype(int) for file in files(post(live, {"seed": 5, "n": 4, **body}))]
        inside = np.mean([np.abs(np.diff(wave)).mean() for wave in found])
        return float(np.mean([abs(wave[0] - wave[-1]) for wave in found]) / inside)

    plain = files(post(live, {"seed": 5}))[0]
    looped = files(post(live, {"seed": 5, "loop": True}))[0]
    assert len(plain) == len(looped) or abs(len(plain) - len(looped)) < 20  # tags
    assert not np.array_equal(samples(plain), samples(looped))
    assert seam(loop=True) < 20.0
    assert len(samples(files(post(live, {"loop": True, "duration": 1.03}))[0])) == 21 * HOP, "its end is not cut off"
    looped = files(edit(live, {"loop": "true", "duration": "1.61"}, wav(LOUD)))[0]
    found = samples(looped)[:, 0].astype(int)
    assert len(found) == 33 * HOP and np.array_equal(found[:RATE], LOUD)
    assert abs(found[-1] - found[0]) < 4000


def test_a_job_can_be_fetched_later(live: Live) -> None:
    answer = post(live, {"seed": 3}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    with httpx2.Client(base_url=live.url, timeout=60) as client:
        id = answer.json()["id"]
        while (job := client.get(f"/v1/jobs/{id}").json())["status"] not in ("completed", "failed"):
            pass
        assert job["type"] == "audio_generation"
        [one] = job["result"]["data"]
        content = client.get(f"/v1/jobs/{id}/content")
        assert content.headers["content-type"] == "audio/wav"
        assert content.content == client.get(one["url"]).content == files(post(live, {"seed": 3}))[0]
        kept = edit(live, {"ranges": "0-0.5"}, wav(LOUD), headers={"Prefer": "respond-async"}).json()["id"]
        while client.get(f"/v1/jobs/{kept}").json()["status"] != "completed":
            pass
        assert np.array_equal(samples(client.get(f"/v1/jobs/{kept}/content").content)[4000:, 0], LOUD[4000:])
        assert client.delete(f"/v1/jobs/{id}").json()["deleted"]


def test_models_say_what_they_make(live: Live) -> None:
    [model] = httpx2.get(f"{live.url}/v1/models").json()["data"]
    found = model["maskserve"]
    assert (found["modality"], found["tasks"]) == ("audio", ["edit", "generate"])
    assert found["sound"]["most_seconds"] == 2.0 and found["words"] == list(WORDS)
    assert "span_arrangement" in found["defaults"] and "schedule" not in found["defaults"]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"prompt": "hello world"}, "prompt", "invalid_value"),
        ({"duration": 2.5}, "duration", "invalid_value"),
        ({"duration": 0.01}, "duration", "invalid_value"),
        ({"duration": -1}, "duration", "invalid_value"),
        ({"codebook_steps": [4, 2]}, "codebook_steps", "invalid_value"),
        ({"codebook_steps": [4, 2, 2, 2], "num_inference_steps": 9}, "num_inference_steps", "invalid_value"),
        ({"codebook_steps": [400, 2, 2, 2]}, "codebook_steps", "invalid_value"),
        ({"num_inference_steps": 3}, "num_inference_steps", "invalid_value"),
        ({"response_format": "file", "n": 2}, "response_format", "invalid_value"),
        ({"response_format": "file", "stream": True}, "response_format", "invalid_value"),
        ({"partial_audio": 2}, "partial_audio", "invalid_value"),
        ({"output_format": "aac"}, "output_format", "invalid_value"),
        ({"head_start": 1.99}, "head_start", "invalid_value"),
        ({"rescoring": 2}, "rescoring", "invalid_value"),
        ({"guidance_share": 0}, "guidance_share", "invalid_value"),
        ({"reuse": 9}, "reuse", "invalid_value"),
        ({"size": "16x16"}, "size", "unknown_parameter"),
        ({"model": "nobody"}, "model", "model_not_found"),
    ],
)
def test_bad_fields_are_named(live: Live, body: dict[str, Any], param: str, code: str) -> None:
    answer = post(live, body)
    error = answer.json()["error"]
    assert 400 <= answer.status_code < 500
    assert (error["param"], error["code"]) == (param, code), error


@pytest.mark.parametrize(
    ("fields", "file", "status", "param", "code"),
    [
        ({}, None, 400, "audio", "missing_required_parameter"),
        ({}, b"", 400, "audio", "invalid_audio"),
        ({}, b"RIFF" + bytes(100), 400, "audio", "invalid_audio"),
        ({}, wav(LOUD)[:3000], 400, "audio", "invalid_audio"),
        ({}, wav(LOUD[:0]), 400, "audio", "invalid_audio"),
        ({}, wav(LOUD[:100]), 400, "audio", "invalid_value"),
        ({}, wav(np.tile(LOUD, 3)), 413, "audio", "audio_too_long"),
        ({}, wav(np.zeros((800, 100), np.int16)), 400, "audio", "invalid_audio"),
        ({}, wav(LOUD, 400_000), 400, "audio", "invalid_audio"),
        ({}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"ranges": "0.5"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"ranges": "0.5-0.4"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"ranges": "0.5-2"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"ranges": "1e305-1e306"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"head_start": "0.5", "ranges": "0-0.5"}, wav(LOUD), 400, "head_start", "invalid_value"),
        ({"ranges": "0-0.5"}, wav(LOUD, format="AIFF"), 400, "audio", "invalid_audio"),
        ({"ranges": "nan-1"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"ranges": "0-0.5,0.25-0.75"}, wav(LOUD), 400, "ranges", "invalid_value"),
        ({"duration": "0.5"}, wav(LOUD), 400, "duration", "invalid_value"),
        ({"duration": "9"}, wav(LOUD), 400, "duration", "invalid_value"),
        ({"codebook_steps": "4,x"}, wav(LOUD), 400, "codebook_steps.1", "invalid_value"),
        ({"audio_id": "aud_000000000000000000000000_0"}, None, 404, "audio_id", "audio_not_found"),
    ],
)
def test_bad_uploads_are_clear(
    live: Live, fields: dict[str, Any], file: bytes | None, status: int, param: str, code: str
) -> None:
    answer = edit(live, fields, file)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code), error
    assert live.engine.idle()


def test_pictures_are_not_asked_of_it(live: Live) -> None:
    answer = httpx2.post(f"{live.url}/v1/images/generations", json={"prompt": "piano", "model": "loops"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
