"""A manifest out of topic and story direction, without anybody's help: always 22 items, always the same (R84, R85)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_service.composing.atmosphere import atmosphere_of, sceneries_of
from prompt_service.composing.by_rules import NOTHING_TOLD, compose
from prompt_service.composing.composition import COUNTS, Composed, Composition, faults_of
from prompt_service.composing.sceneries import ANYWHERE, SCENERIES
from prompt_service.manifests import plan_of
from schemas.parts import ManifestSpec

TOPIC = "The last lighthouse of Skagen"
DIRECTION = (
    "An old lighthouse keeper named Mara watches the storm come in. Her daughter rows to the drowned village to find "
    "the brass bell. The lamp fails; the ship runs onto the reef. At dawn they stand together, weary but hopeful, on "
    "the empty beach."
)
TOPICS = [
    TOPIC,
    "Whales under the arctic ice",
    "Quantum computing for beginners",
    "Tax law in Peru",
    "The king's dragon",
    "Street food of Bangkok",
    "How volcanoes are born",
    "Chess",
]


def composed(topic: str | None = TOPIC, direction: str | None = DIRECTION) -> Composition:
    return compose(topic, direction, None)


def names(composition: Composition, group: str) -> set[str]:
    return {item.name for item in composition.items if item.group == group}


def prompt_of(composition: Composition, name: str) -> str:
    [found] = [item.prompt for item in composition.items if item.name == name]
    return found


@given(st.one_of(st.none(), st.text(max_size=300)), st.one_of(st.none(), st.text(max_size=2000)))
def test_whatever_is_typed_makes_22_items_that_keep_every_rule(topic: str | None, direction: str | None) -> None:
    composition = composed(topic, direction)
    assert faults_of(composition) == []
    assert composed(topic, direction) == composition


@pytest.mark.parametrize("topic", TOPICS)
def test_each_group_has_its_share(topic: str) -> None:
    counted = Counter(item.group for item in composed(topic).items)
    assert counted.total() == 22
    assert all(least <= counted[group] <= most for group, (least, most) in COUNTS.items())


def test_whom_what_and_where_the_story_names_is_on_the_pictures() -> None:
    composition = composed()
    assert names(composition, "characters") >= {"old lighthouse keeper", "mara", "daughter"}
    assert names(composition, "environments") >= {"drowned village", "reef", "empty beach"}
    assert names(composition, "props") >= {"brass bell", "lamp", "ship"}


def test_a_prompt_tells_its_moment_of_the_story_the_topic_and_the_mood() -> None:
    prompt = prompt_of(composed(), "brass bell")
    assert "The moment: Her daughter rows to the drowned village to find the brass bell." in prompt
    assert f"From a story about {TOPIC}." in prompt
    assert "Mood: weary, hopeful." in prompt


def test_every_moment_of_the_story_is_on_some_picture() -> None:
    prompts = " ".join(item.prompt for item in composed().items)
    for beat in ("watches the storm", "drowned village", "The lamp fails", "The ship runs", "At dawn they stand"):
        assert beat in prompts


def test_two_topics_share_few_names() -> None:
    told = "Where it began, who fought for it, and what is left today"
    sets = {topic: {item.name for item in composed(topic, told).items} for topic in TOPICS}
    shared = {(a, b): sets[a] & sets[b] for a in TOPICS for b in TOPICS if a < b}
    assert max(map(len, shared.values())) <= 11
    assert all(len({item.prompt for item in composed(topic, told).items}) == 22 for topic in TOPICS)


def test_another_direction_makes_other_pictures() -> None:
    other = composed(TOPIC, "A merchant builds a railway station beside the harbour. A thief steals his golden clock.")
    assert names(other, "characters") >= {"merchant", "thief"}
    assert "golden clock" in names(other, "props")
    assert not {item.prompt for item in other.items} & {item.prompt for item in composed().items}


def test_names_make_short_files() -> None:
    made = plan_of(ManifestSpec(channel="c", project="p", topic=TOPIC, story_direction=DIRECTION))
    assert {"old_lighthouse_keeper", "brass_bell"} <= {entry.name for entry in made.entries}
    assert max(len(entry.name) for entry in made.entries) <= 60


def test_other_scripts_keep_their_words_in_the_prompts() -> None:
    composition = composed("東京の夜", "少女が傘をなくす。雨の中で老人に会う。")
    assert all("東京の夜" in item.prompt for item in composition.items)
    assert any("少女が傘をなくす" in item.prompt for item in composition.items)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("Secrets of the old forest", ["forest"]),
        ("Life underwater", ["underwater"]),
        ("The Mountain", ["mountain"]),
        ("Caves of Mexico", ["cave"]),
        ("A night in the desert", ["night", "desert"]),
        ("The city that never sleeps", ["city"]),
        ("Into space", ["space"]),
        ("Arctic storms", ["arctic", "storm"]),
        ("Night, fire and war in the city of ruins", ["night", "fire", "war"]),
        ("Deep learning", []),
        ("", []),
    ],
)
def test_the_atmosphere_comes_from_the_words_of_the_topic(topic: str, expected: list[str]) -> None:
    found = sceneries_of(topic)
    assert [scenery.name for scenery in found] == expected
    looks = [scenery.look for scenery in found] or [ANYWHERE.look]
    assert atmosphere_of(found) == ". ".join(looks) + "."


def test_a_given_atmosphere_is_kept() -> None:
    assert compose(TOPIC, DIRECTION, "In charcoal").atmosphere == "In charcoal"


@pytest.mark.parametrize(
    ("topic", "direction"), [("", DIRECTION), (TOPIC, ""), (None, None), (" ", "\u200b"), ("Whales", "...")]
)
def test_without_topic_or_direction_all_is_generic_and_said_to_be(topic: str | None, direction: str | None) -> None:
    composition = composed(topic, direction)
    assert composition.warnings == (NOTHING_TOLD,)
    assert composition.atmosphere.startswith("Plain documentary look")
    pools = {*ANYWHERE.people, *ANYWHERE.places, *ANYWHERE.things}
    assert {item.name for item in composition.items} <= pools


def test_what_is_told_is_not_warned_of() -> None:
    assert composed().warnings == ()


def test_every_scenery_says_how_it_looks_and_is_found_by_one_of_its_words() -> None:
    assert len({scenery.name for scenery in SCENERIES}) == len(SCENERIES)
    for scenery in SCENERIES:
        assert scenery.look.startswith(scenery.look[0].upper())
        assert all(scenery in sceneries_of(word) for word in scenery.words)


def test_the_rules_see_what_breaks_them() -> None:
    good = composed()
    items = good.items
    first = items[0]

    def changed(*new: Composed, atmosphere: str = "a") -> list[str]:
        return faults_of(Composition(atmosphere, (*new, *items[len(new) :])))

    assert changed() == []
    assert changed(atmosphere="") == ["the atmosphere must have 1 to 1000 characters"]
    assert "must have 1 to 60" in changed(Composed(first.group, "", "p"))[0]
    assert changed(Composed(first.group, "?!", "p")) == ["the name of item 1 must have letters"]
    assert changed(Composed(first.group, "a", "")) == ["the prompt of item 1 must have 1 to 1000 characters"]
    assert changed(Composed(first.group, items[1].name.upper(), "p")) == [
        "the name of item 2 is taken by another one of its group"
    ]
    assert any("every group must be one of" in fault for fault in changed(Composed("animals", "a", "p")))
    assert "there are 21 items, there must be exactly 22" in faults_of(Composition("a", items[1:]))
