"""What is said of a finished file, and with which settings it is signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.ids import uuid7
from chassis.settings import read
from media import DIGITAL_SOURCE_TYPE
from media.tests.signing_files import Pair, pair
from provider_worker import says
from provider_worker.provenance import OFF, marking_of, statement_of
from provider_worker.routing import Offer
from provider_worker.settings import Settings
from provider_worker.tasks import Job, Task
from schemas.parts import AssetContext, Kind, Marking, Route
from tests.worker_builders import TENANT, USER, item

AT = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)


def task(*, seed: int | None = 5) -> Task:
    context = AssetContext(user_id=USER, kind=Kind.IMAGE)
    return Task(
        id=1,
        epoch=1,
        job=Job(uuid7(), TENANT, Route(), None, context, None),
        item=item(3, seed=seed),
        attempt=2,
        attempt_id=uuid7(),
        offer=Offer("sandbox", "draw-1", 40_000),
        price_version="1",
        held_micros=40_000,
        intent_at=AT,
        unknown_s=0.0,
        calls=1,
        remakes=0,
        tried=frozenset(),
        time_left=60.0,
        resuming=False,
    )


def settings(folder: Path, **more: str) -> Settings:
    environ = {
        "PROVIDER_WORKER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "PROVIDER_WORKER_SANDBOX_DIR": str(folder / "sandbox"),
        "PROVIDER_WORKER_INTERNAL_PORT": "1",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STORAGE_SERVICE_URL": "http://127.0.0.1:1",
        "BACKLOT_SECRET": "a secret for the tests alone",
        "BACKLOT_OBJECTS_DIR": str(folder / "objects"),
    }
    return read(Settings, {**environ, **more})


def signing_with(made: Pair) -> dict[str, str]:
    return {
        "PROVIDER_WORKER_PROVENANCE_SIGN": "true",
        "PROVIDER_WORKER_PROVENANCE_CERT": str(made.certificate),
        "PROVIDER_WORKER_PROVENANCE_KEY": str(made.key),
    }


def refusal(folder: Path, **more: str) -> str:
    with pytest.raises(StartError) as caught:
        settings(folder, **more)
    return "\n".join(caught.value.problems)


def test_a_claim_says_what_the_lineage_of_the_asset_says_and_when_the_provider_was_asked() -> None:
    asked = task()
    statement, lineage = statement_of(asked, None, output=1, content_sha256="33" * 32), says.lineage(asked, None)
    assert (statement.provider, statement.model, statement.seed, statement.at) == ("sandbox", "draw-1", 5, AT)
    for name in ("template", "template_version", "template_sha256", "prompt_sha256", "provider", "model", "seed"):
        assert getattr(statement, name) == getattr(lineage, name)
    assert lineage.generated_at == AT
    assert (statement.job_id, statement.item, statement.attempt, statement.output) == (str(asked.job.job_id), 3, 2, 1)
    assert statement.content_sha256 == "33" * 32


def test_the_seed_that_a_provider_tells_is_the_one_that_is_claimed() -> None:
    assert statement_of(task(seed=None), 99, output=0, content_sha256="").seed == 99


def test_no_claim_repeats_the_prompt() -> None:
    asked = task()
    assert asked.item.prompt not in repr(statement_of(asked, None, output=0, content_sha256=""))


def test_how_a_file_is_marked_is_told_by_its_type_and_whether_it_was_signed() -> None:
    assert marking_of("image/png", None) == Marking(
        digital_source_type=DIGITAL_SOURCE_TYPE, place="XMP", signed=True, why_not=None
    )
    assert marking_of("model/gltf-binary", OFF) == Marking(
        digital_source_type=DIGITAL_SOURCE_TYPE, place="asset.extras", signed=False, why_not=OFF
    )
    assert marking_of("text/plain", OFF) is None


def test_nothing_is_signed_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert settings(tmp_path).signing_material() is None
    made = pair(tmp_path)
    off = settings(tmp_path, **{**signing_with(made), "PROVIDER_WORKER_PROVENANCE_SIGN": "false"})
    assert off.signing_material() is None


def test_what_is_asked_for_with_a_certificate_and_its_key_is_signed(tmp_path: Path) -> None:
    material = settings(tmp_path, **signing_with(pair(tmp_path))).signing_material()
    assert material is not None
    assert material.subject == "CN=signer,O=tests"


def test_signing_without_a_certificate_does_not_start(tmp_path: Path) -> None:
    said = refusal(tmp_path, PROVIDER_WORKER_PROVENANCE_SIGN="true")
    assert "PROVIDER_WORKER_PROVENANCE_KEY and PROVIDER_WORKER_PROVENANCE_CERT have to be set to sign" in said


def test_a_key_that_cannot_be_used_is_told_with_all_other_faults_and_nothing_starts(tmp_path: Path) -> None:
    expired, other = pair(tmp_path / "old", ends=timedelta(minutes=-5)), pair(tmp_path / "other")
    said = refusal(tmp_path, **signing_with(Pair(expired.certificate, other.key)), PROVIDER_WORKER_HANDS="many")
    assert "PROVIDER_WORKER_HANDS" in said
    assert "PROVIDER_WORKER_PROVENANCE_KEY cannot be used: the key is not the one of the certificate of" in said
    assert "PROVIDER_WORKER_PROVENANCE_KEY cannot be used: the certificate of CN=signer,O=tests expired on" in said


def test_a_key_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    made = pair(tmp_path)
    made.key.unlink()
    assert f"the key {made.key} cannot be read: No such file" in refusal(tmp_path, **signing_with(made))
