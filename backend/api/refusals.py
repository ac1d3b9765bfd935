"""What is said to callers who may not do something."""

from __future__ import annotations

from collections.abc import Sequence

from backend.access.decide import Decision, Grant, decide
from backend.access.model import Role, Target
from backend.api.identity import Identity
from backend.errors import Conflict, KhanError, NotAllowed, NotFound

_NAMED = 5  # of those who use something


def refusal(who: Identity, grants: tuple[Grant, ...], what: str, needed: Role, target: Target) -> KhanError | None:
    """What is to be said of this, if it may not be: NotFound where not even looking is allowed."""
    decision = decide(grants, needed, target)
    if decision.allowed:
        return None
    if not decide(grants, "viewer", target).allowed:
        return NotFound(f"there is no pipeline {target.pipeline!r}", hint="khantui pipelines lists them")
    return refused(who, what, decision, target)


def in_use(what: str, users: Sequence[str], *, hint: str) -> Conflict:
    """The error for deleting what others need: it names some of them."""
    more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
    return Conflict(f"{what} is used by {', '.join(users[:_NAMED])}{more}", hint=hint)


def refused(who: Identity, what: str, decision: Decision, target: Target | None, *, most: bool = False) -> NotAllowed:
    """The error for a decision: on a pipeline, or on all of them; or of the `most` that they have on anything."""
    has = "no role" if decision.role == "anyone" else f"{'at most ' if most else ''}the role {decision.role}"
    where = "" if most else f" on {target.pipeline}" if target is not None else " for all pipelines"
    given = f" --pipelines {target.pipeline}" if target is not None else ""
    return NotAllowed(
        f"{what} is for the role {decision.needed} and above; {who.name} has {has}{where}",
        hint="khantui auth explain says why; an administrator gives roles:"
        f" khantui auth bind {who.principal.subject} {decision.needed}{given}",
    )
