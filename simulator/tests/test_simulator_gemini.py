"""Google's own client against the simulator: what it gets, and what it raises."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from simulator.testing import RunningSimulator


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"{simulator.url}/gemini")
    with genai.Client(api_key="sim-gemini", http_options=options) as made:
        yield made


def ask(client: genai.Client, prompt: str, model: str = "gemini-2.5-flash-image", **image: Any) -> Any:
    config = types.GenerateContentConfig(response_modalities=["IMAGE"], image_config=types.ImageConfig(**image))
    return client.models.generate_content(model=model, contents=prompt, config=config)


@pytest.mark.parametrize(
    ("model", "image", "size", "micros"),
    [
        ("gemini-2.5-flash-image", {"aspect_ratio": "16:9"}, (1344, 768), 38_700),
        ("gemini-3-pro-image", {"aspect_ratio": "21:9", "image_size": "2K"}, (3168, 1344), 134_402),
        ("gemini-3.1-flash-image", {"aspect_ratio": "4:1"}, (2048, 512), 67_200),
    ],
)
def test_a_picture_has_the_size_of_its_model_and_tier(
    client: genai.Client, simulator: RunningSimulator, model: str, image: Any, size: tuple[int, int], micros: int
) -> None:
    answer = ask(client, "A fox", model, **image)

    (found,) = [part.inline_data for part in answer.candidates[0].content.parts if part.inline_data]
    picture = Image.open(BytesIO(found.data))
    picture.load()
    assert (picture.size, found.mime_type) == (size, "image/png")
    assert answer.usage_metadata.candidates_token_count > 1000
    assert simulator.bill()["amount_micros"] == micros


def test_a_picture_may_be_given_along(client: genai.Client, simulator: RunningSimulator) -> None:
    given = types.Part.from_bytes(data=b"\x89PNG...", mime_type="image/png")
    client.models.generate_content(
        model="gemini-2.5-flash-image",
        contents=types.Content(role="user", parts=[given, types.Part.from_text(text="Greener")]),
    )
    (line,) = simulator.bill()["lines"]
    assert line["units"]["prompt_tokens"] == 259


def test_a_blocked_prompt_is_answered_200_without_a_picture_and_not_billed(
    client: genai.Client, simulator: RunningSimulator
) -> None:
    answer = ask(client, "A fox [[sim:policy:input]]")
    assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert not answer.candidates
    assert simulator.bill()["lines"] == []


def test_a_blocked_picture_costs_its_prompt(client: genai.Client, simulator: RunningSimulator) -> None:
    answer = ask(client, "A fox, " * 40 + "[[sim:policy:output]]")
    assert answer.candidates[0].finish_reason == types.FinishReason.IMAGE_SAFETY
    (line,) = simulator.bill()["lines"]
    assert set(line["units"]) == {"prompt_tokens"}
    assert 0 < line["amount_micros"] < 100


def test_the_time_to_wait_stands_in_the_body(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as raised:
        ask(client, "A fox [[sim:429:body_retryinfo=37s]]")

    assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = {one["@type"].rpartition(".")[2]: one for one in raised.value.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "37s"
    assert "PerMinute" in details["QuotaFailure"]["violations"][0]["quotaId"]


@pytest.mark.parametrize(
    ("tag", "error", "code", "status"),
    [
        ("quota", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("auth", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("http503", errors.ServerError, 503, "UNAVAILABLE"),
        ("http500", errors.ServerError, 500, "INTERNAL"),
    ],
)
def test_a_fault_is_raised_as_the_provider_words_it(
    client: genai.Client, simulator: RunningSimulator, tag: str, error: type[errors.APIError], code: int, status: str
) -> None:
    with pytest.raises(error) as raised:
        ask(client, f"A fox [[sim:{tag}]]")
    assert (raised.value.code, raised.value.status) == (code, status)
    assert simulator.bill()["lines"] == []


def test_a_daily_quota_names_the_day(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as raised:
        ask(client, "A fox [[sim:quota]]")
    assert "PerDay" in str(raised.value.details)


def test_a_wrong_key_is_an_invalid_argument(simulator: RunningSimulator) -> None:
    options = types.HttpOptions(base_url=f"{simulator.url}/gemini")
    with genai.Client(api_key="other", http_options=options) as client, pytest.raises(errors.ClientError) as raised:
        ask(client, "A fox")
    assert "API_KEY_INVALID" in str(raised.value.details)


@pytest.mark.parametrize(
    ("model", "image", "code"),
    [
        ("gemini-2.5-flash-image", {"aspect_ratio": "4:1"}, 400),
        ("gemini-2.5-flash-image", {"image_size": "2K"}, 400),
        ("gemini-3-pro-image", {"image_size": "512"}, 400),
        ("gemini-2.0-flash-preview-image-generation", {}, 404),
    ],
)
def test_what_a_model_cannot_make_is_refused(client: genai.Client, model: str, image: Any, code: int) -> None:
    with pytest.raises(errors.ClientError) as raised:
        ask(client, "A fox", model, **image)
    assert raised.value.code == code


def test_a_body_that_breaks_the_simulator_is_answered_and_logged(simulator: RunningSimulator) -> None:
    url = f"{simulator.url}/gemini/v1beta/models/gemini-2.5-flash-image:generateContent"
    answer = simulator.http.post(url, json={"contents": ["x"]}, headers={"x-goog-api-key": "sim-gemini"})
    assert (answer.status_code, answer.text) == (500, "the simulator broke")
    assert [call["status"] for call in simulator.calls()] == [500]
    assert simulator.bill()["lines"] == []


def test_the_models_are_listed(client: genai.Client) -> None:
    assert client.models.get(model="gemini-2.5-flash-image").name == "models/gemini-2.5-flash-image"
