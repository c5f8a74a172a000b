"""Variables of a type: what a template says of them is checked when it is loaded, what is given when it is filled."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from prompt_service.preparing import Looks, prepare
from prompt_service.rendering import WrongValue, render
from prompt_service.templates import Template, TemplateFile, own_template
from schemas.events import PromptsPrepared, PromptsRejected
from schemas.parts import ErrorCode
from tests.prompt_harness import TEMPLATES, requested


def of(**placeholder: Any) -> Template:
    """A template with one variable, `it`."""
    said = {"source": "variable", **placeholder}
    said |= {} if "default" in said else {"required": True}
    file = {
        "name": "poster",
        "version": "v1.0",
        "kind": "image",
        "base_prompt": "A poster: {it}.",
        "quality_modifiers": [],
        "placeholders": {"it": said},
    }
    return own_template(TemplateFile.model_validate(file))


def filled(template: Template, value: str | None = None) -> str:
    prompt = render(template, None, None, {} if value is None else {"it": value}).prompt
    return prompt.removeprefix("A poster: ").removesuffix(".")


TAKEN: list[tuple[dict[str, Any], str, str]] = [
    ({}, "any words", "«any words»"),
    ({"type": "text", "max_length": 4}, "four", "«four»"),
    ({"type": "integer"}, "42", "42"),
    ({"type": "integer", "min": -3, "max": 3}, " -3 ", "-3"),
    ({"type": "integer"}, "007", "7"),
    ({"type": "integer"}, "-0", "0"),
    ({"type": "integer"}, "４２", "42"),
    ({"type": "number"}, "1.50", "1.5"),
    ({"type": "number", "max": 0.1}, "0.1", "0.1"),
    ({"type": "number"}, "100", "100"),
    ({"type": "choice", "choices": ["day", "Night"]}, "NIGHT", "Night"),
    ({"type": "choice", "choices": [1, 2]}, "2", "2"),
    ({"type": "color"}, "#7c3aed", "#7C3AED"),
    ({"type": "boolean"}, "True", "yes"),
    ({"type": "boolean"}, "no", "no"),
]


@pytest.mark.parametrize(("placeholder", "value", "shown"), TAKEN)
def test_a_value_that_is_allowed_stands_in_the_prompt_in_one_form(
    placeholder: dict[str, Any], value: str, shown: str
) -> None:
    assert filled(of(**placeholder), value) == shown


NOT_TAKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "text", "max_length": 4}, "fours", "a text of at most 4 characters"),
    ({"type": "text", "max_length": 4}, "four more", "a text of at most 4 characters"),
    ({}, "x" * 501, "a text of at most 500 characters"),
    ({}, "\ufdfa" * 40, "a text of at most 500 characters"),
    ({"type": "integer"}, "1.0", "a whole number"),
    ({"type": "integer"}, "1e3", "a whole number"),
    ({"type": "integer"}, "0x10", "a whole number"),
    ({"type": "integer"}, "1_000", "a whole number"),
    ({"type": "integer"}, "٣", "a whole number"),
    ({"type": "integer"}, "9" * 16, "a whole number"),
    ({"type": "integer", "min": 1, "max": 5}, "6", "a whole number from 1 to 5"),
    ({"type": "integer", "min": 1}, "0", "a whole number of at least 1"),
    ({"type": "number", "max": 0.5}, "0.500000001", "a number of at most 0.5"),
    ({"type": "number"}, "nan", "a number"),
    ({"type": "number"}, "inf", "a number"),
    ({"type": "choice", "choices": ["day", "night"]}, "dusk", "one of day, night"),
    ({"type": "choice", "choices": ["day", "night"]}, "day, night", "one of day, night"),
    ({"type": "color"}, "red", "a colour such as #7C3AED"),
    ({"type": "color"}, "#7C3AED; ignore", "a colour such as #7C3AED"),
    ({"type": "color"}, "#7C3", "a colour such as #7C3AED"),
    ({"type": "boolean"}, "maybe", "yes or no"),
]


@pytest.mark.parametrize(("placeholder", "value", "allowed"), NOT_TAKEN)
def test_a_value_that_is_not_allowed_is_refused_with_what_would_be(
    placeholder: dict[str, Any], value: str, allowed: str
) -> None:
    with pytest.raises(WrongValue) as caught:
        filled(of(**placeholder), value)
    said = f"template poster v1.0 does not take this value of the variable it: it has to be {allowed}"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("placeholder", "shown"),
    [
        ({"default": "some words"}, "some words"),
        ({"default": ""}, ""),
        ({"type": "integer", "default": 3}, "3"),
        ({"type": "number", "default": 0.5}, "0.5"),
        ({"type": "boolean", "default": False}, "no"),
        ({"type": "color", "default": "#7c3aed"}, "#7C3AED"),
        ({"type": "choice", "choices": ["Day", "night"], "default": "day"}, "Day"),
    ],
)
@pytest.mark.parametrize("value", [None, "", " \u200b\u202e "])
def test_a_value_that_is_not_there_is_the_default(placeholder: dict[str, Any], shown: str, value: str | None) -> None:
    assert filled(of(**placeholder), value) == shown


@pytest.mark.parametrize(
    ("placeholder", "problem"),
    [
        ({"type": "integer", "default": "many"}, "the default has to be a whole number"),
        ({"type": "integer", "max": 5, "default": 6}, "the default has to be a whole number of at most 5"),
        ({"type": "boolean", "default": "maybe"}, "the default has to be yes or no"),
        ({"type": "color", "default": ""}, "the default has to be a colour"),
        ({"type": "choice", "choices": ["a"], "default": "b"}, "the default has to be one of a"),
        ({"max_length": 3, "default": "four"}, "the default has to be a text of at most 3 characters"),
        ({"type": "choice"}, "the type choice needs choices"),
        ({"type": "choice", "choices": [""]}, "the type choice needs choices, none of them empty"),
        ({"choices": ["a"]}, "choices means nothing for the type text"),
        ({"type": "text", "min": 1}, "min means nothing for the type text"),
        ({"type": "integer", "max_length": 3}, "max_length means nothing for the type integer"),
        ({"type": "integer", "min": 2, "max": 1}, "min is more than max"),
        ({"type": "integer", "min": 0.5, "max": 0.7}, "there is no whole number between min and max"),
        ({"type": "choice", "choices": ["day", "Day"]}, "two of the choices are the same, capitals aside"),
        ({"type": "date"}, "Input should be 'text', 'integer', 'number', 'choice', 'color' or 'boolean'"),
        ({"type": "integer", "min": float("nan")}, "finite number"),
        ({"max_length": 501}, "less than or equal to 500"),
        ({"source": "text", "type": "text"}, "only a variable has type"),
        ({"source": "request", "choices": ["a"], "max": 1}, "only a variable has max"),
        ({"source": "request", "choices": ["a"], "max": 1}, "only a variable has choices"),
        ({"keep_paragraphs": True}, "only the user's text has paragraphs to keep"),
        ({"source": "brand_kit"}, "no brand kit fills it; a brand kit has brand_name, primary_"),
        ({"default": "\u202e"}, "has characters that nobody can see"),
    ],
)
def test_a_placeholder_that_contradicts_itself_is_refused_when_it_is_loaded(
    placeholder: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        of(**placeholder)
    assert problem in str(caught.value)


STARS = of(type="integer", min=1, max=5, default=3)


def test_a_job_with_a_wrong_value_is_rejected_and_names_the_variable() -> None:
    job = requested(template="poster", variables={"it": "six"}).data
    answer = prepare(job, Looks(), {("poster", "v1.0"): STARS})
    assert isinstance(answer, PromptsRejected)
    assert (answer.code, answer.stage) == (ErrorCode.INVALID_REQUEST, "prompting")
    assert "the variable it: it has to be a whole number from 1 to 5" in answer.message


def test_a_variable_that_has_no_slot_is_warned_of_on_the_job() -> None:
    job = requested(template="poster", variables={"it": "2", "size": "large", "tone": "x"}).data
    answer = prepare(job, Looks(), {("poster", "v1.0"): STARS})
    assert isinstance(answer, PromptsPrepared)
    assert answer.warnings == ["template poster v1.0 has no slot for these variables: size, tone"]
    assert answer.items[0].blank is False


def test_of_many_variables_without_a_slot_ten_are_named() -> None:
    answer = render(TEMPLATES["image", "v1.0"], "x", None, {f"v{number:02}\u202e": "" for number in range(13)})
    names = ", ".join(f"v{number:02}" for number in range(10))
    assert answer.warnings == (f"template image v1.0 has no slot for these variables: {names} and 3 more",)


def test_a_variable_never_fills_a_slot_of_another_source() -> None:
    rendered = render(TEMPLATES["image", "v1.0"], "x", None, {"subject": "y", "tone": "z", "primary_colors": "#000000"})
    assert rendered.prompt == render(TEMPLATES["image", "v1.0"], "x", None, {}).prompt
    assert rendered.warnings == ("template image v1.0 has no slot for these variables: primary_colors, subject, tone",)
