"""From a page that asks to a manifest: once, whatever crashes, whoever else looks, whatever the gateway says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from chassis.ids import uuid7
from chassis.testing import eventually
from notion_connector.showing import JobFacts
from notion_connector.store import jobs, pages, requests
from schemas.results import JobSettled
from tests.connector_house import House, completed, hear, house_in
from tests.notion_stub import COLUMNS

pytestmark = pytest.mark.integration


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_in(database_url, burst=1000) as house:
        yield house


async def test_a_page_that_asks_becomes_a_manifest_and_shows_it(house: House) -> None:
    page = house.notion.add(Channel="films", Project="keeper")
    await house.replica().look()
    assert house.gateway.bodies == [
        {
            "topic": "The last lighthouse keeper",
            "story_direction": "Quiet and hopeful",
            "channel": "films",
            "project": "keeper",
            "labels": {"notion_page_id": page.id},
        }
    ]
    assert page.status == "Generating Assets"
    assert page.values["Job ID"] == str(house.job_of(page))


async def test_an_empty_cell_is_not_sent(house: House) -> None:
    house.notion.add(Topic="", Story_Direction="  ")
    await house.replica().look()
    assert house.gateway.bodies[0].keys() == {"channel", "project", "labels"}


async def test_a_page_that_does_not_ask_is_left_alone(house: House) -> None:
    page = house.notion.add(Status="Draft")
    await house.replica().look()
    assert house.gateway.asked == []
    assert page.statuses == []


async def test_all_pages_of_all_data_sources_are_found(house: House) -> None:
    house.notion.page_size = 2
    other = house.notion.add_source({**COLUMNS, "Status": "select"})
    house.notion.add_source({"Name": "title", "Topic": "rich_text"})
    pages = [house.notion.add(Project=f"p{n}", source=other if n % 2 else None) for n in range(7)]
    await house.replica().look()
    assert {body["project"] for body in house.gateway.bodies} == {f"p{n}" for n in range(7)}
    assert {page.status for page in pages} == {"Generating Assets"}


async def test_looking_again_submits_nothing_again(house: House) -> None:
    house.notion.add()
    replica = house.replica()
    for _ in range(3):
        await replica.read()
        await replica.submit()
    assert len(house.gateway.asked) == 1
    await replica.write()
    await replica.look()
    assert len(house.gateway.asked) == 1


async def test_what_was_read_before_our_answer_is_no_new_request(house: House) -> None:
    """Notion answers a query with what it knew; meanwhile the page got its answer."""
    page = house.notion.add()
    replica = house.replica()
    async with house.engine.begin() as conn:
        before = await requests.clock(conn)
    await replica.look()
    async with house.engine.begin() as conn:
        assert await requests.notice(conn, [UUID(page.id)], before) == 0
        assert await requests.notice(conn, [UUID(page.id)], await requests.clock(conn)) == 1
    await replica.submit()
    assert len(house.gateway.asked) == 1
    assert page.status == "Generating Assets"


async def test_a_reader_that_began_before_the_answer_was_committed_takes_up_nothing(house: House) -> None:
    """Its statement sees the request as it is after the answer, and the page as it was before."""
    page, replica = house.notion.add(), house.replica()
    await replica.read()
    held = await replica.submitter.notebook.next_request()
    assert held is not None
    async with house.engine.begin() as conn:
        before = await requests.clock(conn)

    async def waits() -> bool:
        statement = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await house.sql(statement))

    async with house.engine.begin() as conn:
        assert await requests.end(conn, held)
        await jobs.merge(conn, [JobFacts(uuid7(), UUID(page.id), "accepted")], ours=True)
        await pages.change(conn, [UUID(page.id)])
        reading = asyncio.create_task(replica.reader.notebook.notice([UUID(page.id)], before))
        await eventually(waits)
    assert await reading == 0


async def test_who_asks_again_within_the_same_minute_gets_another_job(house: House) -> None:
    """Notion's last_edited_time is rounded to a minute."""
    page = house.notion.add()
    replica = house.replica()
    await replica.look()
    await hear(replica, completed(house.job_of(page), page))
    await replica.write()
    house.notion.set(page, "Generate Assets")
    await replica.look()
    assert len(house.gateway.jobs) == 2
    assert page.statuses == ["Generating Assets", "Assets Ready", "Generating Assets"]


