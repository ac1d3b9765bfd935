"""Errors as RFC 9457 problem details. What was not foreseen is logged, and never shown to the client."""

from __future__ import annotations

import logging
import secrets

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from backend.api.wire import Problem
from backend.errors import InvalidDocument, KhanError
from backend.room import no_room
from backend.spec.finding import Finding

log = logging.getLogger(__name__)

MEDIA = "application/problem+json"


def response(problem: Problem) -> Response:
    """The answer that carries a problem."""
    headers = {"WWW-Authenticate": 'Bearer realm="khantui"'} if problem.status == 401 else None
    return Response(msgspec.json.encode(problem), problem.status, headers, media_type=MEDIA)


def of(error: Exception, path: str = "") -> Problem:
    """The problem that stands for an error."""
    if isinstance(error, InvalidDocument):
        findings = tuple(f for f in error.findings if isinstance(f, Finding))
        return Problem(error.message, error.status, error.code, hint=error.hint, instance=path, findings=findings)
    if isinstance(error, KhanError):
        return Problem(error.message, error.status, error.code, hint=error.hint, instance=path)
    if isinstance(error, msgspec.ValidationError):
        return Problem(f"the request's body does not fit: {error}", 422, "invalid-request", instance=path)
    if isinstance(error, msgspec.DecodeError):
        return Problem(f"the request's body is no JSON: {error}", 400, "invalid-request", instance=path)
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "invalid-request")
        return Problem(str(error.detail), error.status_code, code, instance=path)
    if no_room(error):
        why = "the disk of the data folder is full: nothing was stored"
        return Problem(why, 507, "disk-full", hint="make room on the daemon's machine, and try again", instance=path)
    incident = secrets.token_hex(4)
    log.error("incident %s at %s", incident, path, exc_info=error)
    return Problem("something unexpected happened", 500, "internal", hint=f"incident {incident} in the daemon's log")


async def handle(request: Request, error: Exception) -> Response:
    """Starlette's hook for errors outside of the operations: unknown paths and methods."""
    return response(of(error, request.url.path))
