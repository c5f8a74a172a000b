"""Webhooks without a server: secrets, signatures, the schedule, and which origins an operator may name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from api_gateway.settings import Settings
from api_gateway.webhooks import MOST_ATTEMPTS, PAUSES_S, Answer, Delivery, outcome_of, secret_of, signed_headers
from chassis.errors import StartError
from chassis.settings import read

MASTER = SecretStr("a secret of the tests, long enough")
HOOK = UUID("01890000-0000-7000-8000-0000000000a1")
ENVIRON = {
    "API_GATEWAY_DATABASE_URL": "postgresql://u:p@h/d",
    "API_GATEWAY_HTTP_PORT": "8080",
    "API_GATEWAY_INTERNAL_PORT": "9000",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "BACKLOT_SECRET": MASTER.get_secret_value(),
    "PROMPT_SERVICE_URL": "http://127.0.0.1:9",
    "PROVIDER_WORKER_URL": "http://127.0.0.1:9",
    "STORAGE_SERVICE_URL": "http://127.0.0.1:9",
    "ASSET_PUBLIC_URL": "https://assets.test",
}


def delivery(now: datetime) -> Delivery:
    return Delivery(UUID(int=1), HOOK, UUID(int=2), UUID(int=3), "job.failed", '{"a":"ü"}', "https://x.test", 1, 1, now)


def test_a_secret_is_always_the_same_and_each_webhooks_own() -> None:
    # Whoever changes this makes every receiver refuse what it gets.
    assert secret_of(MASTER, HOOK) == "whsec_uQfy6jPPtkVaLAGQzBwLtIq2uUrtr1+iszwH6mxrha8="
    assert secret_of(MASTER, UUID(int=1)) != secret_of(MASTER, HOOK) != secret_of(SecretStr("other" * 5), HOOK)


def test_what_is_signed_is_verified_by_the_library_and_not_after_five_minutes() -> None:
    now = datetime.now(UTC)
    headers = signed_headers(secret_of(MASTER, HOOK), delivery(now))
    assert headers["webhook-id"] == str(UUID(int=1))
    assert Webhook(secret_of(MASTER, HOOK)).verify(delivery(now).body, headers) == {"a": "ü"}
    old = signed_headers(secret_of(MASTER, HOOK), delivery(now - timedelta(minutes=6)))
    with pytest.raises(Exception, match="too old"):
        Webhook(secret_of(MASTER, HOOK)).verify(delivery(now).body, old)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_taken(status: int) -> None:
    assert outcome_of(Answer(status), 1).state == "delivered"


@pytest.mark.parametrize("status", [None, 100, 199, 300, 304, 400, 401, 404, 409, 429, 500, 599])
def test_all_else_is_sent_again_until_there_is_no_more_time(status: int | None) -> None:
    answer = Answer(status, None if status else "the request took too long")
    waits = [outcome_of(answer, attempts).wait for attempts in range(1, MOST_ATTEMPTS)]
    for wait, pause in zip(waits, PAUSES_S, strict=True):
        assert wait is not None
        assert pause <= wait.total_seconds() <= 1.1 * pause
    last = outcome_of(answer, MOST_ATTEMPTS)
    assert (last.state, last.wait, last.gone) == ("given_up", None, False)
    assert last.error


def test_replicas_that_failed_together_do_not_come_back_together() -> None:
    assert len({outcome_of(Answer(500), 2).wait for _ in range(20)}) > 1


def test_an_operator_names_whole_origins() -> None:
    settings = read(
        Settings,
        ENVIRON | {"API_GATEWAY_WEBHOOK_ORIGINS": "http://10.0.0.5:9000, https://Hook.internal, http://[::1]:80,"},
    )
    assert settings.trusted_origins == {"http://10.0.0.5:9000", "https://hook.internal:443", "http://[::1]:80"}
    assert read(Settings, ENVIRON).trusted_origins == frozenset()


@pytest.mark.parametrize(
    "origin",
    [
        "10.0.0.5:9000",
        "ftp://10.0.0.5",
        "http://",
        "http://10.0.0.5:9000/hook",
        "http://10.0.0.5:9000/",
        "http://u:word@10.0.0.5",
        "http://[::1",
        "*",
        "http://*.corp",
        "http://10.0.0.5:99999",
        "http://10.0.0.5:0",
        "http://:9000",
        "http://10.0.0.5:9000?x=1",
        "http://10.0.0.5:9000#x",
        "http://a b",
        "http://h%2f:1",
    ],
)
def test_what_is_no_origin_prevents_the_start_in_words(origin: str) -> None:
    with pytest.raises(StartError, match=r"API_GATEWAY_WEBHOOK_ORIGINS .* is no origin") as refused:
        read(Settings, ENVIRON | {"API_GATEWAY_WEBHOOK_ORIGINS": f"http://10.0.0.1,{origin}"})
    assert "word" not in str(refused.value)
