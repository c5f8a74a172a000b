"""The client against a gateway that is played by the test: what it sends, what it repeats, what it makes of answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backlot import BacklotClientError, Client, RequestRefused, Unreachable
from backlot.errors import DownloadBroken

Answer = httpx.Response | Exception
GATEWAY = "http://gateway.test"
BYTES = "http://bytes.test/asset/1?exp=9&sig=x"
KEY = "bk_" + "k" * 32
JOB = {"id": "j1", "status": "completed"}


class Gateway:
    """Answers requests in the given order, the last answer for ever; remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("idempotency-key") for request in self.asked]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def talking_to(pauses: list[float]) -> Iterator[Callable[..., tuple[Client, Gateway]]]:
    """A client and the gateway it talks to."""
    clients: list[Client] = []

    def connect(*answers: Answer) -> tuple[Client, Gateway]:
        gateway = Gateway(*answers)
        client = Client(GATEWAY, KEY, transport=httpx.MockTransport(gateway), sleep=pauses.append)
        clients.append(client)
        return client, gateway

    yield connect
    for client in clients:
        client.close()


Talking = Callable[..., tuple[Client, Gateway]]


def refusal(status: int, code: str = "VALIDATION", **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"title": "No", "status": status, "code": code, **more})


AWAY = refusal(503, "UNAVAILABLE")
BUSY = httpx.ConnectError("refused")


def test_a_job_is_asked_for_with_the_key_and_an_idempotency_key(talking_to: Talking) -> None:
    client, gateway = talking_to(httpx.Response(202, json=JOB))

    assert client.create_job({"kind": "image", "prompt": "a fox"}) == JOB
    [request] = gateway.asked
    assert (request.method, str(request.url)) == ("POST", f"{GATEWAY}/api/v1/jobs")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == {"kind": "image", "prompt": "a fox"}
    assert gateway.keys[0]


def test_the_short_form_sends_a_prompt_only_where_there_is_one(talking_to: Talking) -> None:
    client, gateway = talking_to(httpx.Response(202, json=JOB))
    client.generate("thumbnail", "k1")
    client.generate("thumbnail", "k1", custom_prompt="finals")

    bodies = [json.loads(request.content) for request in gateway.asked]
    assert bodies == [
        {"asset_type": "thumbnail", "brand_kit_id": "k1"},
        {"asset_type": "thumbnail", "brand_kit_id": "k1", "custom_prompt": "finals"},
    ]


def test_all_tries_of_one_action_have_one_idempotency_key_and_another_action_has_another(talking_to: Talking) -> None:
    client, gateway = talking_to(BUSY, AWAY, httpx.Response(202, json=JOB))
    client.create_job({"prompt": "a fox"})
    client.create_job({"prompt": "a fox"})

    first, second, third, other = gateway.keys
    assert first == second == third != other


def test_a_given_idempotency_key_is_used(talking_to: Talking) -> None:
    client, gateway = talking_to(AWAY, httpx.Response(202, json=JOB))
    client.create_job({"prompt": "a fox"}, idempotency_key="mine")
    client.generate("banner", "k1", idempotency_key="mine too")

    assert gateway.keys == ["mine", "mine", "mine too"]


def test_pauses_between_tries_grow_and_stay_short(talking_to: Talking, pauses: list[float]) -> None:
    client, _ = talking_to(BUSY, BUSY, BUSY, httpx.Response(200, json=JOB))
    client.get_job("j1")

    assert len(pauses) == 3
    for pause, longest in zip(pauses, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_a_gateway_that_does_not_answer_is_given_up_on_in_words(talking_to: Talking) -> None:
    client, gateway = talking_to(BUSY)

    with pytest.raises(Unreachable, match=r"http://gateway\.test does not answer: refused"):
        client.get_job("j1")
    assert len(gateway.asked) == 4


def test_a_gateway_that_stays_unavailable_is_given_up_on(talking_to: Talking) -> None:
    client, gateway = talking_to(AWAY)

    with pytest.raises(RequestRefused) as caught:
        client.get_job("j1")
    assert (caught.value.status, caught.value.code) == (503, "UNAVAILABLE")
    assert len(gateway.asked) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500])
