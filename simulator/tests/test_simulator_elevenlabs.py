"""ElevenLabs' sound effects and music: over the plain wire, and through its own client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import httpx
import pytest
import soundfile
from elevenlabs import ElevenLabs
from elevenlabs.core import ApiError
from elevenlabs.errors import UnprocessableEntityError

from simulator.testing import RunningSimulator


def ask(simulator: RunningSimulator, path: str, body: dict[str, Any], form: str = "mp3_44100_128") -> httpx.Response:
    url = f"{simulator.url}/elevenlabs/v1/{path}"
    return simulator.http.post(url, params={"output_format": form}, json=body, headers={"xi-api-key": "sim-elevenlabs"})


def seconds(answer: httpx.Response) -> float:
    data, rate = soundfile.read(BytesIO(answer.content))
    return float(len(data) / rate)


@pytest.mark.parametrize(("form", "kind"), [("mp3_44100_128", "audio/mpeg"), ("wav_48000", "audio/wav")])
def test_an_effect_is_the_audio_itself(simulator: RunningSimulator, form: str, kind: str) -> None:
    answer = ask(simulator, "sound-generation", {"text": "Coin click", "duration_seconds": 0.8}, form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert abs(seconds(answer) - 0.8) < 0.03
    (line,) = simulator.bill()["lines"]
    assert (line["amount_micros"], line["external_id"]) == (120_000, answer.headers["request-id"])


def test_music_has_its_length_and_costs_by_it(simulator: RunningSimulator) -> None:
    answer = ask(simulator, "music", {"prompt": "A calm loop", "music_length_ms": 10_001}, "wav_22050")
    assert abs(seconds(answer) - 10.001) < 0.001
    assert simulator.bill()["amount_micros"] == 50_005


@pytest.mark.parametrize(
    ("tag", "status", "word"),
    [
        ("auth", 401, "invalid_api_key"),
        ("quota", 401, "quota_exceeded"),
        ("429:retry_after=2", 429, "system_busy"),
        ("policy", 400, "content_policy_violation"),
        ("http500", 500, "internal_server_error"),
    ],
)
def test_a_fault_is_worded_as_the_provider_does(simulator: RunningSimulator, tag: str, status: int, word: str) -> None:
    answer = ask(simulator, "sound-generation", {"text": f"Click [[sim:{tag}]]"})
    assert (answer.status_code, answer.json()["detail"]["status"]) == (status, word)
    assert simulator.bill()["lines"] == []


def test_too_many_at_once_are_told_apart_from_a_busy_system(simulator: RunningSimulator) -> None:
    account = {"key": "sim-elevenlabs", "name": "free", "max_unfinished": 0}
    simulator.post("accounts", provider="elevenlabs", accounts=[account])
    answer = ask(simulator, "sound-generation", {"text": "Click"})
    assert (answer.status_code, answer.json()["detail"]["status"]) == (429, "too_many_concurrent_requests")


@pytest.mark.parametrize(
    ("path", "body", "form"),
    [
        ("sound-generation", {"text": ""}, "mp3_44100_128"),
        ("sound-generation", {"text": "Click", "duration_seconds": 31}, "mp3_44100_128"),
        ("music", {"prompt": "Loop", "music_length_ms": 2_999}, "mp3_44100_128"),
        ("music", {"prompt": "Loop"}, "mp3_1_1"),
    ],
)
def test_what_is_invalid_is_listed(simulator: RunningSimulator, path: str, body: dict[str, Any], form: str) -> None:
    answer = ask(simulator, path, body, form)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


def test_damaged_audio(simulator: RunningSimulator) -> None:
    half = ask(simulator, "sound-generation", {"text": "Click [[sim:corrupt:wrong_size]]", "duration_seconds": 2})
    other = ask(simulator, "sound-generation", {"text": "Click [[sim:corrupt:wrong_mime]]", "duration_seconds": 2})
    assert abs(seconds(half) - 1) < 0.03
    assert other.content.startswith(b"RIFF")
    assert other.headers["content-type"] == "audio/mpeg"


@pytest.fixture
def client(simulator: RunningSimulator) -> ElevenLabs:
    return ElevenLabs(api_key="sim-elevenlabs", base_url=f"{simulator.url}/elevenlabs")


def heard(parts: Iterable[bytes]) -> float:
    data, rate = soundfile.read(BytesIO(b"".join(parts)))
    return float(len(data) / rate)


def test_its_client_gets_effects_and_music_of_their_length(client: ElevenLabs, simulator: RunningSimulator) -> None:
    effect = client.text_to_sound_effects.convert(text="Coin click", duration_seconds=0.8, loop=False)
    music = client.music.compose(prompt="A calm loop", music_length_ms=3_000, force_instrumental=True)
    assert [heard(effect), heard(music)] == pytest.approx([0.8, 3], abs=0.03)
    assert [line["amount_micros"] for line in simulator.bill()["lines"]] == [120_000, 15_000]


@pytest.mark.parametrize(("model", "rate"), [("music_v1", 44_100), ("music_v2", 48_000)])
def test_left_to_itself_music_has_the_format_of_its_model(client: ElevenLabs, model: Any, rate: int) -> None:
    music = client.music.compose(prompt="A calm loop", music_length_ms=3_000, model_id=model, output_format="auto")
    assert soundfile.info(BytesIO(b"".join(music))).samplerate == rate


@pytest.mark.parametrize(
    ("tag", "status", "word"),
    [
        ("auth", 401, "invalid_api_key"),
        ("quota", 401, "quota_exceeded"),
        ("429:retry_after=1", 429, "system_busy"),
        ("policy", 400, "content_policy_violation"),
        ("http500", 500, "internal_server_error"),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        lambda client, words: client.text_to_sound_effects.convert(text=words),
        lambda client, words: client.music.compose(prompt=words, music_length_ms=3_000),
    ],
    ids=["effect", "music"],
)
def test_its_client_raises_a_refusal_with_its_word(
    client: ElevenLabs,
    simulator: RunningSimulator,
    asked: Callable[[ElevenLabs, str], Iterable[bytes]],
    tag: str,
    status: int,
    word: str,
) -> None:
    with pytest.raises(ApiError) as caught:
        list(asked(client, f"A calm loop [[sim:{tag}]]"))
    assert (caught.value.status_code, caught.value.body["detail"]["status"]) == (status, word)
    assert simulator.bill()["lines"] == []


def test_its_client_raises_what_is_invalid_by_its_own_name(client: ElevenLabs) -> None:
    with pytest.raises(UnprocessableEntityError) as caught:
        list(client.text_to_sound_effects.convert(text="Click", duration_seconds=31))
    (found,) = caught.value.body["detail"]
    assert found["loc"] == ["body", "duration_seconds"]


def test_its_client_lists_the_models(client: ElevenLabs) -> None:
    assert {"music_v1", "eleven_text_to_sound_v2"} <= {model.model_id for model in client.models.list()}


def test_its_client_asks_again_where_a_question_was_not_answered(
    client: ElevenLabs, simulator: RunningSimulator
) -> None:
    simulator.fault("http503", provider="elevenlabs", endpoint="models", count=1)
    assert client.models.list()
    assert [call["status"] for call in simulator.calls()] == [503, 200]
