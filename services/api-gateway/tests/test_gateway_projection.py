"""The job that facts make, case by case."""

from __future__ import annotations

from uuid import UUID

import pytest

from api_gateway.history import read
from api_gateway.items import ItemStatus
from api_gateway.lifecycle import InvalidStateTransition, Status, passage
from api_gateway.outcomes import advance
from api_gateway.projection import CancelState, JobState, state, state_of
from api_gateway.view import view_of
from chassis.ids import uuid7
from schemas.event import Event
from schemas.events import (
    AssetDeleted,
    AssetStoreFailed,
    AssetVisibilityChanged,
    BudgetRefused,
    GenerationCancelled,
    GenerationFailed,
    GenerationProgressed,
    GenerationSettled,
    GenerationSkipped,
    GenerationStarted,
    JobCompleted,
    JobFailed,
    JobPartial,
    JobSettled,
    PromptsRejected,
)
from schemas.parts import Billing, ErrorCode, Stage
from tests.gateway_fold import NEW_JOB, Fold, facts_in
from tests.gateway_model_events import JOB, CancelRequested
from tests.gateway_stories import completed, completed_picture, prepared, quoted, recorded, reserved, stored

NOTHING = Billing(state="none")


def job_of(*told: Event | CancelRequested) -> JobState:
    return state(facts_in(told))


def started(item: int = 1, attempt: int = 1) -> GenerationStarted:
    return GenerationStarted(job_id=JOB, item=item, attempt=attempt, provider="sandbox", model="s1")


def failed(
    item: int = 1, *, attempt: int = 1, final: bool = True, code: ErrorCode = ErrorCode.PROVIDER_ERROR
) -> GenerationFailed:
    return GenerationFailed(
        job_id=JOB,
        item=item,
        attempt=attempt,
        code=code,
        message="it came to nothing",
        stage=Stage.GENERATING,
        final=final,
        billing=NOTHING,
    )


def cancelled(item: int = 1, *, attempt: int = 0, code: ErrorCode = ErrorCode.CANCELLED) -> GenerationCancelled:
    return GenerationCancelled(
        job_id=JOB, item=item, attempt=attempt, code=code, message="stopped", stage=Stage.GENERATING, billing=NOTHING
    )


def refused(*items: int, attempt: int = 1) -> BudgetRefused:
    return BudgetRefused(
        job_id=JOB,
        attempt=attempt,
        items=list(items),
        amount_micros=1,
        currency="USD",
        cap="budget",
        limit_micros=0,
        left_micros=0,
    )


def test_a_job_nobody_answered_is_queued() -> None:
    job = job_of()

    assert (job.status, job.stage, job.progress, job.items) == (Status.QUEUED, None, 0, ())
    assert (job.settled, job.actual_micros, job.estimated_micros) == (False, 0, None)


def test_stage_and_progress_follow_the_work() -> None:
    story = completed_picture(JOB)
    shown = [job_of(*story[:count]) for count in range(1, 7)]

    stages = [job.stage for job in shown[:5]]
    assert stages == [Stage.PROMPTING, Stage.PROMPTING, Stage.GENERATING, Stage.GENERATING, Stage.PERSISTING]
    progress = [job.progress for job in shown]
    assert progress == sorted(set(progress))
    assert (shown[5].status, shown[5].progress, shown[5].stage) == (Status.COMPLETED, 100, None)


def test_a_provider_that_is_done_leaves_the_upload() -> None:
    told = [prepared(JOB), quoted(JOB), reserved(JOB), started()]
    half = job_of(*told, GenerationProgressed(job_id=JOB, item=1, attempt=1, progress=50))
    whole = job_of(*told, GenerationProgressed(job_id=JOB, item=1, attempt=1, progress=100))

    assert (half.stage, whole.stage) == (Stage.GENERATING, Stage.UPLOADING)
    assert job_of(*told).progress < half.progress < whole.progress < 100


def test_the_stage_is_that_of_whatever_is_furthest_behind() -> None:
    job = job_of(prepared(JOB, items=2), quoted(JOB, 1, 2), reserved(JOB, 1, 2), started(1), completed(JOB, 1))

    assert [item.status for item in job.items] == [ItemStatus.PROCESSING, ItemStatus.QUEUED]
    assert job.stage is Stage.GENERATING


