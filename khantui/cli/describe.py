"""Pipelines and their versions, described for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from khantui.cli.session import Session
from khantui.render.moments import ago
from khantui.render.plan import plan_lines
from khantui.render.rows import run_columns
from khantui.render.table import table
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import PipelineView, VersionView


def pipeline_lines(session: Session, pipeline: PipelineView) -> Iterator[str]:
    """What a pipeline is, how parallel, and how its newest runs went."""
    yield from _facts(
        {
            pipeline.name: pipeline.description,
            "version": f"v{pipeline.version}, {ago(pipeline.updated, session.now)}"
            + (f" by {pipeline.updated_by}" if pipeline.updated_by else ""),
            "owner": pipeline.owner,
            "labels": ", ".join(f"{k}={v}" for k, v in pipeline.labels.items()),
            "schedules": ", ".join(pipeline.schedules),
        }
    )
    yield from _document(session.client.version(pipeline.name, pipeline.version))
    if pipeline.last:
        yield ""
        yield from table(
            pipeline.last,
            run_columns(session.now),
            space=session.space,
            colour=session.colour,
        )


def version_lines(session: Session, version: VersionView) -> Iterator[str]:
    """What one version is."""
    yield from _facts(
        {
            f"{version.pipeline} v{version.version}": "current" if version.current else "",
            "applied": ago(version.created, session.now) + (f" by {version.created_by}" if version.created_by else ""),
            "message": version.message,
            "uses": ", ".join(f"{k} = {v}" for k, v in version.pins.items()),
        }
    )
    yield from _document(version)


def _document(version: VersionView) -> Iterator[str]:
    """Parameters, code and plan, as far as the version tells."""
    if isinstance(version.document, str):
        document: dict[str, Any] = json.loads(version.document)
        for name, parameter in document.get("parameters", {}).items():
            default = parameter.get("default")
            choices = ", ".join(map(str, parameter.get("choices", ())))
            yield "  parameter  " + visible(
                f"{name}{' (required)' if default is None else f' = {default}'}{f' of {choices}' if choices else ''}"
            )
    if isinstance(version.code, dict) and version.code:
        yield "  code       " + visible(", ".join(version.code))
    if isinstance(version.plan, dict):
        yield ""
        yield from plan_lines(version.plan)


def _facts(facts: dict[str, str]) -> Iterator[str]:
    for number, (key, value) in enumerate(facts.items()):
        if number == 0:
            yield visible(f"{key}  {value}".rstrip())
        elif value:
            yield f"  {key:<10} {visible(value)}"
