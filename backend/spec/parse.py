"""From text to a pipeline: syntax, then the schema, then values. Never raises: what is wrong comes as findings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from backend.spec import quantity
from backend.spec.finding import Finding, Position, Severity
from backend.spec.model import (
    Concurrency,
    Input,
    Intermediate,
    Output,
    Parameter,
    Pipeline,
    Placement,
    Resources,
    Retention,
    Retries,
    Stage,
    Toleration,
)
from backend.spec.reader import Path, Reader, show
from backend.spec.schema import violations

T = TypeVar("T")


class Parsed:
    """What became of a text: the pipeline if it could be made, the findings, and where things stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pipeline: Pipeline | None = None
        self._reader = Reader(text)
        self.findings: list[Finding] = list(self._reader.findings)
        if self._reader.whole:
            self._check(self._reader.value)

    def _check(self, value: Any) -> None:
        if not isinstance(value, dict):
            self.report("wrong-type", (), "the document must be an object {…}")
            return
        bad = False
        for found in violations(value):
            bad = True
            self.report(found.code, found.path, found.message, found.suggestion, key=found.key)
        if not bad:
            pipeline = _Maker(self.report).pipeline(value)
            if not any(f.severity is Severity.ERROR and f.code in _VALUES for f in self.findings):
                self.pipeline = pipeline

    def place(self, path: Path, *, key: bool = False) -> tuple[Path, Position]:
        """What the document has at a path, and where it stands: the value, or its key.

        Lists of artifacts are named by artifact in rules, and by index in documents. A path that is not there (a
        default, something of a used stage) stands for its nearest parent.
        """
        reader = self._reader
        while path and path not in reader.values:
            path = self._listed(path) or path[:-1]
        offset = reader.keys.get(path) if key else None
        return path, reader.position(reader.values.get(path, 0) if offset is None else offset)

    def _listed(self, path: Path) -> Path | None:
        found = self._reader.value
        for part in path[:-1]:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return (*path[:-1], found.index(path[-1])) if isinstance(found, list) and path[-1] in found else None

    def report(
        self,
        code: str,
        path: Path,
        message: str,
        suggestion: str = "",
        *,
        key: bool = False,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a finding at a path."""
        there, place = self.place(path, key=key)
        self.findings.append(Finding(code, severity, show(there), place.line, place.column, message, suggestion))


_VALUES = frozenset(("bad-duration", "bad-quantity", "wrong-type"))


def parse(text: str) -> Parsed:
    """Read a document. `pipeline` is None if it has mistakes that leave no sense in it."""
    return Parsed(text)


def read_stored(text: str) -> Pipeline | None:
    """The pipeline in a document that was found good when it was stored: as `parse` has it, in a fraction of the time.

    It asks neither where things stand nor what the schema says, unless the document turns out not to be good after all.
    """
    try:
        return _Maker(_refuse).pipeline(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return parse(text).pipeline


def _refuse(_: str, __: Path, message: str, ___: str) -> None:
    raise ValueError(message)


class _Maker:
    """Makes the values of a document that the schema has passed."""

    def __init__(self, report: Callable[[str, Path, str, str], None]) -> None:
        """`report` is told of values that cannot be read: their code, path, what is wrong, and a suggestion."""
        self._report = report

    def pipeline(self, raw: dict[str, Any]) -> Pipeline:
        concurrency = raw.get("concurrency", {})
        return Pipeline(
            name=raw["name"],
            description=raw.get("description", ""),
            owner=raw.get("owner", ""),
            labels=raw.get("labels", {}),
            parameters={n: self._parameter(p) for n, p in raw.get("parameters", {}).items()},
            environment={n: _text(v) for n, v in raw.get("environment", {}).items()},
            service_account=raw.get("service_account", "none"),
            code=tuple(raw.get("code", ())),
            inputs={n: Input(uri=i.get("uri", ""), from_=i.get("from", "")) for n, i in raw.get("inputs", {}).items()},
            intermediates={
                n: Intermediate(self._duration(i, "keep", ("intermediates", n)))
                for n, i in raw.get("intermediates", {}).items()
            },
            outputs={
                n: Output(o.get("uri", ""), self._duration(o, "keep", ("outputs", n)))
                for n, o in raw.get("outputs", {}).items()
            },
            stages={n: self._stage(s, ("stages", n)) for n, s in raw["stages"].items()},
            concurrency=Concurrency(_whole(concurrency.get("limit")), concurrency.get("when_full", "queue")),
            timeout=self._duration(raw, "timeout", ()),
            kubernetes=self._placement(raw.get("kubernetes", {}), ("kubernetes",)),
            notify={event: tuple(names) for event, names in raw.get("notify", {}).items()},
            cache=raw.get("cache", False),
            retention=self._retention(raw["retention"]) if "retention" in raw else None,
        )

    def _retention(self, raw: dict[str, Any]) -> Retention:
        return Retention(_whole(raw.get("runs")), self._duration(raw, "age", ("retention",)))

    def _parameter(self, raw: dict[str, Any]) -> Parameter:
        default = _text(raw["default"]) if "default" in raw else None
        return Parameter(default, tuple(map(_text, raw.get("choices", ()))), raw.get("description", ""))

    def _stage(self, raw: dict[str, Any], path: Path) -> Stage:
        retries = raw.get("retries", {})
        here = (*path, "retries")
        limits = raw.get("resources", {})
        made = Retries(
            limit=_whole(retries.get("limit")) or 0,
            delay=self._duration(retries, "delay", here) or 0.0,
            backoff=float(retries.get("backoff", 1)),
        )
        longest = self._duration(retries, "max_delay", here)
        return Stage(
            image=raw.get("image", ""),
            run=tuple(raw.get("run", ())),
            script=raw.get("script", ""),
            inputs=_artifacts(raw.get("inputs", {})),
            outputs=_artifacts(raw.get("outputs", {})),
            after=tuple(raw.get("after", ())),
            each={n: tuple(map(_text, values)) for n, values in raw.get("each", {}).items()},
            retries=made if longest is None else replace(made, max_delay=longest),
            timeout=self._duration(raw, "timeout", path),
            resources=Resources(
                self._quantity(limits, "cpu", quantity.cpu, (*path, "resources")),
                self._quantity(limits, "memory", quantity.memory, (*path, "resources")),
            ),
            kubernetes=self._placement(raw.get("kubernetes", {}), (*path, "kubernetes")),
            uses=raw.get("uses", ""),
            cache=raw.get("cache"),
            description=raw.get("description", ""),
        )

    def _placement(self, raw: dict[str, Any], path: Path) -> Placement:
        return Placement(
            node_selector=raw.get("node_selector", {}),
            tolerations=tuple(
                self._toleration(t, (*path, "tolerations", i)) for i, t in enumerate(raw.get("tolerations", ()))
            ),
            priority_class=raw.get("priority_class", ""),
            image_pull_policy=raw.get("image_pull_policy", ""),
            image_pull_secrets=tuple(raw.get("image_pull_secrets", ())),
            ephemeral_storage=self._quantity(raw, "ephemeral_storage", quantity.memory, path),
            devices={name: int(count) for name, count in raw.get("devices", {}).items()},
            labels=raw.get("labels", {}),
            annotations=raw.get("annotations", {}),
        )

    def _toleration(self, raw: dict[str, Any], path: Path) -> Toleration:
        return Toleration(
            key=raw.get("key", ""),
            operator=raw.get("operator", "Equal" if "value" in raw else "Exists"),
            value=raw.get("value", ""),
            effect=raw.get("effect", ""),
            seconds=self._duration(raw, "for", path),
        )

    def _duration(self, raw: dict[str, Any], key: str, path: Path) -> float | None:
        return self._read(raw, key, quantity.duration, path, "bad-duration")

    def _quantity(self, raw: dict[str, Any], key: str, read: Callable[[str], T], path: Path) -> T | None:
        return self._read(raw, key, read, path, "bad-quantity")

    def _read(self, raw: dict[str, Any], key: str, read: Callable[[str], T], path: Path, code: str) -> T | None:
        if key not in raw:
            return None
        try:
            return read(_text(raw[key]))
        except ValueError as error:
            message, _, suggestion = str(error).rpartition(": ")
            self._report(code, (*path, key), message, suggestion)
            return None


def _text(value: Any) -> str:
    """A scalar as a stage sees it in its environment."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _whole(number: float | None) -> int | None:
    """A whole number, which JSON may write as 2.0."""
    return None if number is None else int(number)


def _artifacts(raw: Any) -> dict[str, str]:
    return dict(raw) if isinstance(raw, dict) else {name: name for name in raw}
