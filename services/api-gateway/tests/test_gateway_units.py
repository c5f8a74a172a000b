"""The small parts: keys, money, requests, pages, those who wait."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_gateway.keys import (
    KnownKeys,
    Principal,
    StoredKey,
    digest_of,
    grant,
    looks_like_key,
    matching,
    new_key,
    prefix_of,
)
from api_gateway.money import decimal, micros
from api_gateway.paging import cursor_of, page_of
from api_gateway.requests import GenerateRequest, JobRequest, translate
from api_gateway.settings import Settings
from api_gateway.watching import Watch
from chassis.errors import StartError
from chassis.ids import uuid7
from chassis.settings import read
from schemas.parts import ASSET_SIZES, AssetType

WHO = Principal(uuid7(), uuid7(), frozenset({"jobs:read"}))
SOMEONE_ELSE = Principal(uuid7(), uuid7(), frozenset({"admin"}))


def test_a_key_has_256_random_bits_and_is_found_by_its_prefix() -> None:
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(looks_like_key(key) and len(key) == 46 for key in keys)
    assert len({prefix_of(key) for key in keys}) == 100


def test_only_the_very_key_matches() -> None:
    key = new_key()
    stored = [StoredKey(digest_of(new_key()), SOMEONE_ELSE), StoredKey(digest_of(key), WHO)]

    assert matching(digest_of(key), stored) is WHO
    assert matching(digest_of(key + "x"), stored) is None


def test_a_verified_key_is_remembered_for_its_lifetime_only() -> None:
    now = 0.0
    known = KnownKeys(lifetime=5, clock=lambda: now)
    known.put(b"mine", WHO)
    known.put(b"nobody's", None)

    assert (known.get(b"mine"), known.get(b"nobody's"), known.get(b"other")) == ((WHO,), (None,), None)
    now = 5.0
    assert (known.get(b"mine"), known.get(b"nobody's")) == (None, None)


def test_guessing_keys_does_not_fill_the_memory() -> None:
    known = KnownKeys(lifetime=5, limit=10)
    for number in range(1000):
        known.put(number.to_bytes(4, "big"), None)

    assert len(known._entries) <= 10


def test_admin_may_everything_and_reads_all_of_the_tenant() -> None:
    assert SOMEONE_ELSE.may("billing:write")
    assert SOMEONE_ELSE.reader is None
    assert not WHO.may("jobs:write")
    assert WHO.reader == WHO.user_id


def test_a_grant_is_never_more_than_the_granter_has() -> None:
    reader = Principal(uuid7(), uuid7(), frozenset({"jobs:read", "assets:read"}))

    assert grant(reader, None, ["jobs:read"]) == Principal(reader.tenant_id, reader.user_id, frozenset({"jobs:read"}))
    with pytest.raises(PermissionError, match="jobs:write"):
        grant(reader, None, ["jobs:read", "jobs:write"])
    with pytest.raises(PermissionError, match="admin"):
        grant(reader, uuid7(), ["jobs:read"])
    with pytest.raises(ValueError, match="everything"):
        grant(SOMEONE_ELSE, None, ["everything"])


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_money_survives_the_way_in_and_out(amount: Decimal) -> None:
    assert Decimal(decimal(micros(amount))) == amount


def test_money_is_shown_with_two_to_six_decimals() -> None:
    assert [decimal(amount) for amount in (0, 40_000, 39_000, 1, 1_496_000, -500_000)] == [
        "0.00",
        "0.04",
        "0.039",
        "0.000001",
        "1.496",
        "-0.50",
    ]
    with pytest.raises(ValueError, match="six decimals"):
        micros(Decimal("0.0000001"))


@pytest.mark.parametrize("asset_type", AssetType)
def test_the_short_form_is_translated_like_the_long_one(asset_type: AssetType) -> None:
    kit, user = uuid7(), uuid7()
    short = translate(GenerateRequest(asset_type=asset_type, brand_kit_id=kit, custom_prompt="x").job())
    width, height = ASSET_SIZES[asset_type]
    long = translate(
        JobRequest(kind="image", asset_type=asset_type, brand_kit_id=kit, prompt="x", width=width, height=height)
    )

    assert (short.spec.width, short.spec.height) == (width, height)
    assert short.digest(user) == long.digest(user)
    assert short.digest(user) != short.digest(uuid7())


def test_a_digest_sees_every_difference_and_no_order() -> None:
    user = uuid7()

    def digest(**fields: object) -> bytes:
        return translate(JobRequest.model_validate({"kind": "image", "prompt": "a fox"} | fields)).digest(user)

    assert digest(labels={"a": "1", "b": "2"}) == digest(labels={"b": "2", "a": "1"})
    others = [
        digest(),
        digest(prompt="a dog"),
        digest(count=2),
        digest(seed=1),
        digest(max_cost="0.50"),
        digest(deadline_seconds=5),
        digest(brand_kit_id=UUID(int=1)),
        digest(style_capsule_id=UUID(int=1)),
        digest(visibility="public"),
        digest(labels={"a": "1"}),
        digest(route={"providers": ["sandbox"]}),
        digest(kind="video"),
        digest(kind="video", duration_seconds=5),
        digest(kind="video", loop=True),
        digest(kind="sfx", effect="win"),
        digest(kind="music", genre="jazz"),
        digest(kind="music", instrumental=False),
        digest(kind="model_3d"),
        digest(kind="model_3d", max_triangles=100),
        digest(kind="texture"),
        digest(kind="texture", tileable=False),
    ]
    assert len(set(others)) == len(others)
    assert digest(kind="video") == digest(kind="video", duration_seconds=8, format="mp4", genre=None)


@pytest.mark.parametrize(("sent", "kept"), [(5, "5"), (0.5, "0.5"), (True, "yes"), (False, "no"), ("5", "5")])
def test_a_variable_may_be_sent_as_what_it_is(sent: object, kept: str) -> None:
    asked = {"kind": "image", "prompt": "a fox", "template": "poster", "variables": {"a": sent}}
    assert translate(JobRequest.model_validate(asked)).spec.variables == {"a": kept}


def test_a_field_that_comes_to_the_schema_later_changes_no_digest_that_is_kept() -> None:
    order = translate(JobRequest(kind="image", prompt="a fox", labels={"scene": "12"}))

    assert order.digest(UUID(int=1)).hex() == "09ae7f899925e37de443657b0f6c3735eda0ade3c696a7df6f414a85ab536167"


def test_a_cursor_leads_back_to_its_job() -> None:
    job_id = uuid7()

    page = page_of([("cursor", cursor_of(job_id)), ("limit", "5")])

    assert (page.before, page.limit) == (job_id, 5)


async def test_only_those_who_wait_for_a_job_are_woken() -> None:
    watch, mine, other = Watch(), uuid7(), uuid7()
    with watch.waiter(mine) as first, watch.waiter(mine) as second, watch.waiter(other) as third:
        first.version = second.version = third.version = 1
        watch.compare({mine: 1, other: 1})
        assert not first.changed.is_set()
        watch.compare({mine: 2})
        assert (first.changed.is_set(), second.changed.is_set(), third.changed.is_set()) == (True, True, False)
        waiting = asyncio.create_task(watch.wait(third, 30))
        watch.notify([other])
        await asyncio.wait_for(waiting, 5)
    assert watch.waited_for() == []


def test_every_fault_of_the_settings_is_named_at_once() -> None:
    with pytest.raises(StartError) as caught:
        read(Settings, {"API_GATEWAY_HTTP_PORT": "70000", "API_GATEWAY_BOOTSTRAP_KEY": "secret"})

    said = "\n".join(caught.value.problems)
    for name in (
        "API_GATEWAY_DATABASE_URL",
        "API_GATEWAY_HTTP_PORT",
        "API_GATEWAY_INTERNAL_PORT",
        "API_GATEWAY_BOOTSTRAP_KEY",
        "KAFKA_BOOTSTRAP_SERVERS",
        "BACKLOT_SECRET",
        "PROMPT_SERVICE_URL",
        "PROVIDER_WORKER_URL",
        "STORAGE_SERVICE_URL",
        "ASSET_PUBLIC_URL",
    ):
        assert name in said