def test_an_item_without_a_prompt_makes_the_job_partial() -> None:
    job = job_of(prepared(JOB, items=2, blank=(2,)), quoted(JOB), completed(JOB), stored(JOB), recorded(JOB))

    assert (job.status, job.progress, job.settled) == (Status.PARTIAL, 100, True)
    assert job.items[1].status is ItemStatus.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.stage) == ("INVALID_REQUEST", "prompting")


def test_a_job_without_prompts_fails_and_owes_nothing() -> None:
    job = job_of(PromptsRejected(job_id=JOB, code=ErrorCode.INVALID_REQUEST, message="no such template"))

    assert (job.status, job.settled, job.items) == (Status.FAILED, True, ())
    assert job.error is not None
    assert (job.error.code, job.error.message, job.error.stage) == ("INVALID_REQUEST", "no such template", "prompting")


def test_a_job_over_its_budget_fails_with_nothing_spent() -> None:
    waiting = job_of(prepared(JOB, items=2), quoted(JOB, 1, 2), refused(1, 2))
    ended = job_of(
        prepared(JOB, items=2),
        quoted(JOB, 1, 2),
        refused(1, 2),
        failed(1, code=ErrorCode.BUDGET_EXCEEDED),
        failed(2, code=ErrorCode.BUDGET_EXCEEDED),
    )

    assert waiting.status is Status.PROCESSING
    assert (ended.status, ended.settled, ended.actual_micros) == (Status.FAILED, True, 0)
    assert ended.error is not None
    assert ended.error.code == "BUDGET_EXCEEDED"


def test_a_dearer_fallback_is_estimated_held_and_charged_in_full() -> None:
    first = [prepared(JOB), quoted(JOB), reserved(JOB), failed(final=False)]
    retried = job_of(*first, quoted(JOB, attempt=2, price=90_000), reserved(JOB, attempt=2, price=90_000))
    done = job_of(
        *first,
        quoted(JOB, attempt=2, price=90_000),
        reserved(JOB, attempt=2, price=90_000),
        completed(JOB, attempt=2),
        stored(JOB, attempt=2),
        recorded(JOB, captured=10_000),
        recorded(JOB, attempt=2, captured=80_000),
    )

    assert (retried.status, retried.items[0].attempt, retried.items[0].error) == (Status.PROCESSING, 2, None)
    assert (done.status, done.settled) == (Status.COMPLETED, True)
    assert (done.estimated_micros, done.reserved_micros, done.actual_micros) == (40_000, 130_000, 90_000)


def test_a_fallback_nobody_pays_for_ends_with_the_first_error() -> None:
    told = [
        prepared(JOB),
        quoted(JOB),
        reserved(JOB),
        failed(final=False),
        quoted(JOB, attempt=2),
        refused(1, attempt=2),
    ]
    open_bill = job_of(*told, failed(attempt=2))
    closed = job_of(*told, failed(attempt=2), recorded(JOB, captured=40_000))

    assert (open_bill.status, open_bill.settled) == (Status.FAILED, False)
    assert (closed.status, closed.settled, closed.actual_micros) == (Status.FAILED, True, 40_000)


def test_bytes_that_could_not_be_kept_fail_the_item() -> None:
    lost = AssetStoreFailed(job_id=JOB, item=1, attempt=1, output=0, code=ErrorCode.STORAGE_ERROR, message="disk full")
    job = job_of(prepared(JOB), quoted(JOB), completed(JOB), lost, recorded(JOB))

    assert (job.status, job.actual_micros) == (Status.FAILED, 39_000)
    assert job.error is not None
    assert (job.error.code, job.error.stage) == ("STORAGE_ERROR", "persisting")


def test_an_item_that_was_already_there_is_done() -> None:
    asset_id = uuid7()
    skipped = GenerationSkipped(job_id=JOB, item=1, asset_id=asset_id, warnings=["what is there is 64x64"])
    job = job_of(prepared(JOB), skipped)

    assert (job.status, job.settled, job.progress) == (Status.COMPLETED, True, 100)
    assert (job.items[0].status, job.items[0].asset_id) == (ItemStatus.SKIPPED, str(asset_id))
    assert job.items[0].warnings == ("what is there is 64x64",)


