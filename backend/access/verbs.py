"""The words for what people do, and the role that each takes."""

from __future__ import annotations

from backend.access.model import Role
from backend.errors import InvalidRequest

# of a pipeline, its runs, schedules and backfills
ON_PIPELINES: dict[str, Role] = {
    "view": "viewer",
    "run": "operator",
    "cancel": "operator",
    "retry": "operator",
    "pause": "operator",
    "resume": "operator",
    "backfill": "operator",
    "apply": "editor",
    "edit": "editor",
    "rollback": "editor",
    "schedule": "editor",
    "delete": "editor",
}
# of the whole
ON_ALL: dict[str, Role] = {"administer": "admin", "bind": "admin", "audit": "admin"}


def role_for(verb: str) -> Role:
    """The role that a verb takes. Raises InvalidRequest for one that there is not."""
    found = ON_PIPELINES.get(verb) or ON_ALL.get(verb)
    if found is None:
        known = ", ".join([*ON_PIPELINES, *ON_ALL])
        raise InvalidRequest(f"there is no verb {verb!r}", hint=f"one of {known}")
    return found
