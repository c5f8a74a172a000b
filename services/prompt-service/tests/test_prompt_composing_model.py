"""A language model as composer: what it is asked, what of its answer is believed, and how long it is listened to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chassis.errors import StartError
from chassis.settings import describe, read
from prompt_service.composing.composition import faults_of
from prompt_service.composing.conversation import Told, WrongAnswer, correction, opening, read_answer
from prompt_service.composing.language_model import LARGEST_ANSWER, Endpoint, LanguageModel, NoAnswer
from prompt_service.settings import Settings
from tests.prompt_endpoint import (
    KEY,
    Answer,
    Stub,
    breaks_off,
    completes,
    composition,
    drips,
    endpoint,
    floods,
    hangs,
    says,
)

TOLD = Told("The last lighthouse", "A keeper lights the lamp", "")
ENVIRONMENT = {
    "PROMPT_SERVICE_DATABASE_URL": "postgresql://u:p@localhost/d",
    "PROMPT_SERVICE_INTERNAL_PORT": "9000",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "BACKLOT_SECRET": "a secret of sixteen",
}


async def ask(stub: Stub, *, seconds: float = 5.0, key: str | None = KEY) -> str:
    model = LanguageModel(Endpoint(stub.url, "a-model", key))
    try:
        return await model.ask(opening(TOLD), seconds=seconds)
    finally:
        await model.stop()


def changed(**changes: Any) -> str:
    """An answer that keeps the rules, but for its first item."""
    answer = composition()
    answer["items"][0].update(changes)
    return json.dumps(answer)


async def test_it_is_asked_for_json_of_the_given_form_with_its_key() -> None:
    async with endpoint(says({"a": 1})) as stub:
        assert await ask(stub) == '{"a": 1}'
    [asked] = stub.asked
    assert asked["model"] == "a-model"
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["schema"]["required"] == ["atmosphere", "items"]
    assert stub.heads[0].startswith("POST /v1/chat/completions ")
    assert f"authorization: bearer {KEY}" in stub.heads[0].lower()
    assert json.loads(asked["messages"][1]["content"]) == {
        "topic": "The last lighthouse",
        "story_direction": "A keeper lights the lamp",
    }


async def test_without_a_key_none_is_sent() -> None:
    async with endpoint(says({})) as stub:
        await ask(stub, key=None)
    assert "authorization" not in stub.heads[0].lower()


async def test_a_server_that_knows_no_schema_is_asked_for_any_json_from_then_on() -> None:
    async with endpoint(completes({"error": "response_format"}, "400 Bad Request"), says({})) as stub:
        model = LanguageModel(Endpoint(stub.url, "a-model", None))
        await model.ask(opening(TOLD), seconds=5)
        await model.ask(opening(TOLD), seconds=5)
        await model.stop()
    assert [asked["response_format"]["type"] for asked in stub.asked] == ["json_schema", "json_object", "json_object"]


@pytest.mark.parametrize(
    ("answer", "reason", "transient"),
    [
        (completes({}, "429 Too Many Requests", "Retry-After: 7"), "status_429", True),
        (completes({}, "500 Internal Server Error"), "status_500", True),
        (completes({}, "401 Unauthorized"), "status_401", False),
        (completes({}, "400 Bad Request"), "status_400", False),
        (completes({}, "302 Found", "Location: http://127.0.0.1:1/"), "status_302", False),
        (completes(b"<html>"), "not_a_completion", False),
        (completes({"choices": []}), "not_a_completion", False),
        (completes(b"[" * 100_000), "not_a_completion", False),
        (completes(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"), "compressed", False),
        (completes(b"x" * (LARGEST_ANSWER + 1)), "too_large", False),
        (floods, "too_large", False),
        (breaks_off, "unreachable", True),
    ],
)
async def test_what_is_no_answer_is_told_in_a_word(answer: Answer, reason: str, transient: bool) -> None:
    async with endpoint(answer) as stub:
        with pytest.raises(NoAnswer) as raised:
            await ask(stub)
    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    assert raised.value.retry_after == (7 if reason == "status_429" else 0)
    assert KEY not in repr(raised.value)


@pytest.mark.parametrize("answer", [hangs, drips])
async def test_nobody_is_listened_to_for_longer_than_there_is_time(answer: Answer) -> None:
    async with endpoint(answer) as stub:
        with pytest.raises(NoAnswer) as raised:
            async with asyncio.timeout(5):
                await ask(stub, seconds=0.3)
    assert raised.value.reason == "timeout"


async def test_an_endpoint_that_is_not_there_may_come_back() -> None:
    async with endpoint(hangs) as stub:
        pass
    with pytest.raises(NoAnswer) as raised:
        await ask(stub)
    assert (raised.value.reason, raised.value.transient) == ("unreachable", True)


async def test_a_completion_without_words_is_a_wrong_answer() -> None:
    async with endpoint(completes({"choices": [{"message": {"content": None, "refusal": "no"}}]})) as stub:
        with pytest.raises(WrongAnswer):
            read_answer(await ask(stub), TOLD)


def test_a_good_answer_is_the_composition() -> None:
    found = read_answer(json.dumps(composition()), TOLD)
    assert found.atmosphere == "Blue dusk"
    assert faults_of(found) == []
    assert found.items[0].prompt == "a picture of characters 0"


def test_a_fence_of_markdown_around_it_is_let_pass() -> None:
    assert read_answer(f"Here:\n```json\n{json.dumps(composition())}\n```\n", TOLD).atmosphere == "Blue dusk"


def test_a_given_atmosphere_is_told_and_kept_whatever_the_answer_says() -> None:
    told = Told("t", "d", "In charcoal " * 200)
    assert "In charcoal" in opening(told)[1]["content"]
    assert read_answer(json.dumps(composition()), told).atmosphere == told.atmosphere


def test_what_it_says_is_cleaned_as_what_users_type() -> None:
    found = read_answer(changed(prompt="a\n\u202efox\u200b \x07runs"), TOLD)
    assert found.items[0].prompt == "a fox runs"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "no JSON object"),
        ("{", "no JSON object"),
        ("{}", "items: missing"),
        ('{"items": 3}', "items: list_type"),
        ('{"items": ' + "[" * 10_000 + "}", "no JSON object"),
        (json.dumps({**composition(), "atmosphere": ""}), "the atmosphere must have"),
        (json.dumps(composition(characters=8)), "there are 23 items"),
        (json.dumps(composition(characters=9, props=4)), "9 items are in the group characters"),
        (json.dumps(composition(characters=5, props=8)), "8 items are in the group props"),
        (changed(group="animals"), "every group must be one of"),
        (changed(name=" "), "the name of item 1 must have 1 to 60"),
        (changed(name="x" * 61), "the name of item 1 must have 1 to 60"),
        (changed(name="Characters  1"), "the name of item 2 is taken"),
        (changed(prompt="\u200b"), "the prompt of item 1 must have 1 to 1000"),
        (changed(prompt="x" * 1001), "the prompt of item 1 must have 1 to 1000"),
        (changed(prompt=None), "items/0/prompt: string_type"),
    ],
)
def test_an_answer_that_breaks_a_rule_is_wrong_and_says_where(answer: str, fault: str) -> None:
    with pytest.raises(WrongAnswer) as raised:
        read_answer(answer, TOLD)
    assert any(fault in said for said in raised.value.faults)
    assert len(raised.value.faults) <= 10


def test_what_was_wrong_is_said_to_whoever_is_asked_again() -> None:
    said, mend = correction("{}", ["items: missing"])
    assert said == {"role": "assistant", "content": "{}"}
    assert "- items: missing" in mend["content"]


def settings(**composer: str) -> Settings:
    more = {f"PROMPT_SERVICE_COMPOSER_{name.upper()}": value for name, value in composer.items()}
    return read(Settings, {**ENVIRONMENT, **more})


def test_no_model_is_asked_unless_one_is_named() -> None:
    assert settings().composer is None


def test_a_model_is_named_by_its_address_its_name_and_perhaps_a_key() -> None:
    assert settings(url="http://10.0.0.5:11434/v1", model="m").composer == Endpoint(
        "http://10.0.0.5:11434/v1", "m", None
    )
    found = settings(url="https://api.example/v1", model="m", api_key=KEY, timeout_seconds="5")
    assert found.composer == Endpoint("https://api.example/v1", "m", KEY)
    assert found.composer_timeout_seconds == 5
    assert KEY not in describe(found)
    assert KEY not in repr(found)
    assert KEY not in repr(found.composer)


@pytest.mark.parametrize(
    ("composer", "said"),
    [
        ({"url": "https://api.example/v1"}, "COMPOSER_MODEL is not set, and PROMPT_SERVICE_COMPOSER_URL is"),
        ({"model": "m"}, "COMPOSER_MODEL needs PROMPT_SERVICE_COMPOSER_URL"),
        ({"api_key": KEY}, "COMPOSER_API_KEY needs PROMPT_SERVICE_COMPOSER_URL"),
        ({"url": "ftp://x", "model": "m"}, "COMPOSER_URL"),
        ({"url": "https://u:p@api.example/v1", "model": "m"}, "COMPOSER_URL must be an address alone"),
        ({"url": "https://api.example/v1?key=1", "model": "m"}, "COMPOSER_URL must be an address alone"),
    ],
)
def test_half_a_configuration_is_refused_at_the_start_in_words(composer: dict[str, str], said: str) -> None:
    with pytest.raises(StartError) as raised:
        settings(**composer)
    [problem] = raised.value.problems
    assert said in problem
    assert KEY not in problem
