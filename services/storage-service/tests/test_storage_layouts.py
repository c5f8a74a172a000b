from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_service.layouts import (
    LONGEST_NAME,
    LONGEST_PATH_BYTES,
    Placement,
    is_overlong,
    logical_path,
    numbered,
    safe_name,
)

TENANT = UUID(int=7)
JOB = UUID(int=8)
PLACE = Placement(TENANT, JOB, None, "thumbnail", "Epic Stream!", "image/png", "primary", 1)

names = st.text(max_size=400)
pathlike = st.lists(
    st.sampled_from(["..", ".", "", "/", "a b", "C:\\x", "\0", "~", "名前", "x" * 300, "%2e"]), max_size=20
)


def test_a_bare_name_gets_the_default_layout() -> None:
    assert logical_path(PLACE) == f"{TENANT}/{JOB}/thumbnail/Epic_Stream.png"


def test_a_run_takes_the_place_of_the_job() -> None:
    assert logical_path(replace(PLACE, run="spring campaign")) == f"{TENANT}/spring_campaign/thumbnail/Epic_Stream.png"


def test_a_name_with_folders_keeps_them_below_the_tenant() -> None:
    placed = logical_path(replace(PLACE, name="channels/myth/projects/p1/assets/props/old lamp.png"))
    assert placed == f"{TENANT}/channels/myth/projects/p1/assets/props/old_lamp.png"


def test_a_path_that_a_client_chose_is_kept_without_a_folder_of_the_job() -> None:
    assert logical_path(replace(PLACE, name="hero.png", chosen=True)) == f"{TENANT}/hero.png"


def test_a_tenant_that_was_named_already_is_not_named_twice() -> None:
    assert logical_path(replace(PLACE, name=f"{TENANT}/run1/banner/b.png")) == f"{TENANT}/run1/banner/b.png"


def test_another_tenant_in_a_name_is_only_a_folder() -> None:
    other = UUID(int=9)
    assert logical_path(replace(PLACE, name=f"{other}/run1/b.png")) == f"{TENANT}/{other}/run1/b.png"


@pytest.mark.parametrize(
    ("name", "mime", "expected"),
    [
        ("cover.png", "image/webp", "cover.webp"),
        ("cover.JPEG", "image/jpeg", "cover.jpg"),
        ("v1.2 final", "image/png", "v1.2_final.png"),
        ("ship", "model/gltf-binary", "ship.glb"),
        ("page.html", "text/html", "page.html.bin"),
    ],
)
def test_the_extension_says_what_the_bytes_are(name: str, mime: str, expected: str) -> None:
    assert logical_path(replace(PLACE, name=name, mime=mime)).endswith(f"/{expected}")


@pytest.mark.parametrize(
    ("role", "output", "late", "expected"),
    [
        ("thumbnail", 2, None, "Epic_Stream_thumbnail.png"),
        ("variant", 2, None, "Epic_Stream_variant_2.png"),
        ("texture_map", 3, None, "Epic_Stream_texture_map_3.png"),
        ("primary", 1, 4, "Epic_Stream_late_4.png"),
    ],
)
def test_what_is_not_the_primary_output_never_takes_its_name(
    role: str, output: int, late: int | None, expected: str
) -> None:
    placed = logical_path(replace(PLACE, role=role, output=output, late_attempt=late))
    assert placed.endswith(f"/{expected}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hero_1-final.v2.png", "hero_1-final.v2.png"),
        ("a" * LONGEST_NAME, "a" * LONGEST_NAME),
        ("hero.", "hero"),
        (".hero", "hero"),
        ("hero\n", "hero"),
    ],
)
def test_only_what_is_wrong_with_a_name_is_changed(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_a_plain_name_is_cut_where_it_is_too_long() -> None:
    assert len(safe_name("a" * (LONGEST_NAME + 1))) < LONGEST_NAME


@given(names)
def test_a_safe_name_is_one_harmless_segment(text: str) -> None:
    name = safe_name(text)
    assert 1 <= len(name) <= 255
    assert name not in {".", ".."}
    assert not any(character in name for character in "/\\ \x00\n\"';&|$<>*?:%~\u202e")


@given(names)
def test_making_a_name_safe_twice_changes_nothing(text: str) -> None:
    assert safe_name(safe_name(text)) == safe_name(text)


@given(st.text("ab", min_size=256, max_size=300), st.text("ab", min_size=256, max_size=300))
def test_long_names_are_cut_to_200_and_stay_different(one: str, other: str) -> None:
    assert safe_name(one + ".png")[:200] == one[:200]
    assert safe_name(one + ".png").endswith(".png")
    assert (safe_name(one) == safe_name(other)) == (one == other)
    assert is_overlong(f"{JOB}/{one}")


@given(st.one_of(names, pathlike.map("/".join)), st.sampled_from(["image/png", "audio/mpeg", "x/y"]), st.booleans())
def test_every_path_stays_below_its_tenant_whatever_the_name(name: str, mime: str, chosen: bool) -> None:
    path = logical_path(replace(PLACE, name=name, mime=mime, chosen=chosen))
    assert path.startswith(f"{TENANT}/")
    assert len(path.encode()) <= LONGEST_PATH_BYTES
    assert all(segment.strip(".") == segment and segment for segment in path.split("/"))


@given(names, st.integers(2, 99), st.integers(2, 99))
def test_a_taken_name_gets_a_number_and_keeps_its_extension(name: str, one: int, other: int) -> None:
    path = logical_path(replace(PLACE, name=name))
    assert numbered(path, one).endswith(".png")
    assert numbered(path, one) != path
    assert (numbered(path, one) == numbered(path, other)) == (one == other)
    assert len(numbered(path, one).encode()) <= LONGEST_PATH_BYTES


def test_a_number_stands_before_the_extension() -> None:
    assert numbered("t/r/banner/wide.png", 2) == "t/r/banner/wide_2.png"