def test_what_was_refused_is_not_asked_again(talking_to: Talking, pauses: list[float], status: int) -> None:
    client, gateway = talking_to(refusal(status))

    with pytest.raises(RequestRefused) as caught:
        client.create_job({})
    assert caught.value.status == status
    assert (len(gateway.asked), pauses) == (1, [])


@pytest.mark.parametrize("act", [Client.create_brand_kit, lambda client, kit: client.update_brand_kit("k1", kit)])
def test_what_would_happen_twice_is_tried_once(talking_to: Talking, act: Callable[[Client, Any], Any]) -> None:
    client, gateway = talking_to(BUSY)

    with pytest.raises(Unreachable):
        act(client, {"name": "x"})
    assert len(gateway.asked) == 1


def test_a_refusal_names_each_field_and_the_reason(talking_to: Talking) -> None:
    fields = [{"pointer": "/width", "detail": "must be 64 or more"}, {"pointer": "/colour", "detail": "is not known"}]
    client, _ = talking_to(refusal(422, detail="2 fields are not valid", errors=fields))

    with pytest.raises(RequestRefused) as caught:
        client.create_job({})
    assert caught.value.errors == fields
    assert str(caught.value).splitlines() == [
        "VALIDATION: 2 fields are not valid",
        "  /width: must be 64 or more",
        "  /colour: is not known",
    ]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(502, text="<h1>Bad gateway</h1>"), "UNKNOWN: <h1>Bad gateway</h1>"),
        (httpx.Response(500), "UNKNOWN: HTTP 500"),
        (httpx.Response(500, json=["no", "object"]), "UNKNOWN: HTTP 500"),
        (httpx.Response(404, json={"title": "Not found", "code": "NOT_FOUND"}), "NOT_FOUND: Not found"),
    ],
    ids=["another server's page", "nothing", "JSON that is no problem", "no detail"],
)
def test_a_refusal_that_is_no_problem_details_is_told_as_well(
    talking_to: Talking, answer: httpx.Response, sentence: str
) -> None:
    client, _ = talking_to(answer)
    with pytest.raises(RequestRefused) as caught:
        client.get_job("j1")
    assert str(caught.value) == sentence


def test_an_answer_that_is_not_an_object_is_an_error(talking_to: Talking) -> None:
    client, _ = talking_to(httpx.Response(200, json=[1]))
    with pytest.raises(BacklotClientError, match="not an object"):
        client.get_job("j1")


def test_filters_that_are_not_given_are_not_sent(talking_to: Talking) -> None:
    client, gateway = talking_to(httpx.Response(200, json={"items": []}))
    client.list_jobs(status=None, limit=5)
    assert dict(gateway.asked[0].url.params) == {"limit": "5"}


def test_a_job_is_followed_until_it_has_ended(talking_to: Talking) -> None:
    states = [{"id": "j1", "status": status} for status in ("queued", "processing", "completed")]
    client, gateway = talking_to(*(httpx.Response(200, json=state) for state in states))

    assert list(client.changes("j1", timeout=60)) == states
    assert [request.url.params.get("wait") for request in gateway.asked] == [None, "30", "30"]


@pytest.mark.parametrize("status", ["completed", "partial", "failed", "cancelled"])
def test_waiting_ends_with_every_end(talking_to: Talking, status: str) -> None:
    client, _ = talking_to(httpx.Response(200, json={"id": "j1", "status": status}))
    assert client.wait("j1")["status"] == status


def test_a_job_that_does_not_end_in_time_is_told(talking_to: Talking) -> None:
    client, _ = talking_to(httpx.Response(200, json={"id": "j1", "status": "processing"}))
    with pytest.raises(BacklotClientError, match="job j1 is still processing after 0 s"):
        client.wait("j1", timeout=0)


PICTURE = b"\x89PNG" + bytes(200_000)
SHA256 = hashlib.sha256(PICTURE).hexdigest()


