"""Jobs over HTTP: 202, /v1/jobs, links, and what is said when a place is away."""

import asyncio
import base64

import httpx2
import pytest

from service.app import create_app
from service.artefacts.base import StoreAway, StoreFull
from service.engine.request import QueueAway
from service.settings import Settings
from tests.fakes_http import FakeDispatcher, picture, variant
from tests.service.http.asked import KEY, LATER, SHIRT, URL, edited, ended, pixels, told, until_ended

pytestmark = pytest.mark.anyio


async def test_a_job_is_accepted_found_and_fetched(http: httpx2.AsyncClient) -> None:
    answer = await http.post(URL, json=SHIRT | {"n": 2}, headers=LATER)
    job = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["preference-applied"] == "respond-async" and answer.headers["openai-poll-after-ms"]
    assert job["status"] in ("queued", "in_progress") and job["result"] is None and job["object"] == "job"
    assert set(job) >= {"model", "progress", "created_at", "completed_at", "expires_at", "error", "type"}
    job = await until_ended(http, job["id"])
    assert job["status"] == "completed" and job["progress"] == 100 and job["error"] is None
    assert job["expires_at"] > job["completed_at"] >= job["created_at"]
    now = (await http.post(URL, json=SHIRT | {"n": 2})).json()
    later = job["result"]
    for name in ("seed", "model", "checkpoint", "fingerprint", "usage", "size", "output_format"):
        assert later[name] == now[name]
    for index, (one, other) in enumerate(zip(later["data"], now["data"], strict=True)):
        assert one["plan"] == other["plan"] and one["steps"] == other["steps"] and "b64_json" not in one
        link = await http.get(one["url"])
        content = await http.get(f"/v1/jobs/{job['id']}/content", params={"index": index})
        assert link.content == content.content == base64.b64decode(other["b64_json"])
        assert link.headers["content-type"] == content.headers["content-type"] == "image/png"
        assert (pixels(link.content) == picture(3, index)).all()
    assert (await http.get(f"/v1/jobs/{job['id']}/content", params={"index": 2})).status_code == 404


async def test_b64_json_comes_where_it_is_asked_for(http: httpx2.AsyncClient) -> None:
    job = await ended(http, response_format="b64_json", output_format="webp")
    [one] = job["result"]["data"]
    assert (pixels(base64.b64decode(one["b64_json"])) == picture(3, 0)).all() and "url" not in one
    [listed] = (await http.get("/v1/jobs")).json()["data"]
    assert listed["result"] is None and listed["status"] == "completed"


async def test_a_result_of_a_job_can_be_edited_by_its_id(http: httpx2.AsyncClient) -> None:
    [one] = (await ended(http))["result"]["data"]
    form = {"prompt": "sneaker", "image_id": one["id"]}
    answer = await http.post("/v1/images/edits", files={name: (None, value) for name, value in form.items()})
    assert answer.status_code == 200


async def test_an_edit_can_be_a_job_and_keeps_its_pixels(http: httpx2.AsyncClient) -> None:
    data = {"prompt": "shirt", "seed": "4", "plan": "4+4"}
    answer = await http.post("/v1/images/edits", data=data, files=edited(9), headers=LATER)
    assert answer.status_code == 202, answer.text
    job = await until_ended(http, answer.json()["id"])
    assert job["type"] == "image_edit" and job["status"] == "completed", job
    made = pixels((await http.get(f"/v1/jobs/{job['id']}/content")).content)
    assert (made[4:] == picture(9, 0)[4:]).all() and (made[:4] == picture(4, 0)[:4]).all()


