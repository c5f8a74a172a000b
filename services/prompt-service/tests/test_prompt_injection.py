"""Whatever is typed to get out of a slot changes that slot alone, and there it is data between two marks."""

from __future__ import annotations

import time
import unicodedata

import pytest
from pydantic import ValidationError

from prompt_service.kits import BrandKitBody
from prompt_service.preparing import Looks, prepare
from prompt_service.rendering import MAX_PARAGRAPHS, WrongValue, render
from prompt_service.sanitizing import CLOSING, OPENING, clean
from prompt_service.templates import TemplateFile, own_template
from schemas.events import PromptsPrepared
from tests.prompt_harness import TEMPLATES, requested
from tests.prompt_injections import INJECTIONS

KIT = BrandKitBody(name="Neon Drift", primary_colors=["#7C3AED"], accent_colors=["#F97316"], tone="bold and playful")
ASKED = {"voices": "instrumental"}
WITH_TEXT = [template for template in TEMPLATES.values() if "subject" in template.placeholders]
TWO_WORDS = own_template(
    TemplateFile.model_validate(
        {
            "name": "two_words",
            "version": "v1.0",
            "kind": "image",
            "base_prompt": "Left {one}, right {other}, mood {tone}, about {subject}.",
            "quality_modifiers": ["sharp"],
            "placeholders": {
                "one": {"source": "variable", "default": "nothing"},
                "other": {"source": "variable", "default": "nothing"},
                "tone": {"source": "brand_kit", "required": True},
                "subject": {"source": "text", "default": "nothing"},
            },
        }
    )
)


each_sort = pytest.mark.parametrize("sort", INJECTIONS)


def around(prompt: str, mark: str) -> tuple[str, str]:
    """What stands before and behind the slot that `mark` was put into."""
    before, behind = prompt.split(f"{OPENING}{mark}{CLOSING}")
    return before, behind


def slot_of(prompt: str, before: str, behind: str) -> str:
    """What stands between, the rest being as it is for everybody."""
    assert prompt.startswith(before)
    assert prompt.endswith(behind)
    return prompt[len(before) : len(prompt) - len(behind)]


def assert_is_data(slot: str, default: str | None = None) -> None:
    """Fenced once, cleaned, not longer than allowed; or the template's own words where nothing can be seen."""
    if slot == default:
        return
    assert (slot[0], slot[-1]) == (OPENING, CLOSING)
    inside = slot[1:-1]
    assert inside
    assert OPENING not in inside
    assert CLOSING not in inside
    assert len(inside) <= MAX_PARAGRAPHS
    kinds = {unicodedata.category(char) for char in inside.replace("\n", "").replace("\u200d", "")}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert unicodedata.is_normalized("NFKC", inside)


def test_the_corpus_has_more_than_two_hundred_strings() -> None:
    assert len({text for texts in INJECTIONS.values() for text in texts}) >= 200


@each_sort
def test_a_text_changes_its_own_slot_and_nothing_else(sort: str) -> None:
    for template in WITH_TEXT:
        before, behind = around(render(template, "MARK", KIT, {}, ASKED).prompt, "MARK")
        default = template.placeholders["subject"].default
        for text in INJECTIONS[sort]:
            if default is None and not clean(text, limit=MAX_PARAGRAPHS):
                continue
            assert_is_data(slot_of(render(template, text, KIT, {}, ASKED).prompt, before, behind), default)


@each_sort
def test_a_variable_changes_its_own_slot_and_nothing_else(sort: str) -> None:
    marked = render(TWO_WORDS, "{other}", KIT, {"one": "MARK", "other": "{one}"}).prompt
    before, behind = around(marked, "MARK")
    for text in INJECTIONS[sort]:
        given = {"one": text, "other": "{one}"}
        if len(clean(text, limit=600)) > 500:
            with pytest.raises(WrongValue, match="it has to be a text of at most 500 characters"):
                render(TWO_WORDS, "{other}", KIT, given)
        else:
            assert_is_data(slot_of(render(TWO_WORDS, "{other}", KIT, given).prompt, before, behind), "nothing")


@each_sort
def test_the_words_of_a_kit_change_their_own_slot_and_nothing_else(sort: str) -> None:
    for template, slot, field in ((TWO_WORDS, "mood", "tone"), (TEMPLATES["banner", "v1.0"], "for", "name")):
        marked = render(template, "x", KIT.model_copy(update={field: "MARK"}), {}).prompt
        before, behind = around(marked, "MARK")
        assert before.endswith(f"{slot} ")
        for text in INJECTIONS[sort]:
            try:
                kit = BrandKitBody.model_validate(KIT.model_dump() | {field: text})
            except ValidationError:
                continue
            assert_is_data(slot_of(render(template, "x", kit, {}).prompt, before, behind))


TYPES: list[dict[str, object]] = [
    {"type": "integer", "default": 77},
    {"type": "number", "default": 77},
    {"type": "color", "default": "#77AA77"},
    {"type": "boolean", "default": True},
    {"type": "choice", "choices": ["day"], "default": "day"},
]


@each_sort
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind["type"]))
def test_a_variable_of_a_type_takes_none_of_it(kind: dict[str, object], sort: str) -> None:
    said = {"base_prompt": "Just {it}.", "placeholders": {"it": {"source": "variable", **kind}}}
    template = own_template(TemplateFile.model_validate(TWO_WORDS.file.model_dump(exclude_defaults=True) | said))
    for text in INJECTIONS[sort]:
        if clean(text, limit=10):
            with pytest.raises(WrongValue):
                render(template, None, None, {"it": text})
        else:
            assert render(template, None, None, {"it": text}) == render(template, None, None, {})


@each_sort
def test_a_job_is_answered_and_its_answer_can_be_sent(sort: str) -> None:
    for text in INJECTIONS[sort]:
        sendable = text.encode("utf-8", "replace").decode()
        answer = prepare(requested(variables={sendable[:200]: "x"}, prompt=sendable).data, Looks(), TEMPLATES)
        assert isinstance(answer, PromptsPrepared) or answer.message.endswith("needs a prompt")
        assert type(answer).model_validate_json(answer.model_dump_json()) == answer


@each_sort
def test_no_text_takes_long(sort: str) -> None:
    for text in INJECTIONS[sort]:
        began = time.process_time()
        render(TEMPLATES["manifest", "v1.0"], f"x {text}", KIT, {})
        assert time.process_time() - began < 2
