"""Doing again: which stages of a run a retry repeats."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from backend.errors import Conflict, NotFound
from backend.run.state import StageState
from backend.spec.graph import Plan

_BAD = (StageState.FAILED, StageState.CANCELLED, StageState.SKIPPED)


def again(plan: Plan, states: Mapping[str, StageState], from_stage: str = "", only: bool = False) -> set[str]:
    """The instances to repeat: what did not succeed; or `from_stage` (a stage or an instance) and what follows it.

    `only` leaves out what follows. What a repeated stage needs and does not have is repeated with it. Raises NotFound
    for an unknown stage, Conflict where there is nothing to repeat.
    """
    if not from_stage:
        failed = {name for name in plan.instances if states[name] in _BAD}
        if not failed:
            raise Conflict("nothing in this run has failed", hint="name a stage to start from: --from STAGE")
        return failed
    named = {name for name, instance in plan.instances.items() if from_stage in (name, instance.stage)}
    if not named:
        stages = ", ".join(dict.fromkeys(i.stage for i in plan.instances.values()))
        raise NotFound(f"the run has no stage {from_stage!r}", hint=f"its stages: {stages}")
    repeated = named if only else behind(plan, named)
    needed = deque(need for name in repeated for need in plan.instances[name].needs)
    while needed:
        name = needed.popleft()
        if name not in repeated and states[name] in _BAD:
            repeated.add(name)
            needed.extend(plan.instances[name].needs)
    return repeated


def behind(plan: Plan, names: set[str]) -> set[str]:
    """`names` and every instance that needs one of them, directly or not."""
    found = set(names)
    for name, instance in plan.instances.items():  # these are in topological order
        if found.intersection(instance.needs):
            found.add(name)
    return found