def test_the_newest_revision_of_an_asset_is_shown() -> None:
    asset_id = uuid7()
    hidden = AssetVisibilityChanged(asset_id=asset_id, job_id=JOB, revision=2, is_public=False, url="https://a/hidden")
    shown = AssetVisibilityChanged(asset_id=asset_id, job_id=JOB, revision=3, is_public=True, url="https://a/shown")
    gone = AssetDeleted(asset_id=asset_id, job_id=JOB, revision=4)
    story = completed_picture(JOB, asset_id=asset_id)

    [output] = job_of(shown, *story, hidden).items[0].outputs
    [deleted] = job_of(gone, shown, *story).items[0].outputs

    assert (output.url, output.is_public, output.revision) == ("https://a/shown", True, 3)
    assert deleted.deleted
    assert job_of(gone, *story).status is Status.COMPLETED


def test_an_asset_that_is_hidden_after_its_job_was_shown_is_shown_as_hidden() -> None:
    asset_id = uuid7()
    hidden = AssetVisibilityChanged(asset_id=asset_id, job_id=JOB, revision=2, is_public=False, url="https://a/hidden")
    history = read(facts_in(completed_picture(JOB, asset_id=asset_id)))
    before = state_of(history)

    for fact in facts_in([hidden]):
        history.add(fact)

    assert [job.items[0].outputs[0].is_public for job in (before, state_of(history))] == [True, False]


@pytest.mark.parametrize(
    ("told", "status", "cancel"),
    [
        ([PromptsRejected(job_id=JOB, code=ErrorCode.CANCELLED, message="stopped")], Status.CANCELLED, "cancelled"),
        ([prepared(JOB, items=2), cancelled(1), cancelled(2)], Status.CANCELLED, "cancelled"),
        ([prepared(JOB, items=2), completed(JOB), stored(JOB), cancelled(2)], Status.PARTIAL, "cancelled"),
        ([prepared(JOB), completed(JOB), stored(JOB)], Status.COMPLETED, "completed_anyway"),
        ([prepared(JOB), completed(JOB)], Status.PROCESSING, "cancel_requested"),
    ],
)
def test_a_cancelled_job_is_what_became_of_its_items(told: list[Event], status: Status, cancel: str) -> None:
    job = job_of(CancelRequested("user"), *told)

    assert job.status is status
    assert job.cancellation is not None
    assert job.cancellation.state == CancelState(cancel)


def test_a_passed_deadline_is_a_timeout() -> None:
    job = job_of(CancelRequested("deadline"), prepared(JOB, items=2), cancelled(1, code=ErrorCode.TIMEOUT), failed(2))

    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.code == "TIMEOUT"


def test_a_job_that_is_given_up_ends_by_what_was_known() -> None:
    fold = Fold()
    fold.hear([prepared(JOB, items=2), quoted(JOB, 1, 2), reserved(JOB, 1, 2), started(1)])
    fold.hear([completed(JOB, 1), stored(JOB, 1)])
    fold.hear([CancelRequested("deadline")])
    fold.give_up()

    assert fold.now.status is Status.PARTIAL
    assert [item.status for item in fold.now.items] == [ItemStatus.COMPLETED, ItemStatus.FAILED]
    assert fold.now.error is not None
    assert fold.now.error.code == "TIMEOUT"
    assert not fold.now.settled


def test_what_comes_after_giving_up_is_a_late_output_and_is_billed() -> None:
    fold = Fold()
    fold.hear([prepared(JOB), quoted(JOB), reserved(JOB), started(), CancelRequested("user")])
    fold.give_up()
    before = fold.now
    fold.hear([completed(JOB), stored(JOB, public=False), recorded(JOB)])

    assert (before.status, before.settled, before.late_outputs) == (Status.CANCELLED, False, ())
    assert before.cancellation is not None
    assert (before.cancellation.charged, before.cancellation.amount_micros) == ("unknown", None)
    assert fold.now.status is Status.CANCELLED
    assert fold.now.cancellation is not None
    assert (fold.now.cancellation.charged, fold.now.cancellation.amount_micros) == ("yes", 39_000)
    assert (fold.now.settled, len(fold.now.late_outputs), fold.now.items[0].outputs) == (True, 1, ())


def test_giving_up_before_anything_was_heard_owes_nothing() -> None:
    fold = Fold()
    fold.hear([CancelRequested("deadline")])
    fold.give_up()

    assert (fold.now.status, fold.now.settled, fold.now.items) == (Status.FAILED, True, ())
    assert [type(event) for event in fold.announced] == [JobFailed, JobSettled]


