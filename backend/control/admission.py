"""Which queued runs may begin: a pipeline's `concurrency`, decided from all its active runs. Pure."""

from __future__ import annotations

from msgspec import Struct

from backend.run.ids import short
from backend.run.state import Run, RunState
from backend.spec.model import Concurrency


class Verdict(Struct, frozen=True):
    """What is to become of a queued run: begin now, wait (`message` says for what), or give up (`skip`)."""

    admit: bool = False
    skip: bool = False
    message: str = ""
    replaces: tuple[str, ...] = ()  # runs to be ended first


def judge(run: Run, active: list[Run], concurrency: Concurrency) -> Verdict:
    """The verdict on `run`, given all runs of its pipeline that have not ended (itself among them).

    Where its schedule says what becomes of overlaps, its runs are made one at a time, by that rule; and by that rule,
    instead of the pipeline's own, it takes its place where the pipeline's limit is reached.

    Runs of a backfill wait until nothing else is queued. Others wait for one that has begun: they neither end it nor
    give up for it.
    """
    if run.trigger.kind == "backfill":
        return _judge(run, active, Concurrency(concurrency.limit, "queue"))
    others = [other for other in active if other.trigger.kind != "backfill"]
    verdict = _beside(run, others, concurrency)
    if not verdict.admit or concurrency.limit is None:
        return verdict
    filling = [other for other in active if other.trigger.kind == "backfill" and other.state is RunState.RUNNING]
    ahead = [other for other in others if other.state is RunState.RUNNING or other.id < run.id]
    if not filling or len(filling) + len(ahead) < concurrency.limit:
        return verdict
    return Verdict(message=f"waits for run {short(filling[0].id)} of a backfill")


def _beside(run: Run, active: list[Run], concurrency: Concurrency) -> Verdict:
    """The verdict if there were no backfills."""
    overlap = run.trigger.overlap
    if overlap:
        if overlap != "skip":  # that was decided before it was made
            own = [o for o in active if o.trigger.schedule == run.trigger.schedule and o.trigger.overlap]
            verdict = _judge(run, own, Concurrency(1, overlap))
            if not verdict.admit:
                return verdict
        concurrency = Concurrency(concurrency.limit, overlap)
    return _judge(run, active, concurrency)


def _judge(run: Run, active: list[Run], concurrency: Concurrency) -> Verdict:
    limit = concurrency.limit
    if limit is None:
        return Verdict(admit=True)
    others = [other for other in active if other.id != run.id]
    running = [other for other in others if other.state is RunState.RUNNING]
    before = [other for other in others if other.state is RunState.QUEUED and _turn(other) < _turn(run)]
    if concurrency.when_full == "replace":
        newer = [o for o in others if o.state is RunState.QUEUED and o.id > run.id]
        if len(newer) >= limit:
            return Verdict(skip=True, message=f"replaced by run {short(newer[-1].id)} before it began")
        excess = len(running) - limit + 1
        if excess <= 0:
            return Verdict(admit=True)
        oldest = sorted(running, key=lambda o: o.id)[:excess]
        names = ", ".join(short(o.id) for o in oldest)
        return Verdict(message=f"waits for run {names} to end", replaces=tuple(o.id for o in oldest))
    if len(running) + len(before) < limit:
        return Verdict(admit=True)
    waits_for = short((running or before)[0].id)
    if concurrency.when_full == "skip":
        return Verdict(skip=True, message=f"skipped: {len(running)} of {limit} runs are active ({waits_for})")
    place = f", {len(before)} before it" if before else ""
    return Verdict(message=f"waits for run {waits_for}: {len(running)} of {limit} are active{place}")


def _turn(run: Run) -> tuple[bool, str]:
    """By what queued runs are ordered: those of backfills come last."""
    return run.trigger.kind == "backfill", run.id
