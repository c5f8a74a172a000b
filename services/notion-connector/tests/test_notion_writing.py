"""What Kafka says of jobs stands in their pages: the newest state, at Notion's pace, whatever Notion answers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from chassis.ids import uuid7
from chassis.metrics import REGISTRY
from notion_connector.events import page_of
from notion_connector.writing import LeaseLost
from schemas.event import Event
from schemas.results import JobSettled
from tests.connector_house import House, Replica, accepted, cancelled, completed, failed, hear, house_in, partial
from tests.notion_stub import TOKEN, Page

pytestmark = pytest.mark.integration


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_in(database_url, burst=1000) as house:
        yield house


def job_of(house: House) -> UUID:
    """A job that the gateway knows as ours."""
    job = uuid7()
    house.gateway.known.add(job)
    return job


async def test_what_came_of_a_job_stands_in_its_page(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, accepted(job, page))
    await replica.write()
    assert page.status == "Generating Assets"
    await hear(replica, partial(job, page))
    await replica.write()
    assert page.status == "Asset Error"
    assert "12 made, 0 there before, 10 failed" in page.values["Error Log"]
    assert "PROVIDER_ERROR: the provider is down" in page.values["Error Log"]
    shown = [page.values[name] for name in ("Job ID", "Total Cost", "Assets Generated", "Assets Failed")]
    assert shown == [str(job), 0.816, 12, 10]


@pytest.mark.parametrize("end", [completed, partial, failed, cancelled])
async def test_in_whatever_order_it_is_heard_the_end_is_shown(house: House, end: Callable[..., Event]) -> None:
    replica = house.replica()
    for order in itertools.permutations(range(2)):
        page, job = house.notion.add(Status="Draft"), job_of(house)
        told: list[Event] = [accepted(job, page), end(job, page)]
        for place in order:
            await hear(replica, told[place])
            await replica.write()
        await hear(replica, *told)
        await replica.write()
        assert page.status == ("Assets Ready" if end is completed else "Asset Error")
        assert page.statuses[-1] == page.status
        assert len(page.statuses) == (2 if order == (0, 1) else 1)


async def test_an_end_that_is_heard_first_stays_before_it_is_known_whose_job_it_is(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, failed(job, page))
    await hear(replica, accepted(job, page))
    await replica.write()
    assert page.statuses == ["Asset Error"]
    assert page.values["Assets Failed"] == 22


async def test_of_two_jobs_the_newer_is_shown_whichever_is_heard_last(house: House) -> None:
    page, older, newer, replica = house.notion.add(Status="Draft"), job_of(house), job_of(house), house.replica()
    await hear(replica, accepted(newer, page))
    await hear(replica, failed(older, page))
    await replica.write()
    assert page.statuses == ["Generating Assets"]
    assert page.values["Job ID"] == str(newer)


async def test_the_cost_is_final_when_the_job_is_settled(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, completed(job, page))
    await replica.write()
    assert page.values["Total Cost"] == 1.496
    settled = JobSettled(job_id=job, cost_micros=1_564_000, currency="USD")
    await hear(replica, settled, JobSettled(job_id=uuid7(), cost_micros=1, currency="USD"))
    await hear(replica, completed(job, page))
    await replica.write()
    assert page.values["Total Cost"] == 1.564


async def test_a_final_cost_that_is_heard_before_the_end_stays(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, accepted(job, page))
    await hear(replica, JobSettled(job_id=job, cost_micros=1_564_000, currency="USD"))
    await hear(replica, completed(job, page))
    await replica.write()
    assert (page.status, page.values["Total Cost"]) == ("Assets Ready", 1.564)


async def test_a_batch_is_one_transaction_and_calls_nobody(house: House) -> None:
    """Notion and the gateway are away; the handler does not notice."""
    pages = [house.notion.add(Status="Draft") for _ in range(50)]
    replica = house.replica()
    await hear(replica, *[completed(job_of(house), page) for page in pages])
    assert house.notion.seen == []
    assert len(await house.sql("SELECT 1 FROM job")) == 50
    assert len({row.xmin for row in await house.sql("SELECT xmin::text AS xmin FROM job")}) == 1


async def test_a_label_that_somebody_else_wrote_changes_nothing(house: House) -> None:
    """Another tenant knows the page's id; its job is not one that our key can read."""
    page, replica = house.notion.add(Status="Draft"), house.replica()
    await hear(replica, accepted(uuid7(), page), failed(uuid7(), page))
    await replica.write()
    assert page.statuses == []
    assert await house.sql("SELECT 1 FROM job") == []
    assert await house.sql("SELECT 1 FROM page") == []


