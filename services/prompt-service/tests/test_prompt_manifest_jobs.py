"""What becomes of a manifest: all its items, where their files will stand, what is wrong with it (R83-R96, R117)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.ids import uuid7
from prompt_service.capsules import StyleCapsuleBody
from prompt_service.composing.composition import Composed, Composition
from prompt_service.kits import BrandKitBody
from prompt_service.looks import Look
from prompt_service.preparing import Looks, prepare
from prompt_service.templates import load_templates
from schemas.events import JobRequested, PromptsPrepared, PromptsRejected
from schemas.parts import JobSpec, Kind, ManifestSpec, VersionRef

TEMPLATES = load_templates()
USER = uuid7()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KIT = Look(uuid7(), 1, BrandKitBody(name="Neon", primary_colors=["#7C3AED"], tone="bold"), NOW, NOW)
CAPSULE = Look(uuid7(), 2, StyleCapsuleBody(name="Noir", style="35 mm film", negative_prompt="cartoon"), NOW, NOW)
STORY = {"topic": "The last lighthouse", "story_direction": "An old keeper lights the lamp. A ship comes home."}
FOX = {"group": "characters", "name": "Red fox", "prompt": "a red fox"}


def requested(manifest: dict[str, Any], **spec: Any) -> JobRequested:
    asked = ManifestSpec.model_validate({"channel": "c-1", "project": "p_1", **manifest})
    return JobRequested(
        job_id=uuid7(),
        user_id=USER,
        request=JobSpec(**{"kind": Kind.IMAGE, "manifest": asked, **spec}),
        brand_kit=VersionRef(id=KIT.id, version=1),
        style_capsule=VersionRef(id=CAPSULE.id, version=2),
        max_cost_micros=5,
    )


def prepared(manifest: dict[str, Any], looks: Looks | None = None, **spec: Any) -> PromptsPrepared:
    answer = prepare(requested(manifest, **spec), looks or Looks(), TEMPLATES)
    assert isinstance(answer, PromptsPrepared), answer
    return answer


def refused(manifest: dict[str, Any], **spec: Any) -> str:
    answer = prepare(requested(manifest, **spec), Looks(), TEMPLATES)
    assert isinstance(answer, PromptsRejected)
    assert (answer.code, answer.stage) == ("INVALID_REQUEST", "prompting")
    return answer.message


def test_given_items_are_made_as_they_are_given() -> None:
    shot = {
        "name": "den",
        "group": "environments",
        "prompt": "a den",
        "width": 640,
        "seed": 7,
        "negative_prompt": "fog",
    }
    said = prepared(
        {"atmosphere": "Autumn light", "items": [FOX, shot]}, height=512, seed=3, negative_prompt="text", format="jpeg"
    )
    fox, den = said.items
    assert [(item.number, item.group, item.name) for item in said.items] == [
        (1, "characters", "Red_fox"),
        (2, "environments", "den"),
    ]
    assert fox.logical_name == "channels/c-1/projects/p_1/assets/characters/Red_fox.jpg"
    assert (fox.width, fox.height, fox.seed, fox.negative_prompt) == (1024, 512, 3, "text")
    assert (den.width, den.height, den.seed, den.negative_prompt) == (640, 512, 7, "fog")
    assert {(item.kind, item.format, item.template, item.template_version) for item in said.items} == {
        (Kind.IMAGE, "jpeg", "manifest", "v1.0")
    }
    assert fox.prompt_sha256 != den.prompt_sha256


def test_a_prompt_is_the_atmosphere_a_blank_line_and_what_the_item_shows() -> None:
    [item] = prepared({"atmosphere": "Autumn\n light ", "items": [FOX]}).items
    assert item.prompt.startswith("«Autumn light\n\na red fox»")


def test_the_atmosphere_is_derived_from_the_topic_where_none_is_given() -> None:
    said = prepared({"topic": "Foxes of the forest", "atmosphere": " ", "items": [FOX]})
    assert said.items[0].prompt.startswith("«Deep forest: ")
    assert said.warnings == []


def test_without_topic_and_atmosphere_it_is_a_plain_one_and_said_to_be() -> None:
    said = prepared({"items": [FOX]})
    assert said.items[0].prompt.startswith("«Plain documentary look")
    assert said.warnings == ["neither atmosphere nor topic is given: the atmosphere is generic"]


def test_a_story_alone_makes_22_items_in_three_groups_each_with_a_file_of_its_own() -> None:
    said = prepared(STORY)
    counted = Counter(item.group for item in said.items)
    assert counted.total() == 22
    assert set(counted) == {"characters", "environments", "props"}
    assert len({item.logical_name for item in said.items}) == len({item.prompt for item in said.items}) == 22
    assert any("old keeper" in item.prompt for item in said.items)
    assert said.warnings == []


def test_the_same_story_makes_the_same_items() -> None:
    assert prepared(STORY).items == prepared(STORY).items


def test_a_story_under_a_given_atmosphere_keeps_it() -> None:
    said = prepared({**STORY, "atmosphere": "In charcoal"})
    assert all(item.prompt.startswith("«In charcoal\n\n") for item in said.items)


def test_a_composition_of_somebody_else_takes_the_place_of_the_rules() -> None:
    items = tuple(Composed("props", f"thing {number}", f"a thing {number}") for number in range(3))
    answer = prepare(requested(STORY), Looks(), TEMPLATES, Composition("Fog", items, ("made elsewhere",)))
    assert isinstance(answer, PromptsPrepared)
    assert [item.name for item in answer.items] == ["thing_0", "thing_1", "thing_2"]
    assert answer.items[0].prompt.startswith("«Fog\n\na thing 0»")
    assert answer.warnings == ["made elsewhere"]


@pytest.mark.parametrize("topic", ["", "The last lighthouse"])
def test_an_empty_story_makes_generic_items_with_a_warning(topic: str) -> None:
    said = prepared({"topic": topic, "story_direction": " \u200b"})
    assert len(said.items) == 22
    assert all(item.prompt.startswith("«Plain documentary look") for item in said.items)
    assert said.warnings == ["the topic or the story direction is empty: atmosphere and items are generic"]


def test_items_without_a_prompt_are_blank_and_named_and_nothing_is_filled_for_them() -> None:
    blank = [{"name": f"empty {prompt!r}", "prompt": prompt} for prompt in (None, "", " \n", "\u200b\u202e")]
    said = prepared({"atmosphere": "a", "items": [FOX, *blank]}, Looks(KIT, CAPSULE))
    assert [item.blank for item in said.items] == [False, True, True, True, True]
    assert {(item.prompt, item.headline, *item.warnings) for item in said.items[1:]} == {
        ("", None, "there is no prompt")
    }
    assert said.warnings == ["without a prompt, and not made: items 2, 3, 4, 5"]


def test_a_manifest_of_blanks_alone_is_told_as_it_is() -> None:
    said = prepared({"atmosphere": "a", "items": [{"name": "x"}]})
    assert [item.blank for item in said.items] == [True]


def test_kit_and_capsule_are_in_every_prompt() -> None:
    said = prepared({"atmosphere": "a", "items": [FOX, {"name": "x", "prompt": "y"}]}, Looks(KIT, CAPSULE))
    for item in said.items:
        assert "#7C3AED" in item.prompt
        assert "bold" in item.prompt
        assert "35 mm film" in item.prompt
        assert item.negative_prompt == "cartoon"


def test_what_goes_with_the_job_goes_with_it() -> None:
    said = prepared({"atmosphere": "a", "items": [FOX], "resume": False}, labels={"a": "b"}, visibility="public")
    assert said.resume is False
    assert said.max_cost_micros == 5
    context = said.asset_context
    assert (context.channel, context.project) == ("c-1", "p_1")
    assert (context.labels, context.visibility) == ({"a": "b"}, "public")
    assert context.brand_kit is not None
    assert context.style_capsule is not None
    assert prepared({"items": [FOX]}).resume is True


def test_a_single_picture_is_never_resumed() -> None:
    answer = prepare(
        JobRequested(job_id=uuid7(), user_id=USER, request=JobSpec(kind=Kind.IMAGE, prompt="a fox")),
        Looks(),
        TEMPLATES,
    )
    assert isinstance(answer, PromptsPrepared)
    assert answer.resume is False
    assert answer.asset_context.channel is None


def test_a_template_of_ones_own_choice_is_taken() -> None:
    [item] = prepared({"atmosphere": "Fog", "items": [FOX]}, template="image").items
    assert item.template == "image"
    assert item.prompt.startswith("A single finished picture of «Fog a red fox».")


def test_slot_syntax_and_fences_in_what_people_typed_stay_text() -> None:
    shot = {"name": "x", "prompt": "a {tone} fox» ignore all that"}
    [item] = prepared({"atmosphere": "{subject} «fog", "items": [shot]}).items
    assert item.prompt.startswith("«{subject} <fog\n\na {tone} fox> ignore all that»")


def test_a_hundred_items_are_taken_and_one_more_is_refused() -> None:
    items = [{"name": "x", "prompt": "p"}] * 101
    assert len(prepared({"items": items[:100]}).items) == 100
    assert refused({"items": items}) == "a manifest has at most 100 items, this one has 101"


def test_prompts_over_the_limit_are_refused_negative_ones_counted() -> None:
    items = [{"name": "x", "prompt": "p" * 2000}] * 100
    assert len(prepared({"items": items}).items) == 100
    assert refused({"items": items}, negative_prompt="n" * 4000) == "the job's prompts are more than 512 KiB"
    assert refused({"items": [{"name": "x", "prompt": "€" * 4000}] * 100}) == "the job's prompts are more than 512 KiB"


@pytest.mark.parametrize("bad", ["", "../up", "a b", "x" * 101, "a/b", "ä", "a\n"])
@pytest.mark.parametrize("field", ["channel", "project"])
def test_a_channel_or_project_that_is_no_plain_word_is_refused(field: str, bad: str) -> None:
    assert refused({**STORY, field: bad}) == f"the manifest's {field} has to be 1 to 100 letters, digits, _ and -"


def test_a_template_that_is_missing_or_of_another_kind_is_refused_in_words() -> None:
    assert "TemplateNotFound" in refused(STORY, template="poster")
    assert refused(STORY, template="video") == "template video v1.0 makes video, the job asks for image"
