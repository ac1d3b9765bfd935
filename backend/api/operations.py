"""The table of operations: routing, the OpenAPI document and permissions come from this one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

from msgspec import Struct

if TYPE_CHECKING:
    from starlette.responses import Response

    from backend.api.call import Call

Role = Literal["anyone", "viewer", "operator", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
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
) -> Callable[[Handler], Handler]:
    """Registers a handler. What only reads is for viewers, unless said otherwise; what writes must say for whom."""

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
            )
        )
        return handler

    return register
