"""The OpenAPI document, from the table of operations and the structs that cross HTTP."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from backend import __version__
from backend.api.operations import OPERATIONS, Operation
from backend.api.wire import API, Problem


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds = [t for o in OPERATIONS for t in (o.body, o.answer, o.items) if t is not None and t is not datetime]
    _, components = msgspec.json.schema_components([*dict.fromkeys(kinds), Problem], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(API + operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Khantui", "version": __version__, "description": "Pipelines, runs, logs and schedules."},
        "paths": paths,
        "components": {"schemas": components},
    }


_REF = "#/components/schemas/{name}"


def _described(operation: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in operation.query.items()
    ]
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content = {operation.media: {"schema": _answer(operation)}}
    elif operation.media != "application/json":
        content = {operation.media: {}}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "x-role": operation.role,
        "x-on": operation.on,
        "parameters": parameters,
        "responses": {
            str(operation.status): {"description": "Done", **({"content": content} if content else {})},
            "default": {
                "description": "A problem",
                "content": {"application/problem+json": {"schema": _reference(Problem)}},
            },
        },
    }
    if operation.takes:
        described["requestBody"] = {"content": {operation.takes: {}}}
    if operation.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": _reference(operation.body)}}}
    return described


def _answer(operation: Operation) -> dict[str, Any]:
    page = _reference(operation.answer)
    if operation.items is None:
        return page
    item = {"type": "string", "format": "date-time"} if operation.items is datetime else _reference(operation.items)
    return {"allOf": [page], "properties": {"items": {"type": "array", "items": item}}}


def _reference(kind: Any) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
