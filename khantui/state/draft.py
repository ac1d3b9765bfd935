"""A document that is being written: changed field by field or as text, and looked over after each change. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from backend.spec.finding import Finding, Severity
from backend.spec.interpolate import Context, InterpolationError, fill
from backend.spec.lint import Report, Surroundings, lint

Path = tuple[str, ...]
LINE = 118  # columns
NEW = {
    "description": "",
    "environment": {"DAY": "${date}"},
    "outputs": {"report": {}},
    "stages": {
        "report": {
            "image": "shell",
            "script": 'echo "a report for $DAY" > "$KHAN_OUTPUT_report"\n',
            "outputs": ["report"],
        }
    },
}


class Draft:
    """A document as text, and as a value where the text is JSON."""

    def __init__(self, text: str, surroundings: Surroundings | None = None) -> None:
        self._around = surroundings or Surroundings()
        self.put_text(text)

    @classmethod
    def new(cls, name: str, surroundings: Surroundings | None = None) -> Draft:
        """The beginning of a pipeline."""
        return cls(_written({"name": name, **NEW}), surroundings)

    def put_text(self, text: str) -> None:
        """Another text."""
        self.text = text
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        self.value: dict[str, Any] | None = value if isinstance(value, dict) else None
        self.report: Report = lint(text, surroundings=self._around)

    @property
    def name(self) -> str:
        """The pipeline's name; empty where there is none."""
        name = (self.value or {}).get("name", "")
        return name if isinstance(name, str) else ""

    def same_as(self, text: str) -> bool:
        """Whether another text says the same, however it is laid out."""
        if self.text == text:
            return True
        try:
            return self.value is not None and bool(json.loads(text) == self.value)
        except (ValueError, RecursionError):
            return False

    # fields

    def get(self, path: Path, default: Any = None) -> Any:
        """The value at a path."""
        found: Any = self.value
        for step in path:
            if not isinstance(found, dict) or step not in found:
                return default
            found = found[step]
        return found

    def set(self, path: Path, value: Any) -> None:
        """Write a value; None takes the key away."""
        if self.value is None:
            return
        holder = self.value
        for step in path[:-1]:
            below = holder.get(step)
            if not isinstance(below, dict):
                below = holder[step] = {}
            holder = below
        if value is None:
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = value
        self._changed()

    def _changed(self) -> None:
        self.put_text(_written(self.value or {}))

    # stages

    @property
    def stages(self) -> list[str]:
        """The names of the stages."""
        found = self.get(("stages",), {})
        return list(found) if isinstance(found, dict) else []

    def add_stage(self, image: str = "shell", script: str = "") -> str:
        """A new stage: its name."""
        number = next(n for n in range(1, 10_000) if f"stage-{n}" not in self.stages)
        name = f"stage-{number}"
        self.set(("stages", name), {"image": image, "script": script})
        return name

    def remove_stage(self, name: str) -> None:
        """Take a stage away."""
        self.set(("stages", name), None)

    def rename_stage(self, old: str, new: str) -> bool:
        """Give a stage another name, also where others name it: whether that could be."""
        if self.value is None or old == new or not new or new in self.stages:
            return False
        stages = self.get(("stages",), {})
        self.value["stages"] = {new if name == old else name: stage for name, stage in stages.items()}
        for stage in self.value["stages"].values():
            if isinstance(stage, dict) and isinstance(stage.get("after"), list):
                stage["after"] = [new if name == old else name for name in stage["after"]]
        self._changed()
        return True

    # artifacts

    def readable(self, stage: str) -> list[str]:
        """The artifacts that a stage could read: inputs, and what other stages write."""
        found = list(self.get(("inputs",), {}) or {})
        for other in self.stages:
            if other != stage:
                found += [a for a in self._list(("stages", other, "outputs")) if a not in found]
        return found

    def taken(self) -> list[str]:
        """The outputs of other pipelines (`pipeline/output`) that the inputs name."""
        inputs = self.get(("inputs",), {}) or {}
        return [str(i["from"]) for i in inputs.values() if isinstance(i, dict) and isinstance(i.get("from"), str)]

    def take(self, outputs: Sequence[str], offered: Sequence[str]) -> None:
        """Have an input for each of these outputs of other pipelines, and none for others that were offered."""
        inputs = dict(self.get(("inputs",), {}) or {})
        for name, said in list(inputs.items()):
            if isinstance(said, dict) and said.get("from") in offered and said["from"] not in outputs:
                del inputs[name]
        for output in outputs:
            if output not in self.taken():
                pipeline, _, plain = output.partition("/")
                free = (n for n in (plain, f"{pipeline}-{plain}", *(f"{plain}-{i}" for i in range(2, 99))))
                inputs[next(n for n in free if n not in inputs)] = {"from": output}
        self.set(("inputs",), inputs or None)

    def writes(self, stage: str, section: str) -> list[str]:
        """What a stage writes of the `outputs` or of the `intermediates`."""
        results = self.get(("outputs",), {}) or {}
        return [a for a in self._list(("stages", stage, "outputs")) if (a in results) is (section == "outputs")]

    def set_writes(self, stage: str, section: str, names: Sequence[str]) -> None:
        """What a stage writes of one kind; what nobody writes or reads any more is not declared any more."""
        other = "intermediates" if section == "outputs" else "outputs"
        kept = [a for a in self.writes(stage, other) if a not in names]
        for name in names:
            if self.get((section, name)) is None:
                moved = self.get((other, name))
                self.set((section, name), {k: v for k, v in (moved or {}).items() if section == "outputs"})
            self.set((other, name), None)
        self.set(("stages", stage, "outputs"), [*kept, *dict.fromkeys(names)] or None)
        used = {a for s in self.stages for a in (*self._list(("stages", s, "outputs")),)}
        for kind in ("intermediates", "outputs"):
            for name in list(self.get((kind,), {}) or {}):
                if name not in used:
                    self.set((kind, name), None)
            if not self.get((kind,)):
                self.set((kind,), None)

    def _list(self, path: Path) -> list[str]:
        found = self.get(path, [])
        return [str(item) for item in found] if isinstance(found, list) else []

    # what follows

    def findings(self, path: Path) -> list[Finding]:
        """What lint says of a field, or of something in it."""
        prefix = "$" + "".join(f".{step}" for step in path)
        return [f for f in self.report.findings if f.path == prefix or f.path.startswith((f"{prefix}.", f"{prefix}["))]

    @property
    def errors(self) -> int:
        """How many findings keep it from being stored."""
        return sum(f.severity is Severity.ERROR for f in self.report.findings)

    def environment(self, now: datetime) -> list[tuple[str, str, str]]:
        """Each variable with what it is today, or with what is wrong with it: (name, value, problem)."""
        declared = self.get(("environment",), {}) or {}
        if not isinstance(declared, dict):
            return []
        texts = {str(k): str(v) for k, v in declared.items()}
        given = self.get(("parameters",), {}) or {}
        parameters = {str(k): str((v or {}).get("default", "")) for k, v in given.items()}
        context = Context(now, "01hzy0example-000000", 1, self.name, 1, "", parameters, "STAGE")
        found = []
        for name, text in texts.items():
            try:
                found.append((name, fill(text, context, texts), ""))
            except (InterpolationError, RecursionError) as error:
                found.append((name, text, str(error)))
        return found


