"""The transactions by which runs come, change and go: the indexes are always in step with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest

from backend.run.ids import new_id, short
from backend.run.state import ArtifactRecord, Run, RunState, StageRecord, Trigger
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import decode, encode
from backend.store.good import good_runs
from backend.store.memory import MemoryStore
from backend.store.records import (
    AuditRecord,
    Command,
    Entry,
    External,
    change_run,
    create_run,
    delete_run,
    record_audit,
)

NOW = datetime(2025, 3, 1, tzinfo=UTC)
RUN = Run("06f2k9x4qe-7f3k2a", "weekly", 1, NOW)
OTHER = Run("06f2k9x4qf-7f3k2a", "weekly", 1, NOW)  # of the next millisecond, and the same to people
ENDS = [state for state in RunState if state.ended]


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    for run in (RUN, OTHER):
        assert await store.commit(*create_run(run))
    return store


async def present(store: MemoryStore, of: Run = RUN) -> set[str]:
    """All keys that have to do with the run."""
    found = {item.key async for page in store.scan("") for item in page.items}
    return {key for key in found if of.id in key or key.endswith(keys.run(of.id).rsplit("/", 1)[1])}


def wanted(run: Run) -> set[str]:
    """The keys of a run of which nothing is known but its summary."""
    found = {
        keys.run(run.id),
        keys.by_pipeline(run.pipeline, run.id),
        keys.by_state(run.state, run.id),
        keys.by_short(short(run.id), run.id),
    }
    if run.state is RunState.SUCCEEDED:
        found.add(keys.good(run.pipeline, run.logical_time, run.id))
    if run.trigger.backfill:
        found.add(keys.by_backfill(run.trigger.backfill, run.id))
    return found | ({keys.ended(run.id)} if run.state.ended else {keys.active(run.id)})


async def change(store: MemoryStore, old: Run, state: RunState) -> Run:
    new = msgspec.structs.replace(old, state=state)
    await store.commit([], change_run(old, new))
    return new


async def test_a_run_comes_with_its_indexes(store: MemoryStore) -> None:
    assert await present(store) == wanted(RUN)
    found = await store.get(keys.run(RUN.id))
    assert found is not None
    assert decode(found.value, Run) == RUN


async def test_a_run_is_made_once(store: MemoryStore) -> None:
    again = msgspec.structs.replace(RUN, pipeline="other")
    assert await store.commit(*create_run(again)) is None
    assert await present(store) == wanted(RUN)


async def test_two_runs_may_have_the_same_short_id(store: MemoryStore) -> None:
    page = await store.page(keys.by_short("7f3k2a"), keys.after(keys.by_short("7f3k2a")))
    assert [item.key.rsplit("/", 1)[1] for item in page.items] == [RUN.id, OTHER.id]


@pytest.mark.parametrize("end", ENDS)
async def test_the_indexes_follow_a_run_through_its_states_and_a_retry(store: MemoryStore, end: RunState) -> None:
    run = RUN
    for state in (RunState.RUNNING, end):
        run = await change(store, run, state)
        assert await present(store) == wanted(run)
    run = await change(store, run, RunState.QUEUED)
    assert await present(store) == wanted(run) | {keys.ended(run.id)}  # its followers may not have been started yet
    for state in (RunState.RUNNING, end):
        run = await change(store, run, state)
    assert await present(store) == wanted(run)
    assert await present(store, OTHER) == wanted(OTHER)


def test_a_change_within_a_state_touches_the_summary_alone() -> None:
    new = msgspec.structs.replace(RUN, message="waits")
    assert change_run(RUN, new) == [Put(keys.run(RUN.id), encode(new))]


@pytest.mark.parametrize(("old", "new"), [*pairwise(RunState), (RunState.FAILED, RunState.QUEUED)])
def test_no_transaction_has_a_key_twice(old: RunState, new: RunState) -> None:
    before, after = (msgspec.structs.replace(RUN, state=state) for state in (old, new))
    for changes in (change_run(before, after), create_run(before)[1], delete_run(after)):
        assert len({c.key for c in changes}) == len(changes)


@pytest.mark.parametrize("end", ENDS)
async def test_a_run_that_is_deleted_leaves_nothing(store: MemoryStore, end: RunState) -> None:
    run = await change(store, RUN, end)
    artifact = ArtifactRecord("file", 1, 1, "ab" * 32)
    await store.commit(
        [],
        [
            Put(keys.stage(run.id, "clean"), encode(StageRecord("clean"))),
            Put(keys.stage(run.id, "plot.2025"), encode(StageRecord("plot.2025"))),
            Put(keys.external(run.id, "events"), encode(External((Entry("", artifact),)))),
            Put(keys.command(run.id, "c1"), encode(Command("cancel", "alice", NOW))),
        ],
    )
    assert len(await present(store)) == len(wanted(run)) + 4
    await store.commit([], delete_run(run))
    assert await present(store) == set()
    assert await present(store, OTHER) == wanted(OTHER)


async def test_a_run_of_a_backfill_is_found_by_it_until_it_is_deleted(store: MemoryStore) -> None:
    run = msgspec.structs.replace(RUN, id="06f2k9x4qg-7f3k2a", trigger=Trigger("backfill", backfill="abcdef"))
    await store.commit(*create_run(run))
    assert await present(store, run) == wanted(run)
    run = await change(store, run, RunState.SUCCEEDED)
    await store.commit([], delete_run(run))
    assert await present(store, run) == set()


async def test_good_times_are_found_with_the_parameters_that_they_had(store: MemoryStore) -> None:
    hours = [NOW + timedelta(hours=number) for number in range(1200)]
    for number, moment in enumerate(hours):
        if number % 3 == 0:
            old = Run(new_id(NOW), "weekly", 1, moment.astimezone(ZoneInfo("Asia/Tokyo")), parameters={"region": "eu"})
            await change(store, old, RunState.SUCCEEDED)
    failed = Run(new_id(NOW), "weekly", 1, hours[1], parameters={"region": "eu"})
    await change(store, await change(store, failed, RunState.SUCCEEDED), RunState.FAILED)
    assert set(await good_runs(store, "weekly", hours, {"region": "eu"})) == set(hours[::3])
    assert set(await good_runs(store, "weekly", hours[7:2:-1], {"region": "eu", "new": "x"})) == {hours[3], hours[6]}
    assert await good_runs(store, "weekly", hours, {"region": "us"}) == {}
    assert await good_runs(store, "week", hours, {}) == {}
    assert await good_runs(store, "weekly", [], {}) == {}


async def test_the_journal_is_read_newest_first(store: MemoryStore) -> None:
    for run, who in ((RUN, "first"), (OTHER, "second")):
        entry = AuditRecord(NOW, who, "runs.cancel", "x", "unix", {})
        await store.commit([], [record_audit(run.id, entry)])
    page = await store.page(keys.AUDIT, keys.after(keys.AUDIT))
    assert [decode(item.value, AuditRecord).who for item in page.items] == ["second", "first"]


def test_a_summary_is_small() -> None:
    """A list of ten thousand is read and sent at once."""
    full = msgspec.structs.replace(
        RUN,
        zone="America/Argentina/ComodRivadavia",
        started=NOW,
        ended=NOW,
        created=NOW,
        parameters={"region": "everywhere", "since": "2025-01-01"},
        counts={"succeeded": 120, "failed": 3, "skipped": 9},
        message="by_region: exit 1; " * 5,
    )
    assert len(encode(full)) <= 1024
