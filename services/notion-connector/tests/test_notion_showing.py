"""What a page shows, and how it is put into Notion's words: plain functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.ids import uuid7
from notion_connector.columns import TEXT_LIMIT, Value, cut, text_of, written
from notion_connector.showing import JobFacts, Note, State, shown
from tests.connector_house import COLUMNS, STATUSES

JOB, PAGE = uuid7(), uuid7()


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("accepted", "Generating Assets"),
        ("completed", "Assets Ready"),
        ("partial", "Asset Error"),
        ("failed", "Asset Error"),
        ("cancelled", "Asset Error"),
    ],
)
def test_a_status_follows_from_the_job(state: State, status: str) -> None:
    assert shown(COLUMNS, STATUSES, JobFacts(JOB, PAGE, state), None, asking=False)["Status"] == status


def test_a_page_that_ended_well_shows_no_error_and_all_figures() -> None:
    job = JobFacts(JOB, PAGE, "completed", generated=20, skipped=2, failed=0, cost_micros=1_360_000)
    assert shown(COLUMNS, STATUSES, job, None, asking=False) == {
        "Status": "Assets Ready",
        "Error Log": "",
        "Job ID": str(JOB),
        "Total Cost": 1.36,
        "Assets Generated": 20,
        "Assets Skipped": 2,
        "Assets Failed": 0,
    }


def test_an_error_log_has_code_message_and_counts() -> None:
    job = JobFacts(JOB, PAGE, "partial", 12, 3, 7, "PROVIDER_ERROR", "it is down")
    said = shown(COLUMNS, STATUSES, job, None, asking=False)["Error Log"]
    assert said == "Some pictures are missing (12 made, 3 there before, 7 failed). PROVIDER_ERROR: it is down"


def test_while_a_page_asks_its_status_is_the_users() -> None:
    job = JobFacts(JOB, PAGE, "completed", 22)
    assert "Status" not in shown(COLUMNS, STATUSES, job, None, asking=True)


def test_a_note_that_is_no_error_leaves_the_status_alone() -> None:
    assert shown(COLUMNS, STATUSES, None, Note("one runs"), asking=False) == {"Error Log": "one runs"}


def test_only_columns_that_are_there_and_can_hold_it_are_written() -> None:
    types = {"Status": "select", "Error Log": "rich_text", "Total Cost": "formula", "Assets Failed": "number"}
    values: dict[str, Value] = {
        "Status": "Assets Ready",
        "Error Log": "",
        "Total Cost": 1.5,
        "Assets Failed": None,
        "Job ID": "x",
    }
    assert written(types, values) == {
        "Status": {"select": {"name": "Assets Ready"}},
        "Error Log": {"rich_text": []},
        "Assets Failed": {"number": None},
    }


@pytest.mark.parametrize(
    ("about", "text"),
    [
        ({"type": "title", "title": [{"plain_text": "The last "}, {"plain_text": "keeper"}]}, "The last keeper"),
        ({"type": "rich_text", "rich_text": []}, ""),
        ({"type": "select", "select": {"name": "films"}}, "films"),
        ({"type": "select", "select": None}, ""),
        ({"type": "status", "status": {"name": "Draft"}}, "Draft"),
        ({"type": "formula", "formula": {"type": "string", "string": "a-b"}}, "a-b"),
        ({"type": "number", "number": 3}, ""),
    ],
)
def test_a_column_is_read_as_text_whatever_its_type(about: dict[str, object], text: str) -> None:
    assert text_of({"properties": {"X": about}}, "X") == text


def test_a_column_that_is_not_there_is_empty() -> None:
    assert text_of({"properties": {}}, "Topic") == ""


@given(st.text(st.characters(codec="utf-8"), max_size=4200))
def test_a_text_never_passes_notions_limit_and_is_never_cut_through_a_character(text: str) -> None:
    kept = cut(text)
    assert len(kept.encode("utf-16-le")) // 2 <= TEXT_LIMIT
    assert kept == text or (kept.endswith("…") and text.startswith(kept[:-1]) and len(kept) > TEXT_LIMIT // 2 - 2)


def test_a_text_of_characters_beyond_the_first_plane_is_cut_by_notions_count() -> None:
    assert cut("🎬" * 1000) == "🎬" * 1000
    assert cut("🎬" * 1001) == "🎬" * 999 + "…"