@pytest.mark.parametrize("label", ["", "lighthouse", "../pages", "0" * 31])
async def test_a_label_that_names_no_page_is_passed_over(house: House, label: str) -> None:
    replica = house.replica()
    await hear(replica, accepted(uuid7(), label))
    assert await house.sql("SELECT 1 FROM job") == []
    assert await house.sql("SELECT 1 FROM outbox") == [], "and nothing is set aside for it"
    assert page_of({}) is None


async def test_whose_a_job_is_can_wait_until_the_gateway_is_back(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, completed(job, page))
    address, replica.gateway._client.base_url = replica.gateway._client.base_url, "http://127.0.0.1:1"
    await replica.write()
    assert page.statuses == []
    replica.gateway._client.base_url = address
    await house.make_due()
    await replica.write()
    assert page.status == "Assets Ready"


async def test_a_page_that_is_not_there_is_told_once_and_given_up(house: House) -> None:
    nowhere, replica = str(uuid4()), house.replica(give_up=0.2)
    job = job_of(house)
    before = REGISTRY.get_sample_value("backlot_notion_given_up_total", {"code": "object_not_found"}) or 0
    with capture_logs() as logs:
        await hear(replica, completed(job, nowhere))
        await replica.write()
        deadline = time.monotonic() + 10
        while not (await house.sql("SELECT given_up FROM page"))[0].given_up:
            assert time.monotonic() < deadline
            await house.make_due()
            await replica.write()
    told = [line["event"] for line in logs]
    assert told.count("notion_refuses_page") == told.count("page_given_up") == 1
    assert TOKEN not in str(logs)
    after = REGISTRY.get_sample_value("backlot_notion_given_up_total", {"code": "object_not_found"}) or 0
    assert after == before + 1
    asked = len(house.notion.seen)
    await house.make_due()
    await replica.write()
    assert len(house.notion.seen) == asked


