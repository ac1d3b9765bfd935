"""The one place that decides whether somebody may do something. Pure: from bindings to an answer with its reason."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from backend.access.model import EVERYONE, ROLES, Binding, Principal, Role, Target


class Grant(Struct, frozen=True):
    """A binding, and why it holds for somebody."""

    binding: Binding
    through: str  # the subject by which it holds; for an owner and a token, words


class Decision(Struct, frozen=True):
    """An answer. `because` is what allows it, or what comes nearest."""

    allowed: bool
    role: Role  # what they have there
    needed: Role
    because: Grant | None


OWNER = Binding("owner", "admin")


def grants_of(who: Principal, bindings: Iterable[Binding], own: Binding | None = None) -> tuple[Grant, ...]:
    """All that holds for somebody, the strongest first; `own` is what a token may by itself.

    What is bound to everyone is not for tokens: they may do what they were made for.
    """
    if who.owner:
        return (Grant(OWNER, "the owner of this daemon"),)
    found = [Grant(own, "what the token was made for")] if own is not None else []
    subjects = {who.subject, *(f"group:{g}" for g in who.groups)} if who.kind == "user" else {who.subject}
    if who.kind == "user":
        subjects.add(EVERYONE)
    found += [Grant(b, b.subject) for b in bindings if b.subject in subjects]
    return tuple(sorted(found, key=lambda g: (-ROLES.index(g.binding.role), not g.binding.everywhere, g.binding.id)))


def decide(grants: tuple[Grant, ...], needed: Role, target: Target | None) -> Decision:
    """Whether `grants` (the strongest first) give the role that is needed on a pipeline; without one, everywhere."""
    for grant in grants:
        if grant.binding.everywhere if target is None else grant.binding.covers(target):
            return Decision(_reaches(grant.binding.role, needed), grant.binding.role, needed, grant)
    return Decision(needed == "anyone", "anyone", needed, grants[0] if grants else None)


def decide_anywhere(grants: tuple[Grant, ...], needed: Role) -> Decision:
    """Whether the role is given for anything at all: what then is shown or done is decided one by one."""
    if not grants:
        return Decision(needed == "anyone", "anyone", needed, None)
    return Decision(_reaches(grants[0].binding.role, needed), grants[0].binding.role, needed, grants[0])


def _reaches(role: Role, needed: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(needed)
