"""Our stub speaks Notion's wire: a client that others wrote understands it; and ours says what it was answered."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from notion_client import APIErrorCode, APIResponseError, AsyncClient
from notion_client.client import RetryOptions
from notion_client.errors import HTTPResponseError
from notion_client.helpers import async_collect_paginated_api
from pydantic import SecretStr

from notion_connector.notion import Away, Notion, Refused, Throttled, policy_for
from tests.notion_stub import TOKEN, NotionStub, notion_stub

ASKS = {"property": "Status", "status": {"equals": "Generate Assets"}}


@pytest.fixture
async def stub() -> AsyncIterator[NotionStub]:
    async with notion_stub(burst=100) as stub:
        yield stub


@pytest.fixture
async def sdk(stub: NotionStub) -> AsyncIterator[AsyncClient]:
    """The client of notion-client, without its retries."""
    async with AsyncClient(auth=TOKEN, base_url=stub.url, retry=False) as client:
        yield client


@pytest.fixture
async def ours(stub: NotionStub) -> AsyncIterator[Notion]:
    client = Notion(stub.url, SecretStr(TOKEN), timeout=0.3)
    yield client
    await client.stop()


async def test_a_client_of_others_finds_its_way_from_a_database_to_its_pages(
    stub: NotionStub, sdk: AsyncClient
) -> None:
    stub.page_size = 2
    pages = [stub.add(Topic=f"film {number}") for number in range(5)]
    stub.add(Status="Draft")
    database = await sdk.databases.retrieve(stub.database_id)
    source = database["data_sources"][0]["id"]
    assert (await sdk.data_sources.retrieve(source))["properties"]["Status"]["type"] == "status"
    found = await async_collect_paginated_api(sdk.data_sources.query, data_source_id=source, filter=ASKS)
    assert [page["id"] for page in found] == [page.id for page in pages]


async def test_a_client_of_others_writes_and_reads_a_page(stub: NotionStub, sdk: AsyncClient) -> None:
    page = stub.add()
    properties = {
        "Status": {"status": {"name": "Assets Ready"}},
        "Error Log": {"rich_text": [{"text": {"content": "all is well"}}]},
        "Total Cost": {"number": 1.496},
    }
    await sdk.pages.update(page.id, properties=properties)
    read = (await sdk.pages.retrieve(page.id))["properties"]
    assert read["Status"]["status"]["name"] == "Assets Ready"
    assert "".join(part["plain_text"] for part in read["Error Log"]["rich_text"]) == "all is well"
    assert read["Total Cost"]["number"] == 1.496


async def test_a_client_of_others_understands_every_error(stub: NotionStub, sdk: AsyncClient) -> None:
    page = stub.add()

    async def code(**properties: object) -> APIErrorCode:
        with pytest.raises((APIResponseError, HTTPResponseError)) as caught:
            await sdk.pages.update(page.id, properties=properties)
        return APIErrorCode(caught.value.code)

    too_long = {"rich_text": [{"text": {"content": "x" * 2001}}]}
    assert await code(**{"Error Log": too_long}) == APIErrorCode.ValidationError
    assert await code(Status={"status": {"name": "No such"}}) == APIErrorCode.ValidationError
    stub.faults.extend(["409", "429", "503"])
    assert await code() == APIErrorCode.ConflictError
    assert await code() == APIErrorCode.RateLimited
    assert await code() == APIErrorCode.ServiceUnavailable
    for client, wrong in [
        (AsyncClient(auth="nobody", base_url=stub.url, retry=False), APIErrorCode.Unauthorized),
        (sdk, APIErrorCode.ObjectNotFound),
    ]:
        with pytest.raises(APIResponseError) as caught:
            await client.pages.retrieve(str(uuid4()))
        assert caught.value.code == wrong


async def test_a_client_of_others_waits_as_long_as_it_is_told() -> None:
    async with notion_stub(burst=1, per_second=1) as stub:
        page, began = stub.add(), time.monotonic()
        async with AsyncClient(auth=TOKEN, base_url=stub.url, retry=RetryOptions(max_retries=2)) as client:
            await client.pages.retrieve(page.id)
            await client.pages.retrieve(page.id)
        assert [status for *_, status in stub.seen] == [200, 429, 200]
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize("fault", ["409", "500", "502", "503", "504", "drop", "hang"])
async def test_what_passes_is_told_from_what_does_not(stub: NotionStub, ours: Notion, fault: str) -> None:
    page = stub.add()
    stub.faults.append(fault)
    with pytest.raises(Away) as caught:
        await ours.update(UUID(page.id), {})
    assert caught.value.doubtful is (fault != "409")


async def test_how_long_to_wait_is_what_notion_says(stub: NotionStub, ours: Notion) -> None:
    page = stub.add()
    stub.faults.append("429")
    with pytest.raises(Throttled) as caught:
        await ours.update(UUID(page.id), {})
    assert caught.value.seconds == 2


async def test_a_refusal_is_told_in_notions_words_and_never_with_the_token(stub: NotionStub, ours: Notion) -> None:
    with pytest.raises(Refused, match=r"object_not_found: Could not find pages") as caught:
        await ours.page(uuid4())
    assert TOKEN not in str(caught.value)
    intruder = Notion(stub.url, SecretStr("ntn_wrong"))
    with pytest.raises(Refused) as caught:
        await intruder.page(uuid4())
    await intruder.stop()
    assert caught.value.code == "unauthorized"
    assert "ntn_wrong" not in repr(caught.value)


async def test_nobody_at_the_address_is_away(stub: NotionStub) -> None:
    nobody = Notion("http://127.0.0.1:1", SecretStr(TOKEN))
    with pytest.raises(Away) as caught:
        await nobody.page(uuid4())
    await nobody.stop()
    assert not caught.value.doubtful


def test_the_token_goes_to_notions_own_host_alone() -> None:
    policy = policy_for("https://api.notion.com")
    assert policy.hosts == ("api.notion.com",)
    assert not policy.trusted
