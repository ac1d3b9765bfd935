"""What is said to callers who may not do something."""

from __future__ import annotations

from backend.access.decide import Decision, Grant, decide
from backend.access.model import Principal, Role, Target
from backend.errors import KhanError, NotAllowed, NotFound


def refusal(who: Principal, grants: tuple[Grant, ...], what: str, needed: Role, target: Target) -> KhanError | None:
    """What is to be said of this, if it may not be: NotFound where not even looking is allowed."""
    decision = decide(grants, needed, target)
    if decision.allowed:
        return None
    if not decide(grants, "viewer", target).allowed:
        return NotFound(f"there is no pipeline {target.pipeline!r}", hint="khantui pipelines lists them")
    return refused(who, what, decision, target)


def refused(who: Principal, what: str, decision: Decision, target: Target | None) -> NotAllowed:
    """The error for a decision."""
    where = f" on {target.pipeline}" if target is not None else ""
    has = f"the role {decision.role}" if decision.role != "anyone" else "no role"
    return NotAllowed(
        f"{what} is for the role {decision.needed} and above; {who.name} has {has}{where or ' for all pipelines'}",
        hint=f"khantui auth explain says why; an administrator gives roles: khantui auth bind {who.subject}"
        f" {decision.needed}{f' --pipelines {target.pipeline}' if target else ''}",
    )
