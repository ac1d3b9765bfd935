"""The table of operations: routing, the OpenAPI document and permissions come from this one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from backend.access.model import ROLES, Role

if TYPE_CHECKING:
    from starlette.responses import Response

    from backend.api.call import Call

__all__ = ["OPERATIONS", "PAGING", "ROLES", "Handler", "On", "Operation", "Role", "operation"]

# On what a caller must have the operation's role. The guard sees to the first five before the handler begins:
#   all         everything: the role for all pipelines
#   pipeline    the pipeline that the path names; or that of the run, schedule or backfill which it names
#   any         anything: it shows nothing of a pipeline
# and for these, where the role must be had on anything, the handler to the rest (`Call.sees`, `Call.permit`):
#   list        what is shown is chosen by what the caller may see
#   body        the pipeline that the body speaks of
On = Literal["all", "pipeline", "run", "schedule", "backfill", "any", "list", "body"]
_NAMED: dict[str, On] = {
    "/pipelines/{name}": "pipeline",
    "/runs/{run}": "run",
    "/schedules/{name}": "schedule",
    "/backfills/{backfill}": "backfill",
}
Handler = Callable[["Call"], Awaitable["Response"]]


class Operation(Struct, frozen=True):
    """One operation. Types are None where there is no body, or no JSON answer."""

    id: str
    method: str
    path: str
    summary: str
    handler: Handler
    body: Any = None
    answer: Any = None
    items: Any = None  # what a Page has
    query: dict[str, str] = {}
    status: int = 200
    role: Role = "viewer"
    media: str = "application/json"
    takes: str = ""  # the media type of a body that is no struct
    on: On = "all"


OPERATIONS: list[Operation] = []

PAGING = {
    "limit": "how many at most (50; 1000 at most)",
    "cursor": "where to go on, from the page before",
}


def operation(
    method: str,
    path: str,
    *,
    body: Any = None,
    answer: Any = None,
    items: Any = None,
    query: dict[str, str] | None = None,
    status: int = 200,
    role: Role | None = None,
    media: str = "application/json",
    takes: str = "",
    on: On | None = None,
) -> Callable[[Handler], Handler]:
    """Registers a handler. What only reads is for viewers, unless said otherwise; what writes must say for whom.

    On what the role is needed follows from the path where it names a pipeline, run, schedule or backfill; else it is
    everything, unless said otherwise.
    """

    def register(handler: Handler) -> Handler:
        name = getattr(handler, "__name__", "")
        summary = (handler.__doc__ or "").strip().split("\n")[0].rstrip(".")
        OPERATIONS.append(
            Operation(
                name,
                method,
                path,
                summary,
                handler,
                body,
                answer,
                items,
                query or {},
                status,
                role or "viewer",
                media,
                takes,
                on or _on(path),
            )
        )
        return handler

    return register


def _on(path: str) -> On:
    return next((on for start, on in _NAMED.items() if path == start or path.startswith(f"{start}/")), "all")