async def test_jobs_are_listed_in_pages(http: httpx2.AsyncClient) -> None:
    ids = [(await ended(http, seed=seed))["id"] for seed in range(5)]
    await http.post(URL, json=SHIRT, headers={"idempotency-key": "not listed"})
    page = (await http.get("/v1/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in page["data"]] == ids[:2:-1] and page["has_more"] and page["object"] == "list"
    assert (page["first_id"], page["last_id"]) == (ids[4], ids[3])
    rest = (await http.get("/v1/jobs", params={"after": page["last_id"]})).json()
    assert [job["id"] for job in rest["data"]] == ids[2::-1] and not rest["has_more"]
    upwards = (await http.get("/v1/jobs", params={"order": "asc", "limit": 1})).json()
    assert [job["id"] for job in upwards["data"]] == ids[:1]
    for params in ({"limit": 0}, {"limit": "many"}, {"after": "nobody"}, {"order": "random"}):
        answer = await http.get("/v1/jobs", params=params)
        assert answer.status_code == 400 and answer.json()["error"]["param"], params


async def test_deleting_cancels_what_runs_and_forgets_what_has_ended(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    dispatcher.hold = 1
    running = (await http.post(URL, json=SHIRT, headers=LATER)).json()
    while not (job := (await http.get(f"/v1/jobs/{running['id']}")).json())["progress"]:
        await asyncio.sleep(0.001)
    assert job["status"] == "in_progress" and job["progress"] == 25
    early = await http.get(f"/v1/jobs/{running['id']}/content")
    assert early.status_code == 409 and early.headers["x-should-retry"] == "false"
    assert early.json()["error"]["code"] == "job_not_ready"
    gone = await http.delete(f"/v1/jobs/{running['id']}")
    assert gone.json() == {"id": running["id"], "object": "job.deleted", "deleted": True}
    assert dispatcher.subscriptions[-1].closed
    job = await until_ended(http, running["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "cancelled")
    dispatcher.hold = None
    job = await ended(http)
    url = job["result"]["data"][0]["url"]
    assert (await http.get(url)).status_code == 200
    assert (await http.delete(f"/v1/jobs/{job['id']}")).status_code == 200
    assert (await http.get(f"/v1/jobs/{job['id']}")).status_code == 404
    assert (await http.get(url)).status_code == 404
    assert (await http.delete(f"/v1/jobs/{job['id']}")).json()["error"]["code"] == "job_not_found"


async def test_a_failed_job_says_why(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    dispatcher.script = lambda ticket, spec: []
    job = await ended(http)
    assert job["status"] == "failed" and job["error"]["code"] == "internal_error" and job["result"] is None
    content = await http.get(f"/v1/jobs/{job['id']}/content")
    assert content.status_code == 409 and content.headers["x-should-retry"] == "false"
    _, end = told((await http.get(f"/v1/jobs/{job['id']}/events")).text)[-1]
    assert end["type"] == "job.failed" and end["data"]["error"]["code"] == "internal_error"


async def test_a_bad_request_is_refused_and_no_job(http: httpx2.AsyncClient) -> None:
    answer = await http.post(URL, json={"prompt": "nothing"}, headers=LATER)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "prompt"
    assert (await http.get("/v1/jobs")).json()["data"] == []
    for id in ("req_000000000000000000000000", "../x", "a" * 300):
        assert (await http.get(f"/v1/jobs/{id}")).status_code == 404


async def test_a_jobs_events_can_be_read_from_anywhere(http: httpx2.AsyncClient) -> None:
    job = await ended(http, n=2, partial_images=1)
    events = told((await http.get(f"/v1/jobs/{job['id']}/events")).text)
    kinds = [event["type"].partition(".")[2] for _, event in events[:-1]]
    assert kinds.count("completed") == 2 and events[-1][1]["type"] == "job.completed"
    assert events[-1][1]["data"]["result"]["data"][1]["url"]
    at = [int(id.partition("-")[2]) for id, _ in events]
    assert at == sorted(set(at))
    nothing = await http.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": events[-1][0]})
    assert nothing.status_code == 204
    position, first = next(one for one in events if one[1]["type"].endswith("completed"))
    rest = told((await http.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": position})).text)
    assert rest == events[events.index((position, first)) + 1 :]
    wrong = await http.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": "yesterday"})
    assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "Last-Event-ID"


async def test_links_are_given_where_they_are_asked_for(http: httpx2.AsyncClient) -> None:
    answer = await http.post(URL, json=SHIRT | {"response_format": "url", "output_format": "jpeg"})
    [one] = answer.json()["data"]
    assert one["url"].startswith("http://test/v1/artifacts/") and "b64_json" not in one
    file = await http.get(one["url"])
    assert file.headers["content-type"] == "image/jpeg" and pixels(file.content).shape == (8, 8, 3)
    assert file.headers["x-content-type-options"] == "nosniff"
    token = one["url"].rpartition("/")[2]
    for wrong in (token[:-1], token + "A", "x", "a" * 5000):
        assert (await http.get(f"/v1/artifacts/{wrong}")).status_code == 404


async def test_links_end(dispatcher: FakeDispatcher) -> None:
    app = create_app(Settings(log_level="error", results_seconds=0, public_url="https://pictures.example"), dispatcher)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
        [one] = (await http.post(URL, json=SHIRT | {"response_format": "url"})).json()["data"]
        assert one["url"].startswith("https://pictures.example/v1/artifacts/")
        answer = await http.get(one["url"].removeprefix("https://pictures.example"))
    app.state.services.pool.close()
    assert answer.status_code == 410 and answer.json()["error"]["code"] == "link_expired"


async def test_jobs_belong_to_their_key_links_to_whoever_has_them(dispatcher: FakeDispatcher) -> None:
    app = create_app(Settings(log_level="error", api_keys=["mine", "yours"]), dispatcher)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
        mine, yours = ({"authorization": f"Bearer {key}"} for key in ("mine", "yours"))
        made = await http.post(URL, json=SHIRT, headers=LATER | KEY | mine)
        id = made.json()["id"]
        while (job := (await http.get(f"/v1/jobs/{id}", headers=mine)).json())["status"] != "completed":
            await asyncio.sleep(0.001)
        for call in (http.get, http.delete):
            assert (await call(f"/v1/jobs/{id}", headers=yours)).status_code == 404
        assert (await http.get(f"/v1/jobs/{id}")).status_code == 401
        assert (await http.get("/v1/jobs", headers=yours)).json()["data"] == []
        theirs = await http.post(URL, json=SHIRT, headers=LATER | KEY | yours)
        assert theirs.json()["id"] != id, "the same key of somebody else"
        assert (await http.get(job["result"]["data"][0]["url"])).status_code == 200
        form = {"prompt": (None, "shirt"), "image_id": (None, job["result"]["data"][0]["id"])}
        assert (await http.post("/v1/images/edits", files=form, headers=yours)).status_code == 404
    app.state.services.pool.close()


async def test_webhooks_are_for_jobs_on_servers_that_have_them(dispatcher: FakeDispatcher) -> None:
    hook = {"webhook": "https://hooks.example.com/x"}

    async def ask(settings: dict, body: dict, headers: dict[str, str]) -> tuple[int, str]:
        app = create_app(Settings(log_level="error", **settings), dispatcher)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
            answer = await http.post(URL, json=SHIRT | body, headers=headers)
        app.state.services.pool.close()
        return answer.status_code, (answer.json().get("error") or {}).get("code", "")

    able = {"webhook_secret": "s" * 32, "webhook_hosts": ["hooks.example.com"]}
    assert await ask({}, hook, LATER) == (400, "webhooks_disabled")
    assert await ask(able, hook, {}) == (400, "invalid_value")
    assert await ask(able, hook, LATER) == (202, "")
    assert dispatcher.terms[-1].webhook == hook["webhook"]
    for url in ("http://hooks.example.com/", "https://elsewhere.example/", "https://169.254.169.254/", "x"):
        assert await ask(able, {"webhook": url}, LATER) == (400, "invalid_value"), url


async def test_a_model_that_is_served_no_more_is_said_so(http: httpx2.AsyncClient, dispatcher: FakeDispatcher) -> None:
    job = await ended(http)
    dispatcher.catalogue = FakeDispatcher.serving(variant(id="another")).catalogue
    assert (await http.get(f"/v1/jobs/{job['id']}")).status_code == 404


async def test_a_stream_is_answered_now_whatever_is_preferred(http: httpx2.AsyncClient) -> None:
    answer = await http.post(URL, json=SHIRT | {"stream": True}, headers=LATER)
    assert answer.status_code == 200 and len(told(answer.text)) == 1 and "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(StoreAway("x"), 503, "store_unavailable"), (QueueAway("x"), 503, "queue_unavailable")],
)
async def test_what_is_away_is_said_so_everywhere(
    http: httpx2.AsyncClient,
    dispatcher: FakeDispatcher,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    job = await ended(http)
    [one] = job["result"]["data"]

    async def away(*_: object) -> None:
        raise error

    for name in ("get", "delete") if isinstance(error, StoreAway) else ():
        monkeypatch.setattr(dispatcher.store, name, away)
    for name in ("find", "page", "told") if isinstance(error, QueueAway) else ():
        monkeypatch.setattr(dispatcher.jobs, name, away)
    place = f"/v1/jobs/{job['id']}"
    paths = [one["url"], f"{place}/content"]
    paths += ["/v1/jobs", place, f"{place}/events"] if isinstance(error, QueueAway) else []
    form = {"prompt": (None, "shirt"), "image_id": (None, one["id"])}
    answers = [await http.get(path) for path in paths]
    answers += [await http.delete(place), await http.post("/v1/images/edits", files=form)]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.url
        assert int(answer.headers["retry-after"]) > 0


async def test_a_full_store_costs_links_and_nothing_else(
    http: httpx2.AsyncClient, dispatcher: FakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreFull("full")

    monkeypatch.setattr(dispatcher.store, "put", full)
    answer = await http.post(URL, json=SHIRT | {"response_format": "url"})
    assert answer.status_code == 507 and answer.headers["x-should-retry"] == "false"
    assert (await http.post(URL, json=SHIRT)).status_code == 200
    job = await ended(http)
    assert (await http.get(job["result"]["data"][0]["url"])).status_code == 200
    assert told((await http.get(f"/v1/jobs/{job['id']}/events")).text)[-1][1]["type"] == "job.completed"


async def test_a_token_does_not_come_into_the_log(
    dispatcher: FakeDispatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(Settings(log_format="json"), dispatcher)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
        [one] = (await http.post(URL, json=SHIRT | {"response_format": "url"})).json()["data"]
        await http.get(one["url"])
    app.state.services.pool.close()
    log = "".join(capsys.readouterr())
    assert "/v1/artifacts/..." in log and one["url"].rpartition("/")[2] not in log