def test_a_bill_that_is_settled_late_brings_its_output_along() -> None:
    unknown = GenerationFailed(
        job_id=JOB,
        item=1,
        attempt=1,
        code=ErrorCode.SUBMIT_UNKNOWN,
        message="nobody knows",
        stage=Stage.GENERATING,
        final=True,
        billing=Billing(state="pending"),
    )
    settled = GenerationSettled(
        job_id=JOB, item=1, attempt=1, billing=Billing(state="final", amount_micros=39_000), evidence="found"
    )
    told = [prepared(JOB), quoted(JOB), reserved(JOB), unknown]

    assert (job_of(*told).status, job_of(*told).settled) == (Status.FAILED, False)
    job = job_of(*told, settled, recorded(JOB), stored(JOB, late=True, public=False))
    assert (job.status, job.settled, job.actual_micros, len(job.late_outputs)) == (Status.FAILED, True, 39_000, 1)


def test_an_item_completed_without_a_primary_output_ends_when_storage_gives_output_0_up() -> None:
    lost = AssetStoreFailed(job_id=JOB, item=1, attempt=1, output=0, code=ErrorCode.STORAGE_ERROR, message="nothing")
    for outputs in ([], [completed(JOB).outputs[0].model_copy(update={"role": "thumbnail"})]):
        empty = completed(JOB).model_copy(update={"outputs": outputs})
        assert job_of(prepared(JOB), quoted(JOB), empty).status is Status.PROCESSING

        job = job_of(prepared(JOB), quoted(JOB), empty, lost, recorded(JOB))

        assert (job.status, job.settled) == (Status.FAILED, True)
        assert job.error is not None
        assert (job.error.code, job.error.stage) == (ErrorCode.STORAGE_ERROR, Stage.PERSISTING)


def test_the_outside_is_told_the_end_and_then_the_bill() -> None:
    fold = Fold()
    fold.hear([prepared(JOB, items=2, blank=(2,)), quoted(JOB), reserved(JOB), completed(JOB), stored(JOB)])
    fold.hear([recorded(JOB)])
    fold.hear([recorded(JOB), stored(JOB)])

    partial, settled = fold.announced
    assert isinstance(partial, JobPartial)
    assert (partial.items, partial.completed, partial.settled, partial.cost_micros) == (2, 1, False, 0)
    assert [asset.item for asset in partial.assets] == [1]
    assert settled == JobSettled(job_id=JOB, cost_micros=39_000, currency="USD")


def test_the_outside_and_the_owner_are_told_how_long_a_sound_is() -> None:
    sound = {"mime": "audio/mpeg", "width": None, "height": None, "duration_seconds": 2.5}
    events = [
        prepared(JOB),
        quoted(JOB),
        completed(JOB).model_copy(update={"fit": None}),
        stored(JOB).model_copy(update=sound),
    ]
    fold = Fold()
    fold.hear(events)

    [told] = fold.announced
    assert isinstance(told, JobCompleted)
    [asset], [item] = told.assets, view_of(job_of(*events))["items"]
    for shown in (asset.model_dump(), item["outputs"][0]):
        assert sound.items() <= shown.items()


def test_a_job_that_leaves_the_queue_passes_processing() -> None:
    assert passage(Status.QUEUED, Status.FAILED) == [Status.PROCESSING, Status.FAILED]
    assert passage(Status.COMPLETED, Status.COMPLETED) == []


def test_a_sealed_job_never_moves() -> None:
    fold = Fold()
    fold.hear(completed_picture(JOB))

    with pytest.raises(InvalidStateTransition, match="completed cannot become failed"):
        advance(fold.job, job_of(PromptsRejected(job_id=JOB, code=ErrorCode.INVALID_REQUEST, message="too late")))
    assert advance(NEW_JOB, job_of(prepared(JOB))).status is Status.PROCESSING


def test_outputs_keep_their_item() -> None:
    job = job_of(
        prepared(JOB, items=2), *(event for item in (1, 2) for event in (completed(JOB, item), stored(JOB, item)))
    )

    assert [[output.item for output in item.outputs] for item in job.items] == [[1], [2]]
    assert all(isinstance(output.asset_id, UUID) for item in job.items for output in item.outputs)
