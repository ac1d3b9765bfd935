"""The application: every operation behind one door, where callers are identified, counted and told what went wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.access.model import Principal
from backend.api import (
    access,
    accounts,
    artifacts,
    audit,
    backfills,
    calendars,
    channels,
    difference,
    events,
    forecast,
    images,
    journal,
    logs,
    merged_logs,
    openapi,
    pipelines,
    problems,
    results,
    runs,
    schedules,
    secrets,
    system,
)
from backend.api.call import Answered, Call, answer
from backend.api.endless import ended_in_time
from backend.api.guard import guard
from backend.api.identity import Identity
from backend.api.operations import OPERATIONS, Handler, Operation
from backend.api.services import Services
from backend.api.wire import API
from backend.errors import InvalidRequest, NotAllowed, NotAuthenticated, StoreError, TooMany
from backend.store.records import AuditRecord

log = logging.getLogger(__name__)

# whatever a browser is shown of it is text: no page of ours, and none of whoever wrote an artifact
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}

# importing them registers their operations
MODULES = (
    access,
    accounts,
    artifacts,
    audit,
    backfills,
    calendars,
    channels,
    difference,
    events,
    forecast,
    images,
    logs,
    merged_logs,
    pipelines,
    results,
    runs,
    schedules,
    secrets,
    system,
)


def create_app(services: Services) -> Starlette:
    """The ASGI application."""

    async def described(call: Call) -> Response:
        """The OpenAPI document"""
        return answer(openapi.document())

    routes = [_route(services, API + o.path, o, checked=True) for o in OPERATIONS]
    outside: list[tuple[str, Handler]] = [
        ("/healthz", system.healthz),
        ("/readyz", system.readyz),
        ("/metrics", system.metrics),
        ("/openapi.json", described),
    ]
    for path, handler in outside:
        routes.append(_route(services, path, Operation(path[1:], "GET", path, "", handler, role="anyone", on="any")))
    return Starlette(routes=_gathered(routes), exception_handlers={HTTPException: problems.handle})


def create_probes(services: Services) -> Starlette:
    """What is told to whoever asks: whether the daemon lives, whether it is ready, and its metrics."""
    handlers: dict[str, Handler] = {
        "/healthz": system.healthz,
        "/readyz": system.readyz,
        "/metrics": system.metrics,
    }
    routes = []
    for path, handler in handlers.items():

        async def endpoint(request: Request, handler: Handler = handler, path: str = path) -> Response:
            host = request.client.host if request.client else ""
            return await handler(Call(request, services, Identity(Principal("probe"), host), path[1:]))

        routes.append(Route(path, endpoint, methods=["GET"]))
    return Starlette(routes=routes)


def _route(services: Services, path: str, operation: Operation, *, checked: bool = False) -> Route:
    """Every request comes through here: nothing is answered before it is known who asks, and that they may."""
    name = operation.id

    async def endpoint(request: Request) -> Response:
        began = time.perf_counter()
        call: Call | None = None
        try:
            if checked:
                _check(name, request, operation.query)
            who = await services.login.identify(request)
            if not who.principal.owner:
                services.rates.take(who.name)
            call = Call(request, services, who, name)
            await guard(call, operation)
            response = ended_in_time(call, operation, await operation.handler(call))
        except Answered as before:
            response = before.response
        except Exception as error:
            response = problems.response(problems.of(error, request.url.path))
            if isinstance(error, TooMany):
                response.headers["Retry-After"] = str(error.wait)
            if isinstance(error, NotAllowed | NotAuthenticated) or (call is not None and call.refused):
                await _note(services, request, name, call, response.status_code)
        for header, value in _HEADERS.items():
            response.headers.setdefault(header, value)
        if call is not None:
            response.headers["X-Request-Id"] = call.source.request
        services.metrics.requests.labels(name, str(response.status_code)).inc()
        services.metrics.seconds.labels(name).observe(time.perf_counter() - began)
        return response

    return Route(path, endpoint, methods=[operation.method], name=name)


async def _note(services: Services, request: Request, name: str, call: Call | None, status: int) -> None:
    """Write down what was refused; if it cannot be, it was refused all the same."""
    try:
        where = journal.source(request, None) if call is None else call.source
    except InvalidRequest:
        where = journal.Source("", "", "", "")
    record = AuditRecord(
        services.clock.now(),
        call.who.name if call is not None else "",
        name,
        "/".join(str(part)[:100] for part in request.path_params.values()),
        call.who.origin if call is not None else services.login.origin(request),
        {"status": status},
        where.proof,
        where.client,
        where.reason,
        where.request,
        "denied",
    )
    try:
        await services.refusals.note(record)
    except StoreError as error:
        log.warning("a refusal of %s to %s cannot be written down: %s", name, record.who or record.origin, error)


def _check(name: str, request: Request, query: Collection[str]) -> None:
    """A wrong name must not quietly mean nothing. Raises InvalidRequest."""
    for parameter in request.query_params:
        if parameter not in query:
            hint = f"parameters: {', '.join(query)}" if query else "it has none"
            raise InvalidRequest(f"{name} has no parameter {parameter!r}", hint=hint)


def _gathered(routes: list[Route]) -> list[Route]:
    """Routes of one path as one, so that a method that it does not have is answered 405, with those that it has."""
    paths: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {}
    for route in routes:
        for method in route.methods or ():
            if method != "HEAD" or route.methods == {"HEAD"}:
                paths.setdefault(route.path, {})[method] = route.endpoint
    gathered = []
    for path, endpoints in paths.items():

        async def dispatch(request: Request, endpoints=endpoints) -> Response:  # type: ignore[no-untyped-def]
            found = endpoints.get(request.method) or endpoints["GET"]
            return await found(request)  # type: ignore[no-any-return]

        gathered.append(Route(path, dispatch, methods=list(endpoints)))
    return gathered
