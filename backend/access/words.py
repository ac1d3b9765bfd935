"""Decisions in words."""

from __future__ import annotations

from backend.access.decide import Decision, Grant
from backend.access.model import Principal, Target


def because(grant: Grant) -> str:
    """Why a role is held: the binding, and by which subject it holds."""
    binding = grant.binding
    by = f", binding {binding.id}" if grant.through == binding.subject else ""
    return f"{binding.role} of {binding.where()}, as {grant.through}{by}"


def said(who: Principal, verb: str, target: Target | None, decision: Decision) -> str:
    """An answer in one sentence, with its reason."""
    on = target.pipeline if target is not None else "all pipelines"
    if decision.allowed:
        why = because(decision.because) if decision.because else "whoever is known may"
        return f"{who.name} may {verb} {on}: {why}"
    takes = f"it takes the role {decision.needed}"
    if decision.role != "anyone" and decision.because is not None:
        return f"{who.name} may not {verb} {on}: {takes}, and theirs is {because(decision.because)}"
    if decision.because is not None:
        return f"{who.name} may not {verb} {on}: {takes}, and what they have is elsewhere: {because(decision.because)}"
    return f"{who.name} may not {verb} {on}: {takes}, and nothing is bound to them"
