"""Lint: everything that is wrong with a document, or looks wrong, and how parallel it is. Never raises."""

from __future__ import annotations

from itertools import islice
from typing import Any

import backend.spec.rules.access
import backend.spec.rules.artifacts
import backend.spec.rules.code
import backend.spec.rules.environment
import backend.spec.rules.kubernetes
import backend.spec.rules.stage_rules  # noqa: F401  (importing registers the rules)
from backend.spec.finding import Finding, Severity
from backend.spec.graph import Plan, plan
from backend.spec.model import Pipeline
from backend.spec.parse import Parsed, parse
from backend.spec.rules.registry import CODES, RULES, Other, Surroundings
from backend.spec.uses import take

__all__ = ["CODES", "Other", "Report", "Surroundings", "lint"]


MOST = 100  # findings of one rule: who has mended those asks again


class Report:
    """What lint has to say. `plan` is there if the document has no errors."""

    def __init__(self, pipeline: Pipeline | None, findings: list[Finding], the_plan: Plan | None) -> None:
        self.pipeline = pipeline
        self.findings = findings
        self.plan = the_plan

    @property
    def ok(self) -> bool:
        """Whether there are no errors; warnings there may be."""
        return not any(f.severity is Severity.ERROR for f in self.findings)

    def summary(self) -> dict[str, Any] | None:
        """How parallel it is: levels, width (of the widest level), critical path."""
        if self.plan is None:
            return None
        return {
            "stages": len(self.plan.instances),
            "levels": [list(level) for level in self.plan.levels],
            "width": self.plan.width,
            "critical_path": list(self.plan.critical_path),
        }


def lint(text: str, *, file: str = "", surroundings: Surroundings | None = None) -> Report:
    """Look a document over, with what is known of its surroundings."""
    around = surroundings or Surroundings()
    parsed = parse(text)
    pipeline = parsed.pipeline
    if pipeline is not None:
        whole = with_uses(pipeline, around)
        _apply(parsed, whole, around)
    findings = _sorted(parsed, file)
    good = not any(f.severity is Severity.ERROR for f in findings)
    return Report(pipeline, findings, plan(whole) if pipeline is not None and good else None)


def with_uses(pipeline: Pipeline, around: Surroundings) -> Pipeline:
    """The pipeline with what its `uses` stand for, as far as the other pipelines are known."""
    from msgspec.structs import replace

    stages = dict(pipeline.stages)
    for name, stage in stages.items():
        where, _, other = stage.uses.partition("/")
        known = (around.others or {}).get(where)
        if known and other in known.stages:
            stages[name] = take(stage, known.stages[other])
    return replace(pipeline, stages=stages)


def _apply(parsed: Parsed, pipeline: Pipeline, around: Surroundings) -> None:
    for rule in RULES:
        for remark in islice(rule(pipeline, around), MOST):
            parsed.report(
                remark.code, remark.path, remark.message, remark.suggestion, key=remark.key, severity=remark.severity
            )


def _sorted(parsed: Parsed, file: str) -> list[Finding]:
    from msgspec.structs import replace

    unique = dict.fromkeys(replace(f, file=file) for f in parsed.findings)
    return sorted(unique, key=lambda f: (f.line, f.column, f.code))