def pairs_to_text(pairs: Mapping[str, Any]) -> str:
    """`NAME=value` lines."""
    return "\n".join(f"{k}={v}" for k, v in pairs.items())


def text_to_pairs(text: str) -> dict[str, str]:
    """What `NAME=value` lines say; empty ones say nothing."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if name.strip() and (sign or value):
            found[name.strip()] = value.strip()
    return found


def inputs_to_text(inputs: Mapping[str, Any]) -> str:
    """`name=file:///…` or `name=pipeline/output` lines."""
    return "\n".join(f"{k}={v.get('uri') or v.get('from') or ''}" for k, v in inputs.items() if isinstance(v, dict))


def text_to_inputs(text: str) -> dict[str, dict[str, str]]:
    """What such lines say."""
    return {k: {"uri": v} if "://" in v else {"from": v} for k, v in text_to_pairs(text).items()}


def names(text: str) -> list[str]:
    """Names, with commas or spaces between them."""
    return [name for name in text.replace(",", " ").split() if name]


def argv_to_text(argv: Iterable[str]) -> str:
    """A command as one would type it."""
    return shlex.join(argv)


def text_to_argv(text: str) -> list[str]:
    """What was typed, as a command; an open quote is taken as it stands."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _written(value: Mapping[str, Any]) -> str:
    """JSON as a person lays it out: what fits on a line is on one."""
    return _laid_out(value, 0, 0) + "\n"


def _laid_out(value: Any, indent: int, before: int, *, open: int = 1) -> str:
    """`open` is how many levels are laid out line by line even where they would fit: a stage is easier to read so."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or (not open and indent + before + len(short) <= LINE):
        return short
    inner = " " * (indent + 2)
    if isinstance(value, list):
        return (
            "[\n" + ",\n".join(inner + _laid_out(v, indent + 2, 0, open=0) for v in value) + "\n" + " " * indent + "]"
        )
    lines = []
    for key, each in value.items():
        name = json.dumps(key, ensure_ascii=False) + ": "
        below = 2 if key == "stages" and indent == 0 else max(0, open - 1)
        lines.append(f"{inner}{name}{_laid_out(each, indent + 2, len(name), open=below)}")
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