async def test_two_replicas_submit_a_page_once(house: House) -> None:
    pages = [house.notion.add(Project=f"p{number}") for number in range(12)]
    one, other = house.replica(), house.replica()
    await asyncio.gather(one.read(), other.read())
    await asyncio.gather(one.submit(), other.submit())
    assert sorted(body["project"] for body in house.gateway.bodies) == sorted(f"p{n}" for n in range(12))
    assert len(house.gateway.asked) == 12
    await asyncio.gather(one.write(), other.write())
    assert {page.status for page in pages} == {"Generating Assets"}


async def test_a_lease_that_ran_out_is_taken_over_with_the_same_key_and_body(house: House) -> None:
    """Whoever lost it may have sent it, and comes back; the page was edited meanwhile."""
    page = house.notion.add()
    late, quick = house.replica(lease=0.001), house.replica()
    await late.read()
    held = await late.submitter.notebook.next_request()
    assert held is not None
    fixed = await late.submitter._fixed(held)
    assert fixed is not None
    page.values["Topic"], page.edited = "Another topic", "2026-07-01T12:05:00.000Z"
    await quick.submit()
    await late.submitter._submit(fixed)
    assert len(house.gateway.asked) == 2
    assert len(set(house.gateway.asked)) == len(house.gateway.jobs) == 1
    assert house.gateway.bodies[0]["topic"] == "The last lighthouse keeper"


async def test_a_gateway_that_is_away_is_asked_again_with_the_same_key(house: House) -> None:
    page = house.notion.add()
    house.gateway.refusals.extend([(503, "UNAVAILABLE", "later"), (429, "TOO_MANY_REQUESTS", "slowly")])
    replica = house.replica()
    await replica.read()
    for _ in range(3):
        await replica.submit()
        page.values["Topic"], page.edited = "Another topic", "2026-07-01T12:05:00.000Z"
        await house.make_due()
    await replica.write()
    assert len(house.gateway.jobs) == len(set(house.gateway.asked)) == 1
    assert len(house.gateway.asked) == 3
    assert page.status == "Generating Assets"


@pytest.mark.parametrize(
    ("status", "code"), [(422, "VALIDATION"), (401, "UNAUTHENTICATED"), (409, "IDEMPOTENCY_MISMATCH")]
)
async def test_what_the_gateway_refuses_is_in_the_error_log_in_its_words(house: House, status: int, code: str) -> None:
    page = house.notion.add(Channel="films/../etc")
    house.gateway.refusals.append((status, code, "channel has to match"))
    replica = house.replica()
    await replica.look()
    assert page.status == "Asset Error"
    assert page.values["Error Log"].startswith(f"{code}: channel has to match")
    assert ("/channel is not a name" in page.values["Error Log"]) is (status == 422)
    house.notion.set(page, "Generate Assets")
    await replica.look()
    assert page.status == "Generating Assets"
    assert page.values["Error Log"] == ""


async def test_while_another_manifest_runs_the_page_says_so_and_is_taken_up_when_that_ends(house: House) -> None:
    page = house.notion.add()
    other = house.notion.add(Status="Draft")
    running = UUID(int=7)
    house.gateway.running["films", "lighthouse"] = running
    replica = house.replica()
    await replica.look()
    assert page.status == "Generate Assets"
    assert str(running) in page.values["Error Log"]
    changes = len(house.notion.changes())
    await house.make_due()
    await replica.look()
    assert len(house.notion.changes()) == changes, "the same words are not written again and again"
    house.gateway.running.clear()
    await replica.submit()
    assert house.gateway.jobs == {}, "not before its time"
    await hear(replica, completed(running, other))
    await replica.submit()
    await replica.write()
    assert page.status == "Generating Assets"
    assert page.values["Error Log"] == ""


async def test_a_page_asked_again_while_its_own_job_runs_waits_and_shows_no_older_answer(house: House) -> None:
    page = house.notion.add()
    replica = house.replica()
    await replica.look()
    first = house.job_of(page)
    house.gateway.running["films", "lighthouse"] = first
    house.notion.set(page, "Generate Assets")
    await replica.look()
    await hear(replica, completed(first, page))
    await replica.write()
    assert page.status == "Generate Assets", "the status is the user's while the page asks"
    house.gateway.running.clear()
    await replica.submit()
    await replica.write()
    assert page.status == "Generating Assets"
    assert page.values["Job ID"] == str(house.job_of(page)) != str(first)


