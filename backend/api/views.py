"""From what is kept to what is shown."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from backend.access.decide import Grant
from backend.api.wire import AttemptView, RoleView, RunView, StageView
from backend.run.explain import reason, why
from backend.run.state import Run, StageRecord
from backend.store.catalogue import Loaded


def role_view(grant: Grant) -> RoleView:
    """A role that somebody has, and why."""
    binding = grant.binding
    bound = binding.id if grant.through == binding.subject else ""
    return RoleView(binding.role, binding.pipelines, binding.labels, grant.through, bound)


def run_view(run: Run, revision: int, stages: tuple[StageView, ...] | None = None) -> RunView:
    """A run, with its stages if they are given."""
    done = sum(run.counts.values())
    return RunView(
        id=run.id,
        pipeline=run.pipeline,
        version=run.version,
        state=run.state,
        logical_time=run.logical_time,
        zone=run.zone,
        created=run.created,
        started=run.started,
        ended=run.ended,
        parameters=run.parameters,
        trigger=run.trigger,
        message=run.message,
        ending=run.ending,
        round=run.round,
        progress={"total": run.stages, "waiting": max(run.stages - done, 0), **run.counts},
        revision=revision,
        due_by=run.due_by,
        late=run.late,
        fresh=run.fresh,
        stages=UNSET if stages is None else stages,
    )


def stage_views(run: Run, records: Mapping[str, StageRecord], loaded: Loaded | None) -> tuple[StageView, ...]:
    """All stage instances of a run, in the order of the plan; without the plan, those that have a record."""
    if loaded is None:
        return tuple(_stage(run, r, name, 0, (), {}, "", r.message) for name, r in records.items())
    plan = loaded.plan
    level = {name: depth for depth, names in enumerate(plan.levels) for name in names}
    return tuple(
        _stage(
            run,
            records.get(name) or StageRecord(name),
            instance.stage,
            level.get(name, 0),
            instance.needs,
            instance.each,
            loaded.pipeline.stages[instance.stage].image,
            why(run, plan, records, name),
            reason(run, loaded.pipeline, plan, records[name]) if name in records else "",
        )
        for name, instance in plan.instances.items()
    )


def _stage(
    run: Run,
    record: StageRecord,
    stage: str,
    level: int,
    needs: tuple[str, ...],
    each: dict[str, str],
    image: str,
    message: str,
    reason_: str = "",
) -> StageView:
    return StageView(
        name=record.name,
        stage=stage,
        state=record.state,
        image=image,
        each=each,
        needs=needs,
        level=level,
        ready=record.ready,
        started=record.started,
        ended=record.ended,
        retry_at=record.retry_at,
        message=message,
        attempts=tuple(
            AttemptView(a.number, a.state, a.started, a.ended, a.exit_code, a.reason, a.message)
            for a in record.attempts
        ),
        inputs=record.inputs,
        outputs=record.outputs,
        reused_from=record.reused_from,
        reason=reason_,
    )
