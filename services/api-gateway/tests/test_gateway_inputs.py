"""Which inputs a job may name. Pure: no server, no database."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import to_json

from api_gateway.http.bodies import parse
from api_gateway.requests import InvalidRequest, JobRequest, translate
from chassis.errors import Invalid
from chassis.ids import uuid7

ASSET = str(uuid7())


def of(role: str, **source: Any) -> dict[str, Any]:
    return {"role": role, **(source or {"asset_id": ASSET})}


def asked(kind: str, *inputs: dict[str, Any]) -> list[str]:
    body = {"kind": kind, "prompt": "a fox", "inputs": list(inputs)}
    return [given.role for given in translate(parse(JobRequest, to_json(body))).spec.inputs]


TAKEN = [
    ("image", ["reference"]),
    ("image", ["reference", "reference", "reference", "reference", "style"]),
    ("image", ["style"]),
    ("image", ["mask", "reference"]),
    ("texture", ["reference", "style"]),
    ("video", ["first_frame", "last_frame"]),
    ("video", ["reference"]),
    ("model_3d", ["reference"]),
    ("model_3d", ["model", "style"]),
]


@pytest.mark.parametrize(("kind", "roles"), TAKEN)
def test_a_kind_takes_what_it_can_be_made_of(kind: str, roles: list[str]) -> None:
    assert asked(kind, *(of(role) for role in roles)) == roles


REFUSED = [
    ("image", ["first_frame"], "/inputs/0/role", "of image is reference, style, mask, not first_frame"),
    ("image", ["mask"], "/inputs/0/role", "mask needs a reference beside it"),
    ("image", ["reference"] * 5, "/inputs/0/role", "there 5 times, but image takes 4"),
    ("image", ["reference", "mask", "mask"], "/inputs/1/role", "mask is there 2 times"),
    ("texture", ["reference", "mask"], "/inputs/1/role", "not mask"),
    ("video", ["last_frame"], "/inputs/0/role", "last_frame needs a first_frame"),
    ("video", ["first_frame", "reference"], "/inputs/1/role", "reference and first_frame exclude each other"),
    ("model_3d", ["style"], "/inputs/0/role", "style needs a model"),
    ("model_3d", ["model", "reference"], "/inputs/1/role", "exclude each other"),
    ("sfx", ["reference"], "/inputs/0/role", "sfx takes no inputs"),
    ("music", ["reference"], "/inputs/0/role", "music takes no inputs"),
    ("environment_map", ["reference"], "/inputs/0/role", "environment_map takes no inputs"),
]


@pytest.mark.parametrize(("kind", "roles", "pointer", "words"), REFUSED)
def test_what_makes_no_sense_is_refused_by_its_place(kind: str, roles: list[str], pointer: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(kind, *(of(role) for role in roles))
    [error] = caught.value.errors
    assert (error.pointer, words in error.detail) == (pointer, True), error


MALFORMED: list[tuple[Any, str]] = [
    (of("hero"), "/inputs/0/role"),
    ({"role": "reference"}, "/inputs/0"),
    (of("reference", asset_id=ASSET, url="https://example.com/a.png"), "/inputs/0"),
    (of("reference", asset_id="fox"), "/inputs/0/asset_id"),
    (of("reference", asset_id=7), "/inputs/0/asset_id"),
    (of("reference", url="http://example.com/a.png"), "/inputs/0/url"),
    (of("reference", url="https://user:word@example.com/a.png"), "/inputs/0/url"),
    (of("reference", url="https:///a.png"), "/inputs/0/url"),
    (of("reference", url="https://[bad/a.png"), "/inputs/0/url"),
    (of("reference", url="file:///etc/passwd"), "/inputs/0/url"),
    (of("reference", url="data:image/png;base64,AAAA"), "/inputs/0/url"),
    (of("reference", url="https://example.com/a b\n.png"), "/inputs/0/url"),
    (of("reference", url="https://example.com/" + "a" * 2048), "/inputs/0/url"),
    (of("reference", url="https://example.com/a.png", mime="image/png"), "/inputs/0/mime"),
    ("fox.png", "/inputs/0"),
    (None, "/inputs/0"),
]


@pytest.mark.parametrize(("given", "pointer"), MALFORMED)
def test_a_malformed_input_is_refused_by_its_place(given: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        asked("image", given)
    assert pointer in {error.pointer for error in caught.value.errors}


def test_there_are_at_most_eight_inputs() -> None:
    with pytest.raises(Invalid) as caught:
        asked("image", *[of("reference")] * 9)
    assert [error.pointer for error in caught.value.errors] == ["/inputs"]
