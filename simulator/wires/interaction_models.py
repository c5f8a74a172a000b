"""What the models behind Interactions make of a request, and what it costs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from simulator.generation import Charge, Output, seed_of
from simulator.media.sounds import sound
from simulator.media.videos import video
from simulator.refusals import Reason, Refused

# The longest video in seconds, and millionths of a USD for a second by resolution.
_VIDEOS = {"gemini-omni-flash-preview": 10, "gemini-omni-1.1-flash": 10, "gemini-omni-1.2-flash": 15}
_SHORTEST_VIDEO_S = 3
_DEFAULT_VIDEO_S = 8
_PER_SECOND = {"360p": 50_000, "720p": 100_000, "1080p": 150_000, "4k": 300_000}
_LONG_EDGE = {"360p": 640, "720p": 1280, "1080p": 1920, "4k": 3840}
# Millionths of a USD for a piece of music.
_MUSIC = {"lyria-3-clip-preview": 40_000, "lyria-3-pro-preview": 80_000, "lyria-3.5": 80_000}
_CLIP_S = 30.0
_LONGEST_SONG_S = 180.0
_SECONDS = re.compile(r"(\d+)s")
_SAID = re.compile(r"\b(\d+)[ -]seconds?\b")

Made = tuple[Output, Charge, str, dict[str, Any]]
"""The output, its price, the words it is made from, and the request as it is kept."""


def made_of(body: Mapping[str, Any]) -> Made:
    """Raises `Refused` for what no model takes."""
    model = body.get("model")
    prompt, pictures = _understood(body.get("input"))
    form = body.get("response_format") or {}
    form = form[0] if isinstance(form, list) and form else form
    if not isinstance(form, dict):
        raise Refused(Reason.INVALID, "response_format must be an object")
    if model in _VIDEOS:
        output, charge = _video(str(model), prompt, form)
    elif model in _MUSIC:
        output, charge = _music(str(model), prompt, form)
    else:
        raise Refused(Reason.NO_MODEL, f"Model {model} was not found.")
    delivery = form.get("delivery", "inline")
    if delivery not in {"inline", "uri"}:
        raise Refused(Reason.INVALID, "response_format.delivery must be inline or uri")
    return output, charge, prompt, {"input": prompt, "pictures": pictures, "form": form, "delivery": delivery}


def _understood(given: Any) -> tuple[str, list[str]]:
    """The words, and what each picture is told by."""
    contents = [{"type": "text", "text": given}] if isinstance(given, str) else given
    if not isinstance(contents, list):
        raise Refused(Reason.INVALID, "input must be a text, or a list of contents or of steps")
    words, pictures = [], []
    for one in _flat(contents):
        kind = one.get("type") if isinstance(one, dict) else None
        if kind == "text":
            words.append(str(one.get("text", "")))
        elif kind == "image" and (one.get("data") or one.get("uri")):
            pictures.append(hashlib.sha256(str(one.get("data") or one["uri"]).encode()).hexdigest())
        else:
            raise Refused(Reason.INVALID, f"input holds a content of the type {kind}, which no model here takes")
    prompt = "\n".join(words)
    if not prompt.strip():
        raise Refused(Reason.INVALID, "input has no text")
    return prompt, pictures


def _flat(contents: list[Any]) -> Iterator[Any]:
    """Contents, also those that stand in the user's steps, as the vendor's client sends them."""
    for one in contents:
        if isinstance(one, dict) and one.get("type") == "user_input":
            yield from one.get("content") or ()
        else:
            yield one


def _video(model: str, prompt: str, form: Mapping[str, Any]) -> tuple[Output, Charge]:
    if form.get("type", "video") != "video":
        raise Refused(Reason.INVALID, f"{model} makes videos")
    duration, resolution = form.get("duration", f"{_DEFAULT_VIDEO_S}s"), form.get("resolution", "720p")
    found = _SECONDS.fullmatch(str(duration))
    if found is None or not _SHORTEST_VIDEO_S <= int(found[1]) <= _VIDEOS[model]:
        raise Refused(Reason.INVALID, f"duration must be from {_SHORTEST_VIDEO_S}s to {_VIDEOS[model]}s")
    if resolution not in _LONG_EDGE:
        raise Refused(Reason.INVALID, f"resolution must be one of {', '.join(_LONG_EDGE)}")
    long = _LONG_EDGE[resolution]
    sizes = {"16:9": (long, long * 9 // 16), "9:16": (long * 9 // 16, long)}
    ratio = form.get("aspect_ratio", "16:9")
    if ratio not in sizes:
        raise Refused(Reason.INVALID, f"aspect_ratio must be one of {', '.join(sizes)}")
    seconds = int(found[1])
    made = video(*sizes[ratio], seconds, seed=seed_of(prompt, None))
    return made, Charge(seconds * _PER_SECOND[resolution], {"second": seconds})


def _music(model: str, prompt: str, form: Mapping[str, Any]) -> tuple[Output, Charge]:
    if form.get("type", "audio") != "audio" or form.get("mime_type", "audio/mp3") not in {"audio/mp3", "audio/mpeg"}:
        raise Refused(Reason.INVALID, f"{model} makes MP3")
    seed = seed_of(prompt, None)
    seconds = _CLIP_S if model == "lyria-3-clip-preview" else _song_s(prompt, seed)
    return sound(seconds, mime="audio/mpeg", seed=seed), Charge(_MUSIC[model], {"generation": 1})


def _song_s(prompt: str, seed: int) -> float:
    """About as long as the words say: a twentieth more or less; else some minutes."""
    said = _SAID.search(prompt)
    about = float(said[1]) if said else 90 + seed % 90
    return round(min(_LONGEST_SONG_S, about * (0.95 + seed % 100 / 1000)), 2)
