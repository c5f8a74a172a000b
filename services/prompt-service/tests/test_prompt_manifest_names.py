"""Names of a manifest's files: safe, distinct and always the same (R95, R96, R149, R150)."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_service.manifests import Plan, plan_of
from prompt_service.naming import safe_name
from schemas.parts import ManifestItem, ManifestSpec

AWKWARD = st.sampled_from(
    ["", " ", "../../etc/passwd", "a\x00b", "$(reboot)", "`id`;rm -rf /", "con", "NUL", "a", "A", "a_2", "a 2", ".",
     "..", "-rf", "東京", "Ärger", "é", "e\u0301", "🔥", "\u202eevil", "x" * 255, "x" * 256, "ß" * 200,
     "hero.png", "hero"]
)  # fmt: skip
NAMES = st.lists(st.one_of(AWKWARD, st.text(max_size=300)), min_size=1, max_size=100)
GROUPS = st.one_of(st.none(), AWKWARD, st.sampled_from(["characters", "Characters", "environments", "props", "sets"]))


def planned(*names: str, groups: list[str | None] | None = None) -> Plan:
    in_groups = groups or ["props"] * len(names)
    items = [ManifestItem(name=name, group=group, prompt="p") for name, group in zip(names, in_groups, strict=True)]
    return plan_of(ManifestSpec(channel="c", project="p", atmosphere="a", items=items))


def names_of(plan: Plan) -> list[str]:
    return [entry.name for entry in plan.entries]


@given(st.data(), NAMES)
def test_whatever_people_type_the_paths_are_plain_distinct_short_and_the_same_each_time(
    data: st.DataObject, names: list[str]
) -> None:
    groups = data.draw(st.lists(GROUPS, min_size=len(names), max_size=len(names)))
    plan = planned(*names, groups=groups)
    places = [(entry.group, entry.name) for entry in plan.entries]
    for segment in (part for place in places for part in place):
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", segment)
        assert len(f"{segment}.webp") <= 255
        assert not re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", segment)
    assert len({(group.casefold(), name.casefold()) for group, name in places}) == len(names)
    assert planned(*names, groups=groups) == plan


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,40}", fullmatch=True), min_size=1, max_size=50, unique=True))
def test_names_that_are_fine_stay_as_they_are(names: list[str]) -> None:
    expected = [f"_{name}" if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", name) else name for name in names]
    assert names_of(planned(*names)) == expected


@given(st.text(max_size=300))
def test_a_safe_name_is_safe_already(text: str) -> None:
    once = safe_name(text).text
    assert safe_name(once).text == once


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Old  lighthouse keeper", "Old_lighthouse_keeper"),
        (" Ärger & Größe! ", "Arger_Grosse"),
        ("Łódź: café", "Lodz_cafe"),
        ("../../etc/passwd", "etcpasswd"),
        ("a\x00b", "ab"),
        ("$(reboot) `id`; rm -rf / | x > y", "reboot_id_rm_-rf_x_y"),
        ("--force", "force"),
        ("hero.PNG", "hero"),
        ("v1.2", "v12"),
        ("con", "_con"),
        ("①", "1"),
    ],
)
def test_spaces_become_underscores_and_specials_go(typed: str, name: str) -> None:
    assert safe_name(typed).text == name


@pytest.mark.parametrize("typed", ["", "  ", "...", "/", "🔥🔥", "\u200b", "東京", "***"])
def test_a_name_of_which_nothing_is_left_gets_one_of_its_own(typed: str) -> None:
    assert re.fullmatch(r"unnamed_[0-9a-f]{16}", safe_name(typed).text)


def test_letters_that_cannot_be_spelled_still_tell_names_apart_whatever_their_order() -> None:
    tokyo, osaka = (safe_name(f"station {city}").text for city in ("東京", "大阪"))
    assert tokyo != osaka
    assert tokyo.startswith("station_")
    assert names_of(planned("station 大阪", "station 東京")) == [osaka, tokyo]


def test_a_name_of_more_than_255_characters_is_cut_to_200_and_a_hash_with_a_warning() -> None:
    plan = planned("fine", "x" * 256, "x" * 257)
    names = names_of(plan)
    assert [len(name) for name in names[1:]] == [217, 217]
    assert names[1][:201] == names[2][:201] == "x" * 200 + "_"
    assert names[1] != names[2]
    assert plan.warnings == ("names of more than 255 characters were cut: items 2, 3",)


@pytest.mark.parametrize("length", range(240, 257))
def test_a_hundred_long_names_and_their_endings_are_never_longer_than_a_file_system_takes(length: int) -> None:
    names = names_of(planned(*["x" * length] * 100))
    assert len(set(names)) == 100
    assert max(len(f"{name}.webp") for name in names) <= 255


def test_equal_names_are_numbered_and_a_name_somebody_chose_is_not_taken() -> None:
    assert names_of(planned("hero", "Hero", "hero!", "hero_2")) == ["hero_3", "Hero", "hero_4", "hero_2"]


@given(st.lists(st.text("aAbB_2", min_size=1, max_size=4), min_size=1, max_size=8, unique=True), st.randoms())
def test_in_another_order_names_are_called_the_same(names: list[str], random: Random) -> None:
    distinct = list({safe_name(name).text: name for name in names}.values())
    shuffled = random.sample(distinct, len(distinct))
    called = dict(zip(distinct, names_of(planned(*distinct)), strict=True))
    assert dict(zip(shuffled, names_of(planned(*shuffled)), strict=True)) == called


def test_equal_names_in_different_groups_are_left_alone() -> None:
    plan = planned("hero", "hero", groups=["characters", "props"])
    assert names_of(plan) == ["hero", "hero"]


def test_an_item_without_a_group_is_a_prop() -> None:
    assert [entry.group for entry in planned("a", "b", groups=[None, " "]).entries] == ["props", "props"]


def test_groups_keep_apart_unless_capitals_alone_are_different() -> None:
    groups: list[str | None] = ["Characters", "My Sets", "my sets", "my_sets", "pro/ps", "props", "../.."]
    found = [entry.group for entry in planned(*"abcdefg", groups=groups).entries]
    assert found[:6] == ["characters", "My_Sets", "My_Sets", "my_sets_2", "props_2", "props"]
    assert found[6].startswith("unnamed_")
