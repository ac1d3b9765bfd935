"""What we may do on a pipeline, decided as the daemon decides it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backend.access.decide import Decision, Grant, decide
from backend.access.model import Binding, Role, Target
from backend.api.wire import RoleView, WhoView


def on_pipeline(who: WhoView, needed: str, pipeline: str, labels: Mapping[str, str]) -> Decision:
    """Whether the roles that the daemon says we have are enough there."""
    role: Role = msgspec.convert(needed, Role)
    return decide(tuple(map(_grant, who.roles)), role, Target(pipeline, dict(labels)))


def _grant(role: RoleView) -> Grant:
    binding = {"subject": role.through, "role": role.role, "pipelines": role.pipelines, "labels": role.labels}
    return Grant(msgspec.convert(binding, Binding), role.through)
