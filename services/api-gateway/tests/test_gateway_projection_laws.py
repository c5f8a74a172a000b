"""Laws of the projection, over histories made by a model of the services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from api_gateway.facts import FactKind, gave_up
from api_gateway.history import read
from api_gateway.lifecycle import TERMINAL, InvalidStateTransition, Status, step
from api_gateway.outcomes import Manifest
from api_gateway.projection import CancelState, JobState, state, state_of
from schemas.parts import ErrorCode
from schemas.results import JobOutcome, JobSettled
from tests.gateway_fold import NEW_JOB, Fold, facts_in
from tests.gateway_histories import histories
from tests.gateway_model_events import CancelRequested, Entry
from tests.gateway_services_model import History

Told = Sequence[Entry]

EXAMPLES = settings(max_examples=300, deadline=None)


@st.composite
def arrivals(draw: st.DrawFn, told: Told) -> list[list[Entry]]:
    """`told` in any order, with repetitions, in batches of any size.

    The gateway's own request to stop comes first: it is written before anybody can hear of it.
    """
    random = draw(st.randoms(use_true_random=False))
    first: list[Entry] = [entry for entry in told if isinstance(entry, CancelRequested)]
    events: list[Entry] = [entry for entry in told if not isinstance(entry, CancelRequested)]
    events += [entry for entry in events if random.random() < 0.3]
    random.shuffle(events)
    batches = [first] if first else []
    while events:
        size = random.randint(1, 6)
        batches.append(events[:size])
        events = events[size:]
    return batches


def folded(batches: Sequence[Told]) -> Fold:
    fold = Fold()
    for batch in batches:
        fold.hear(batch)
    return fold


def expected(history: History) -> Status:
    """How a job ends, said by the model alone."""
    stopped = history.cancel is not None and history.cancel.reason == "user"
    if history.rejected is not None:
        return Status.CANCELLED if stopped or history.rejected is ErrorCode.CANCELLED else Status.FAILED
    done = sum(how in {"completed", "skipped"} for how in history.ended.values())
    if done == len(history.ended):
        return Status.COMPLETED
    if done:
        return Status.PARTIAL
    return Status.CANCELLED if stopped else Status.FAILED


@EXAMPLES
@given(history=histories())
def test_a_job_ends_as_the_services_ended_it(history: History) -> None:
    job = folded([[entry] for entry in history.told]).now

    assert job.status is expected(history)
    assert job.settled
    assert job.actual_micros == history.captured
    for item in job.items:
        assert item.status.value == history.ended[item.number] or (
            history.ended[item.number] == "cancelled" and item.error is not None and item.error.code == "TIMEOUT"
        )


@EXAMPLES
@given(data=st.data(), history=histories())
def test_any_order_and_repetition_of_events_gives_the_same_job(data: st.DataObject, history: History) -> None:
    in_order = folded([[entry] for entry in history.told])
    shuffled = folded(data.draw(arrivals(history.told)))

    assert shuffled.now == in_order.now
    assert terminal(shuffled).status == terminal(in_order).status


@EXAMPLES
@given(data=st.data(), history=histories(cancel=True))
def test_a_job_that_was_given_up_does_not_depend_on_the_order_either(data: st.DataObject, history: History) -> None:
    assert history.cancel is not None
    cut = data.draw(st.integers(history.told.index(history.cancel) + 1, len(history.told)))
    before, after = history.told[:cut], history.told[cut:]

    def played(first: Sequence[Told], second: Sequence[Told]) -> Fold:
        fold = folded(first)
        fold.give_up()
        for batch in second:
            fold.hear(batch)
        return fold

    in_order = played([[entry] for entry in before], [[entry] for entry in after])
    late = data.draw(arrivals([*after, *(entry for entry in before if not isinstance(entry, CancelRequested))]))
    shuffled = played(data.draw(arrivals(before)), late)

    assert shuffled.now == in_order.now
    assert shuffled.now.status in TERMINAL
    assert terminal(shuffled).status == terminal(in_order).status


@EXAMPLES
@given(data=st.data(), history=histories())
def test_the_state_is_a_function_of_the_set_of_facts(data: st.DataObject, history: History) -> None:
    facts = list({fact.slot: fact for fact in facts_in(history.told)}.values())
    some = facts[: data.draw(st.integers(0, len(facts)))]

    assert state(data.draw(st.permutations(some))) == state(some)


@EXAMPLES
@given(data=st.data(), history=histories())
def test_a_history_filled_step_by_step_makes_the_job_that_one_read_whole_makes(
    data: st.DataObject, history: History
) -> None:
    growing = read([])
    steps = [facts_in(batch) for batch in data.draw(arrivals(history.told))]
    end = data.draw(st.integers(0, len(steps)))
    for number, step_facts in enumerate(steps):
        for fact in step_facts:
            growing.add(fact)
        if number == end:
            growing.add(gave_up(list(growing.facts)))

        assert state_of(growing) == state(list(growing.facts.values()))


@EXAMPLES
@given(data=st.data(), history=histories())
def test_a_job_goes_only_where_its_state_machine_leads(data: st.DataObject, history: History) -> None:
    fold = folded(data.draw(arrivals(history.told)))

    assert fold.passed[0] is Status.QUEUED
    assert fold.passed[1] is Status.PROCESSING
    for before, after in zip(fold.passed, fold.passed[1:], strict=False):
        assert step(before, after) is after
    assert fold.passed[-1] in TERMINAL
    assert [status for status in fold.passed if status in TERMINAL] == [fold.passed[-1]]


@EXAMPLES
@given(data=st.data(), history=histories())
def test_progress_never_goes_back_and_a_sealed_job_changes_only_its_bill_and_its_assets(
    data: st.DataObject, history: History
) -> None:
    fold = folded(data.draw(arrivals(history.told)))

    shown = [found.progress for found in fold.seen]
    assert shown == sorted(shown)
    assert all(0 <= progress <= 100 for progress in shown)
    sealed = [found for found in fold.seen if found.sealed]
    assert len({verdict(found) for found in sealed}) == 1
    if sealed[0].status in {Status.COMPLETED, Status.PARTIAL}:
        assert sealed[0].progress == 100


@EXAMPLES
@given(data=st.data(), history=histories())
def test_the_end_is_told_once_and_the_bill_after_it(data: st.DataObject, history: History) -> None:
    told = folded(data.draw(arrivals(history.told))).announced

    assert [isinstance(event, JobOutcome) for event in told] == [True, False]
    assert isinstance(told[1], JobSettled)
    assert told[1].cost_micros == history.captured


@EXAMPLES
@given(history=histories(cancel=True))
def test_a_request_to_stop_is_answered_with_what_it_cost(history: History) -> None:
    assert history.cancel is not None
    job = folded([[entry] for entry in history.told]).now

    assert job.cancellation is not None
    anyway = job.status is Status.COMPLETED
    assert job.cancellation.state is (CancelState.ANYWAY if anyway else CancelState.CANCELLED)
    assert job.cancellation.charged == ("yes" if history.captured else "no")
    assert job.cancellation.amount_micros == history.captured


@EXAMPLES
@given(data=st.data(), history=histories())
def test_what_was_paid_for_and_came_late_is_the_items_once_somebody_asked_for_it(
    data: st.DataObject, history: History
) -> None:
    job = folded(data.draw(arrivals(history.told))).now

    others = {output.asset_id for output in job.late_outputs}
    for item in job.items:
        if history.ended[item.number] in {"completed", "skipped"}:
            continue
        assert (item.redownload.state if item.redownload else None) == history.redownloads.get(item.number)
        adopted = [output for output in item.outputs if output.role == "primary"]
        assert len(adopted) == (history.redownloads.get(item.number) == "fetched")
        assert (item.asset_id is not None) == bool(adopted)
        assert others.isdisjoint(output.asset_id for output in item.outputs)


@EXAMPLES
@given(data=st.data(), history=histories())
def test_a_manifest_tells_once_what_every_item_came_to(data: st.DataObject, history: History) -> None:
    manifest = Manifest("deep-sea", "whales", "generate_videos")
    fold = Fold(NEW_JOB._replace(manifest=manifest))
    for batch in data.draw(arrivals(history.told)):
        fold.hear(batch)

    told = terminal(fold).manifest

    assert told is not None
    assert (told.channel, told.project, told.next_step) == manifest
    ways = Counter(history.ended.values())
    assert (told.generated, told.skipped) == (ways["completed"], ways["skipped"])
    assert told.failed == ways["failed"] + ways["cancelled"]
    assert told.failed >= len(history.blank)
    assert told.total_cost_micros == terminal(fold).cost_micros <= history.captured


@given(before=st.sampled_from(Status), after=st.sampled_from(Status))
def test_no_state_machine_step_leaves_a_terminal_state(before: Status, after: Status) -> None:
    allowed = {(Status.QUEUED, Status.PROCESSING), *((Status.PROCESSING, end) for end in TERMINAL)}
    try:
        step(before, after)
    except InvalidStateTransition:
        assert before is not after
        assert (before, after) not in allowed
    else:
        assert before is after or (before, after) in allowed


def terminal(fold: Fold) -> JobOutcome:
    found = [event for event in fold.announced if isinstance(event, JobOutcome)]
    assert len(found) == 1
    return found[0]


def verdict(job: JobState) -> tuple[object, ...]:
    items = tuple((item.number, item.status, item.error, item.attempt) for item in job.items)
    return (job.status, job.error, items)


def test_the_model_makes_every_kind_of_history() -> None:
    seen: set[object] = set()

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(history=histories())
    def collect(history: History) -> None:
        seen.update(fact.kind for fact in facts_in(history.told))
        seen.add(expected(history))
        ways = ways_of(history)
        seen.update({frozenset(ways), *map(frozenset, combinations(ways, 2))})

    collect()
    assert set(FactKind) - {FactKind.GAVE_UP} <= seen
    assert seen >= TERMINAL
    assert seen >= {
        frozenset({"blank"}),
        frozenset({"skipped"}),
        frozenset({"blank", "skipped"}),
        frozenset({"blank", "completed"}),
        frozenset({"skipped", "failed"}),
        frozenset({"skipped", "completed"}),
    }


def ways_of(history: History) -> set[str]:
    return {"blank" if number in history.blank else how for number, how in history.ended.items()}