@pytest.mark.parametrize(("items", "body"), [(None, {}), ([2, 3], {"items": [2, 3]})])
def test_what_was_paid_for_is_asked_for_again(talking_to: Talking, items: list[int] | None, body: Any) -> None:
    client, gateway = talking_to(httpx.Response(202, json=JOB))
    client.redownload("j1", items)
    [asked] = gateway.asked
    assert (asked.method, asked.url.path) == ("POST", "/api/v1/jobs/j1/redownload")
    assert json.loads(asked.content) == body


def fetching(*states: str | None) -> httpx.Response:
    """A job with an item in each of these states of a redownload."""
    items = [{"redownload": state and {"state": state, "message": None}} for state in states]
    return httpx.Response(200, json={**JOB, "items": items})


def test_a_redownload_is_followed_until_every_item_is_answered(talking_to: Talking, pauses: list[float]) -> None:
    client, gateway = talking_to(
        fetching("requested", "requested"), fetching("fetched", "requested"), fetching("fetched", "failed", None)
    )
    assert len(client.redownloaded("j1", timeout=10)["items"]) == 3
    assert (len(gateway.asked), len(pauses)) == (3, 2)


def test_a_redownload_that_is_not_answered_in_time_is_told(talking_to: Talking) -> None:
    client, _ = talking_to(fetching("requested"))
    with pytest.raises(BacklotClientError, match="job j1 is still being fetched after 0 s"):
        client.redownloaded("j1", timeout=0)


def test_a_download_is_whole_and_its_hash_is_answered(talking_to: Talking, tmp_path: Path) -> None:
    client, _ = talking_to(httpx.Response(200, content=PICTURE))
    file = tmp_path / "new" / "fox.png"

    assert client.download(BYTES, file, sha256=SHA256) == SHA256
    assert file.read_bytes() == PICTURE
    assert [path.name for path in file.parent.iterdir()] == ["fox.png"]


def test_the_origin_of_the_bytes_never_sees_the_key(talking_to: Talking, tmp_path: Path) -> None:
    client, gateway = talking_to(httpx.Response(200, content=PICTURE))
    client.download(BYTES, tmp_path / "fox.png")

    [request] = gateway.asked
    assert str(request.url) == BYTES
    assert KEY not in str(request.headers.raw)


def test_other_bytes_than_announced_leave_no_file_and_the_old_one_as_it_was(
    talking_to: Talking, tmp_path: Path
) -> None:
    client, _ = talking_to(httpx.Response(200, content=PICTURE[:-1]))
    old = tmp_path / "old.png"
    old.write_bytes(b"as it was")

    for file in (old, tmp_path / "new.png"):
        with pytest.raises(DownloadBroken, match=SHA256):
            client.download(BYTES, file, sha256=SHA256)
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert old.read_bytes() == b"as it was"


class _Torn(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield PICTURE[:1000]
        raise httpx.ReadError("torn")


def test_a_download_that_is_torn_begins_again(tmp_path: Path) -> None:
    answers = iter([httpx.Response(200, stream=_Torn()), httpx.Response(200, content=PICTURE)])
    transport = httpx.MockTransport(lambda _: next(answers))
    with Client(GATEWAY, KEY, transport=transport, sleep=lambda _: None) as client:
        client.download(BYTES, tmp_path / "fox.png", sha256=SHA256)
    assert (tmp_path / "fox.png").read_bytes() == PICTURE


def test_a_download_that_stays_torn_leaves_nothing(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=_Torn()))
    with Client(GATEWAY, KEY, transport=transport, sleep=lambda _: None) as client, pytest.raises(Unreachable):
        client.download(BYTES, tmp_path / "fox.png")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_not_good_any_more_is_told_and_leaves_nothing(talking_to: Talking, tmp_path: Path) -> None:
    client, gateway = talking_to(refusal(403, "FORBIDDEN", detail="this address has expired"))
    with pytest.raises(RequestRefused, match="FORBIDDEN: this address has expired"):
        client.download(BYTES, tmp_path / "fox.png")
    assert (len(gateway.asked), list(tmp_path.iterdir())) == (1, [])
