"""Requests with an Idempotency-Key: asked twice, run once; streams that are read on."""

import asyncio
from io import BytesIO

import httpx2
import pytest
from PIL import Image

from service.dispatch.journals import Journals
from tests.fakes_http import FakeDispatcher, picture
from tests.service.http.asked import KEY, LATER, SHIRT, URL, edited, pixels, told, until_ended

pytestmark = pytest.mark.anyio


async def test_a_repeated_key_is_the_same_request(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    body = {"prompt": "shirt", "n": 2}
    first, second = await asyncio.gather(*(http.post(URL, json=body, headers=KEY) for _ in range(2)))
    third = await http.post(URL, json=body, headers=KEY)
    data = [answer.json()["data"] for answer in (first, second, third)]
    assert data[0] == data[1] == data[2] and len(dispatcher.tickets) == 1
    assert first.headers["x-maskserve-job"] == third.headers["x-maskserve-job"] != third.headers["x-request-id"]
    later = await http.post(URL, json=body, headers=KEY | LATER)
    assert later.status_code == 202 and later.json()["id"] == first.headers["x-maskserve-job"]
    assert len(dispatcher.tickets) == 1
    dispatcher.jobs = Journals(900, 1 << 28)  # as after a restart
    again = await http.post(URL, json=body, headers=KEY)
    assert again.json()["data"][0]["b64_json"] == data[0][0]["b64_json"], "the drawn seed is the key's"
    other = await http.post(URL, json=body, headers={"idempotency-key": "another"})
    assert other.json()["seed"] != first.json()["seed"]


async def test_the_same_key_for_something_else_is_a_mistake(http: httpx2.AsyncClient) -> None:
    await http.post(URL, json=SHIRT, headers=KEY)
    answer = await http.post(URL, json=SHIRT | {"n": 2}, headers=KEY)
    error = answer.json()["error"]
    assert answer.status_code == 409 and answer.headers["x-should-retry"] == "false"
    assert (error["code"], error["param"]) == ("idempotency_key_reused", "Idempotency-Key")
    for key in ("", "a" * 256, "täg".encode()):
        wrong = await http.post(URL, json=SHIRT, headers={"idempotency-key": key})
        assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "Idempotency-Key"


async def test_uploads_count_for_the_key_but_not_how_they_travel(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    async def edit(seed: int) -> httpx2.Response:
        file = BytesIO()
        Image.fromarray(picture(seed, 0)).save(file, "PNG")
        return await http.post(
            "/v1/images/edits", data={"prompt": "shirt"}, files={"image": file.getvalue()}, headers=KEY
        )

    assert [(await edit(1)).status_code for _ in range(2)] == [200, 200]  # another boundary each time
    assert len(dispatcher.tickets) == 1 and (await edit(2)).status_code == 409


async def test_a_failed_request_runs_again_under_its_key(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    works, dispatcher.script = dispatcher.script, lambda ticket, spec: []
    assert (await http.post(URL, json=SHIRT, headers=KEY)).status_code == 500
    dispatcher.script = works
    assert (await http.post(URL, json=SHIRT, headers=KEY)).status_code == 200


async def test_a_stream_with_a_key_goes_on_where_it_broke(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    body = SHIRT | {"stream": True, "n": 3}
    whole = await http.post(URL, json=body, headers=KEY)
    events = told(whole.text)
    assert all(id for id, _ in events)
    rest = await http.post(URL, json=body, headers=KEY | {"last-event-id": events[0][0]})
    assert [id for id, _ in told(rest.text)] == [id for id, _ in events[1:]]
    plain = await http.get(f"/v1/jobs/{whole.headers['x-maskserve-job']}/events")
    assert [id for id, _ in told(plain.text)][:-1] == [id for id, _ in events] and len(dispatcher.tickets) == 1
    dispatcher.jobs = Journals(900, 1 << 28)  # as after a restart: another run, which begins at its beginning
    again = await http.post(URL, json=body, headers=KEY | {"last-event-id": events[1][0]})
    assert len(told(again.text)) == 3
    wrong = await http.post(URL, json=body, headers={"idempotency-key": "new", "last-event-id": "yesterday"})
    assert wrong.status_code == 400 and len(dispatcher.tickets) == 2
    assert not any(id for id, _ in told((await http.post(URL, json=body)).text)), "nothing to come back to"


async def test_another_request_with_the_key_leaves_the_first_ones_pixels(http: httpx2.AsyncClient) -> None:
    url, data = "/v1/images/edits", {"prompt": "shirt", "seed": "4"}
    first = await http.post(url, data=data, files=edited(8), headers=LATER | KEY)
    second = await http.post(url, data=data, files=edited(9), headers=LATER | KEY)
    assert (first.status_code, second.status_code) == (202, 409)
    job = await until_ended(http, first.json()["id"])
    made = pixels((await http.get(f"/v1/jobs/{job['id']}/content")).content)
    assert (made[4:] == picture(8, 0)[4:]).all()


async def test_how_a_request_is_said_does_not_matter_to_its_key(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    said = [{}, {"n": 1}, {"n": None}, {"stream": False}, {"response_format": "b64_json"}, {"model": "toy"}]
    answers = [await http.post(URL, json=SHIRT | body, headers=KEY) for body in said]
    assert [answer.status_code for answer in answers] == [200] * len(said) and len(dispatcher.tickets) == 1
    streamed = await http.post(URL, json=SHIRT | {"stream": True}, headers=KEY)
    assert len(told(streamed.text)) == 1 and len(dispatcher.tickets) == 1
    for other in ({"seed": 4}, {"prompt": "sneaker"}, {"temperature": 0.5}, {"output_format": "webp"}):
        assert (await http.post(URL, json=SHIRT | other, headers=KEY)).status_code == 409, other