async def test_what_a_given_up_page_should_show_next_is_tried_anew(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica(give_up=0.000001)
    kept = house.notion.pages.pop(page.id)
    await hear(replica, accepted(job, page))
    for _ in range(2):
        await replica.write()
        await house.make_due()
    house.notion.pages[page.id] = kept
    await replica.write()
    assert page.statuses == []
    await hear(replica, completed(job, page))
    await replica.write()
    assert page.statuses == ["Assets Ready"]


@pytest.mark.parametrize("fault", ["409", "500", "502", "503", "504", "drop", "drop_after", "hang"])
async def test_trouble_is_tried_again_until_the_page_shows_it(house: House, fault: str) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica(timeout=0.3)
    house.notion.faults.extend([fault, fault])
    await hear(replica, completed(job, page))
    for _ in range(3):
        await house.make_due()
        await replica.write()
    assert page.status == "Assets Ready"
    assert len(house.notion.changes()) + (2 if fault == "hang" else 0) >= 3


async def test_an_older_write_that_arrives_late_is_found_and_put_right(house: House) -> None:
    """Nobody answered it, it was given up, and Notion works it off after the newer one."""
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica(timeout=0.3, doubt=0.5)
    house.notion.faults.append("late")
    await hear(replica, accepted(job, page))
    await replica.write()
    await hear(replica, completed(job, page))
    await house.make_due()
    await replica.write()
    assert page.status == "Assets Ready"
    house.notion.released.set()
    await until(lambda: page.status == "Generating Assets")
    await until_written(house, replica, lambda: page.status == "Assets Ready")
    assert page.statuses == ["Assets Ready", "Generating Assets", "Assets Ready"]


async def test_a_status_that_a_user_set_meanwhile_is_not_put_right(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica(timeout=0.3, doubt=0.2)
    house.notion.faults.append("drop_after")
    await hear(replica, completed(job, page))
    await replica.write()
    await house.make_due()
    await replica.write()
    house.notion.set(page, "Generate Assets")
    await until_written(house, replica, lambda: any(method == "GET" for _, method, _, _ in house.notion.seen[2:]))
    assert page.status == "Generate Assets"


async def test_a_long_error_fits_notions_limit(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, failed(job, page, message="🎬" * 5000))
    await replica.write()
    assert page.status == "Asset Error"
    assert len(page.values["Error Log"].encode("utf-16-le")) // 2 <= 2000


async def test_columns_that_the_database_does_not_have_are_left_out(house: House) -> None:
    source = house.notion.add_source({"Name": "title", "Status": "select"})
    page, job, replica = house.notion.add(source=source, Status="Draft"), job_of(house), house.replica()
    await hear(replica, failed(job, page))
    await replica.write()
    assert page.values == {"Name": "A film", "Status": "Asset Error"}


async def test_a_column_that_was_renamed_is_found_out(house: House) -> None:
    page, job, replica = house.notion.add(Status="Draft"), job_of(house), house.replica()
    await hear(replica, accepted(job, page))
    await replica.write()
    del house.notion.columns[page.source]["Error Log"]
    await hear(replica, completed(job, page))
    for _ in range(2):
        await replica.write()
        await house.make_due()
    assert page.status == "Assets Ready"


async def test_who_lost_its_lease_writes_nothing(house: House) -> None:
    """It was held up; another replica has written something newer meanwhile."""
    page, job = house.notion.add(Status="Draft"), job_of(house)
    late, quick = house.replica(lease=0.001), house.replica()
    await hear(late, accepted(job, page))
    await late.recogniser.step()
    held = await late.writer.notebook.next_page()
    assert held is not None
    await hear(quick, completed(job, page))
    await quick.write()
    with pytest.raises(LeaseLost):
        await late.writer._write(held)
    assert page.statuses == ["Assets Ready"]


async def test_what_a_killed_writer_may_have_written_is_not_taken_for_what_the_page_shows(house: House) -> None:
    """It had sent that the newer job is made, and not noted that it had."""
    page, older, newer = house.notion.add(Status="Draft"), job_of(house), job_of(house)
    killed, replica = house.replica(lease=0.001), house.replica()
    await hear(replica, completed(older, page))
    await replica.write()
    await hear(replica, accepted(newer, page))
    await replica.recogniser.step()
    held = await killed.writer.notebook.next_page()
    assert held is not None
    await killed.writer._write(held)
    await hear(replica, completed(newer, page))
    await replica.write()
    assert page.statuses == ["Assets Ready", "Generating Assets", "Assets Ready"]


async def test_two_replicas_keep_one_pace_and_write_each_page_once(database_url: str) -> None:
    async with house_in(database_url, burst=3, per_second=3.0) as house:
        pages = [house.notion.add(Status="Draft") for _ in range(9)]
        one, other = (house.replica(per_second=3.0) for _ in range(2))
        await hear(one, *[completed(job_of(house), page) for page in pages])
        began = time.monotonic()
        await asyncio.gather(one.write(), other.write())
        took = time.monotonic() - began
        assert {page.status for page in pages} == {"Assets Ready"}
        assert all(page.statuses == ["Assets Ready"] for page in pages)
        assert {status for *_, status in house.notion.seen} == {200}
        asked = [at for at, *_ in house.notion.seen]
        assert took >= (len(asked) - 1) / 3.0 * 0.95
        for first, last in zip(asked, asked[5:], strict=False):
            assert last - first >= 5 / 3.0 - 0.25, "never more than three a second on the average"


async def test_a_429_stops_all_replicas_for_as_long_as_it_says(database_url: str) -> None:
    async with house_in(database_url, burst=1000) as house:
        pages = [house.notion.add(Status="Draft") for _ in range(6)]
        replicas = [house.replica() for _ in range(3)]
        await hear(replicas[0], *[completed(job_of(house), page) for page in pages])
        house.notion.faults.append("429")
        storm = asyncio.gather(*(written(house, replica, pages) for replica in replicas))
        await asyncio.wait_for(storm, 30)
        changes = house.notion.changes()
        limited = next(at for at, status in changes if status == 429)
        after = [at for at, *_ in house.notion.seen if at > limited + 0.1]
        assert min(after) - limited >= 1.9
        assert {page.status for page in pages} == {"Assets Ready"}


async def test_a_storm_of_429_ends_with_every_page_right(database_url: str) -> None:
    """Notion takes less than it says, and twenty pages change at once."""
    async with house_in(database_url, burst=1, per_second=2.0) as house:
        pages = [house.notion.add(Status="Draft") for _ in range(6)]
        replicas = [house.replica(per_second=3.0) for _ in range(2)]
        await hear(replicas[0], *[completed(job_of(house), page) for page in pages])
        await asyncio.wait_for(asyncio.gather(*(written(house, replica, pages) for replica in replicas)), 90)
        assert 429 in {status for *_, status in house.notion.seen}
        assert all(page.statuses == ["Assets Ready"] for page in pages)


async def written(house: House, replica: Replica, pages: list[Page]) -> None:
    """The loops of one replica, until all pages are right."""
    while any(page.status != "Assets Ready" for page in pages):
        await replica.write()
        await asyncio.sleep(0.02)


async def until(look: Callable[[], bool], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until_written(house: House, replica: Replica, look: Callable[[], bool]) -> None:
    """Runs the replica's loops until `look` is true."""
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        await replica.write()
        await asyncio.sleep(0.05)
