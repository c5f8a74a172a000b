"""How webhooks are sent: again when it failed, not for ever, by one process at a time, and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from api_gateway import metrics
from api_gateway.webhooks import MOST_ATTEMPTS, PAUSES_S, Answer, outcome_of
from tests.gateway_harness import Gateway, gateway_on
from tests.gateway_receiver import Receiver, answering, receiving
from tests.gateway_webhooks import claim, deliveries, finish, make_due, only, redeliver, replica, send, webhook

pytestmark = pytest.mark.integration


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def gateway(database_url: str, receiver: Receiver) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, origins=[receiver.origin]) as running:
        yield running


async def waits(gateway: Gateway) -> float:
    """Seconds until the next attempt."""
    statement = "SELECT extract(epoch FROM due_at - now())::float8 FROM webhook_delivery WHERE NOT leased"
    return float((await gateway.run(statement)).scalar_one())


async def test_what_failed_is_sent_again_with_the_same_id(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    receiver.says(500, 204)
    await finish(gateway)
    await send(gateway)
    failed = await only(gateway, hook)
    assert (failed["state"], failed["attempts"], failed["status"]) == ("pending", 1, 500)
    assert failed["error"] == "the receiver answered 500"
    assert datetime.fromisoformat(failed["next_attempt_at"])

    await make_due(gateway)
    await send(gateway)

    delivered = await only(gateway, hook)
    assert (delivered["state"], delivered["attempts"], delivered["status"]) == ("delivered", 2, 204)
    assert (delivered["error"], delivered["next_attempt_at"]) == (None, None)
    assert receiver.ids() == [delivered["id"]] * 2
    for got in receiver.got:
        got.verified(hook["secret"])
    await make_due(gateway)
    await send(gateway)
    assert len(receiver.got) == 2


async def test_the_pauses_grow_as_the_schedule_says_and_then_it_is_given_up(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url())
    receiver.says(503)
    await finish(gateway)
    await send(gateway)
    for number, pause in enumerate(PAUSES_S, 1):
        found = await only(gateway, hook)
        assert (found["state"], found["attempts"]) == ("pending", number)
        assert pause - 2 <= await waits(gateway) <= pause * 1.1
        await send(gateway)
        assert len(receiver.got) == number
        await make_due(gateway)
        await send(gateway)

    given_up = await only(gateway, hook)
    assert (given_up["state"], given_up["attempts"], len(receiver.got)) == ("given_up", MOST_ATTEMPTS, MOST_ATTEMPTS)
    assert given_up["ended_at"]
    assert await deliveries(gateway, hook, state="given_up") == [given_up]
    assert await deliveries(gateway, hook, state="pending") == []

    receiver.says(200)
    answer = await redeliver(gateway, hook, given_up["id"])
    assert (answer.status_code, answer.json()["state"], answer.json()["attempts"]) == (202, "pending", 0)
    await send(gateway)
    again = await only(gateway, hook)
    assert (again["state"], again["attempts"], again["id"]) == ("delivered", 1, given_up["id"])
    assert set(receiver.ids()) == {given_up["id"]}


async def test_what_was_delivered_is_sent_again_when_it_is_asked_for(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    await finish(gateway)
    await send(gateway)
    found = await only(gateway, hook)
    assert (await redeliver(gateway, hook, found["id"])).status_code == 202
    await send(gateway)
    assert receiver.ids() == [found["id"]] * 2
    assert receiver.got[0].body == receiver.got[1].body


async def test_one_that_is_on_its_way_is_not_begun_anew_until_its_lease_is_over(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url())
    await finish(gateway)
    [claimed] = await claim(gateway)
    refused = await redeliver(gateway, hook, str(claimed.id))
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    assert "on its way" in refused.json()["detail"]

    await make_due(gateway)
    anew = await redeliver(gateway, hook, str(claimed.id))
    assert (anew.status_code, anew.json()["attempts"], bool(anew.json()["next_attempt_at"])) == (202, 0, True)


async def test_what_is_on_its_way_to_a_webhook_that_is_gone_is_not_given_up_before_its_answer(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url())
    await finish(gateway)
    await claim(gateway)
    await gateway.run("UPDATE webhook SET disabled_at = now(), disabled_reason = 'gone'")
    await gateway.deliverer.clear_up()
    assert (await only(gateway, hook))["state"] == "pending"

    await make_due(gateway)
    await gateway.deliverer.clear_up()
    assert (await only(gateway, hook))["state"] == "given_up"


async def test_a_receiver_may_ask_for_more_time_up_to_an_hour(gateway: Gateway, receiver: Receiver) -> None:
    await webhook(gateway, receiver.url())
    receiver.says(answering(429, "Retry-After: 120"), answering(503, "Retry-After: 999999"), 503)
    await finish(gateway)
    await send(gateway)
    assert 118 <= await waits(gateway) <= 120
    await make_due(gateway)
    await send(gateway)
    assert 3590 <= await waits(gateway) <= 3600
    assert outcome_of(Answer(503, retry_after=1), 1).wait is not None
    assert outcome_of(Answer(503, retry_after=1), 1).wait.total_seconds() >= 5  # type: ignore[union-attr]


async def test_a_redirect_is_a_failure_and_is_not_followed(gateway: Gateway, receiver: Receiver) -> None:
    async with receiving() as elsewhere:
        hook = await webhook(gateway, receiver.url())
        receiver.says(answering(307, f"Location: {elsewhere.url()}"), answering(301, f"Location: {receiver.url('/b')}"))
        await finish(gateway)
        await send(gateway)
        await make_due(gateway)
        await send(gateway)
        found = await only(gateway, hook)
        assert (found["state"], found["status"]) == ("pending", 301)
        assert found["error"] == "the receiver answered 301: redirects are not followed"
        assert [got.path for got in receiver.got] == ["/hook", "/hook"]
        assert elsewhere.got == []


async def test_a_receiver_that_is_gone_disables_the_webhook(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    other = await webhook(gateway, receiver.url("/other"))
    jobs = [await finish(gateway) for _ in range(3)]
    [first, *_] = await claim(gateway)
    await gateway.run("UPDATE webhook_delivery SET due_at = now() + interval '1 hour', leased = false")
    await gateway.run("UPDATE webhook_delivery SET due_at = now() WHERE webhook_id = :id AND job_id = :job_id",
                      id=UUID(hook["id"]), job_id=jobs[0])  # fmt: skip
    assert first.webhook_id in {UUID(hook["id"]), UUID(other["id"])}
    receiver.says(410)
    await send(gateway)

    shown = (await gateway.client.get(f"/api/v1/webhooks/{hook['id']}")).json()
    assert shown["disabled_at"]
    assert shown["disabled_reason"] == "the receiver answered 410"
    await gateway.deliverer.clear_up()
    ended = await deliveries(gateway, hook)
    assert [one["state"] for one in ended] == ["given_up"] * 3
    assert [one["error"] for one in ended] == ["the webhook is disabled"] * 2 + ["the receiver answered 410"]
    assert {one["state"] for one in await deliveries(gateway, other)} == {"pending"}
    refused = await redeliver(gateway, hook, ended[0]["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    assert "disabled" in refused.json()["detail"]

    receiver.says(200)
    await finish(gateway)
    assert len(await deliveries(gateway, hook)) == 3
    assert len(await deliveries(gateway, other)) == 4


async def test_an_attempt_that_takes_too_long_has_failed(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url("/slow"))
    receiver.held = {"/slow"}
    await finish(gateway)
    impatient = replica(gateway, receiver, timeout=0.2)
    await impatient.step()
    async with asyncio.timeout(10):
        await impatient.idle()
    found = await only(gateway, hook)
    assert (found["state"], found["status"], found["error"]) == ("pending", None, "the request took too long")
    await impatient.stop()


async def test_an_answer_without_end_is_cut_off_and_its_status_counts(gateway: Gateway, receiver: Receiver) -> None:
    cut = asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                await writer.drain()
        finally:
            cut.set()

    hook = await webhook(gateway, receiver.url())
    receiver.says(endless)
    await finish(gateway)
    async with asyncio.timeout(10):
        await send(gateway)
        await cut.wait()
    assert (await only(gateway, hook))["state"] == "delivered"


async def test_a_name_that_leads_into_a_private_network_later_is_not_followed_there(
    database_url: str, receiver: Receiver
) -> None:
    where = ["93.184.216.34"]

    async def resolve(_: str, __: int) -> list[str]:
        return where

    async with gateway_on(database_url, resolve=resolve) as gateway:
        hook = await webhook(gateway, f"https://studio.example:{receiver.port}/hook?key=hidden")
        await finish(gateway)
        where[:] = ["127.0.0.1"]
        with capture_logs() as lines:
            await send(gateway)
        found = await only(gateway, hook)
        assert (found["state"], found["status"]) == ("pending", None)
        assert found["error"] == "address refused: studio.example leads into a private network"
        assert receiver.got == []
        [line] = [line for line in lines if line["event"] == "webhook_delivery_failed"]
        assert (line["webhook_id"], line["attempts"]) == (hook["id"], 1)
        assert "hidden" not in str(lines)


async def test_a_deleted_webhook_is_told_nothing_more_and_is_swept(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    receiver.says(500)
    await finish(gateway)
    await send(gateway)
    other = await webhook(gateway, receiver.url("/other"))
    assert (await gateway.client.delete(f"/api/v1/webhooks/{hook['id']}")).status_code == 204

    await make_due(gateway)
    await send(gateway)
    await finish(gateway)
    await send(gateway)

    assert [got.path for got in receiver.got] == ["/hook", "/other"]
    assert (await gateway.run("SELECT count(*) FROM webhook_delivery")).scalar_one() == 2
    for path in ("", "/deliveries"):
        assert (await gateway.client.get(f"/api/v1/webhooks/{hook['id']}{path}")).status_code == 404
    assert (await gateway.client.delete(f"/api/v1/webhooks/{hook['id']}")).status_code == 404
    assert (await gateway.client.get("/api/v1/webhooks")).json()["total"] == 1
    await gateway.deliverer.clear_up()
    assert (await gateway.run("SELECT count(*) FROM webhook_delivery")).scalar_one() == 1
    assert (await gateway.run("SELECT count(*) FROM webhook")).scalar_one() == 2
    await gateway.run("UPDATE webhook SET deleted_at = now() - interval '2 hours' WHERE deleted_at IS NOT NULL")
    await gateway.deliverer.clear_up()
    assert (await gateway.run("SELECT count(*) FROM webhook")).scalar_one() == 1
    assert [one["state"] for one in await deliveries(gateway, other)] == ["pending"]


async def test_deliveries_that_ended_long_ago_are_swept_and_pending_ones_stay(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url())
    receiver.says(200, 200, 500)
    jobs = [await finish(gateway) for _ in range(2)]
    await send(gateway)
    waiting = await finish(gateway)
    await send(gateway)
    await gateway.run(
        "UPDATE webhook_delivery SET ended_at = now() - interval '2 hours' WHERE job_id = :job_id", job_id=jobs[0]
    )
    await gateway.run("UPDATE webhook_delivery SET pending_since = now() - interval '9 hours' WHERE state = 'pending'")

    await gateway.deliverer.clear_up()

    assert {one["job_id"] for one in await deliveries(gateway, hook)} == {str(jobs[1]), str(waiting)}
    assert metrics.OLDEST_WEBHOOK._value.get() == pytest.approx(9 * 3600, abs=60)


async def test_every_attempt_is_counted_by_what_came_of_it(gateway: Gateway, receiver: Receiver) -> None:
    def counted() -> list[float]:
        names = ("delivered", "retried", "given_up")
        return [metrics.WEBHOOK_DELIVERIES.labels(name)._value.get() for name in names]

    before = counted()
    await webhook(gateway, receiver.url())
    receiver.says(500, 204, 410)
    await finish(gateway)
    await send(gateway)
    await make_due(gateway)
    await send(gateway)
    await finish(gateway)
    await send(gateway)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]