async def test_an_answer_that_comes_after_the_next_request_does_not_hide_it(house: House) -> None:
    page, replica = house.notion.add(), house.replica()
    await replica.look()
    house.notion.set(page, "Generate Assets")
    await replica.read()
    await hear(replica, completed(house.job_of(page), page))
    await replica.write()
    assert page.status == "Generate Assets"
    assert page.values["Assets Generated"] == 22
    await replica.submit()
    await replica.write()
    assert page.status == "Generating Assets"
    assert len(house.gateway.jobs) == 2


async def test_a_bill_that_settles_after_the_next_request_does_not_hide_it(house: House) -> None:
    """The request was not read yet, so that nobody but Notion knows of it."""
    page, replica = house.notion.add(), house.replica()
    await replica.look()
    first = house.job_of(page)
    await hear(replica, completed(first, page))
    await replica.write()
    house.notion.set(page, "Generate Assets")
    await hear(replica, JobSettled(job_id=first, cost_micros=1_564_000, currency="USD"))
    await replica.write()
    assert (page.status, page.values["Total Cost"]) == ("Generate Assets", 1.564)
    await replica.look()
    assert page.statuses == ["Generating Assets", "Assets Ready", "Generating Assets"]
    assert len(house.gateway.jobs) == 2


async def test_a_bill_that_settles_while_the_end_is_being_written_does_not_hide_the_next_request(house: House) -> None:
    page, replica = house.notion.add(), house.replica()
    await replica.look()
    first = house.job_of(page)
    await hear(replica, completed(first, page))
    work = await replica.writer.notebook.next_page()
    assert work is not None
    status = await replica.writer._write(work)
    await hear(replica, JobSettled(job_id=first, cost_micros=1_564_000, currency="USD"))
    await replica.writer.notebook.shown(work, status)
    house.notion.set(page, "Generate Assets")
    await replica.write()
    assert (page.status, page.values["Total Cost"]) == ("Generate Assets", 1.564)


async def test_who_is_refused_twice_is_told_so_twice(house: House) -> None:
    page, replica = house.notion.add(), house.replica()
    for asked in (1, 2):
        house.notion.set(page, "Generate Assets")
        house.gateway.refusals.append((422, "VALIDATION", "channel has to match"))
        await replica.look()
        assert page.statuses == ["Asset Error"] * asked


async def test_a_page_that_waits_can_be_withdrawn(house: House) -> None:
    page = house.notion.add()
    house.gateway.running["films", "lighthouse"] = UUID(int=7)
    replica = house.replica()
    await replica.look()
    house.notion.set(page, "Draft")
    house.gateway.running.clear()
    await house.make_due()
    await replica.look()
    assert house.gateway.jobs == {}
    assert page.status == "Draft"
    assert page.values["Error Log"] == ""


async def test_a_page_in_the_trash_asks_for_nothing(house: House) -> None:
    page = house.notion.add()
    replica = house.replica()
    await replica.read()
    page.in_trash = True
    await replica.submit()
    assert house.gateway.asked == []


async def test_a_page_that_cannot_be_written_is_not_submitted_again(house: House) -> None:
    """It goes on asking, for nobody could tell it that it was heard."""
    page = house.notion.add()
    house.notion.columns[page.source].pop("Error Log")
    replica = house.replica(give_up=0.001)
    await replica.read()
    await replica.submit()
    house.notion.columns[page.source]["Status"] = "formula"
    for _ in range(2):
        await house.make_due()
        await replica.write()
    house.notion.columns[page.source]["Status"] = "status"
    await replica.look()
    assert page.status == "Generate Assets"
    assert len(house.gateway.asked) == 1


@pytest.mark.parametrize("fault", ["500", "drop", "429"])
async def test_trouble_while_reading_delays_and_loses_nothing(house: House, fault: str) -> None:
    page = house.notion.add()
    replica = house.replica()
    house.notion.faults_of_reading.append(fault)
    await replica.look()
    assert bool(house.gateway.jobs) is (fault == "429"), "what is only slow is waited for in place"
    await replica.look()
    await house.make_due()
    await replica.look()
    assert page.status == "Generating Assets"


async def test_a_database_that_cannot_be_read_is_told_once_and_when_it_is_over(house: House) -> None:
    house.notion.add()
    replica, database = house.replica(), house.notion.database_id
    house.notion.database_id = str(UUID(int=3))
    with capture_logs() as logs:
        for _ in range(3):
            await replica.read()
        house.notion.database_id = database
        for _ in range(2):
            await replica.read()
    told = [line["event"] for line in logs]
    assert told == ["notion_not_read", "notion_read_again"]
    assert "object_not_found" in logs[0]["reason"]
