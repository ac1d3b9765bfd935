"""The filter language: words and conditions that add up. Pure.

learn  !inverse  state=failed  state!=running  pipeline~learn  age<2h  took>10m  version>=3  -l team=analytics
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from backend.api.wire import RunView
from backend.errors import InvalidRequest
from backend.run.state import Run
from backend.spec.quantity import duration

_CONDITION = re.compile(r"([a-z_]+)(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_NUMBERS = frozenset(("version", "round", "stages"))
_DURATIONS = frozenset(("age", "took"))

# what can be asked about a run, by the daemon and by the interface that keeps its list in step
RUN_FIELDS = frozenset(
    [
        *("id", "pipeline", "state", "version", "trigger", "schedule", "by", "message"),
        *("age", "took", "round", "stages", "late", "backfill"),
    ]
)


class Test(Struct, frozen=True):
    """One condition. `field` is empty for a word, which may be anywhere."""

    field: str
    sign: str
    value: str


def parse(text: str, fields: frozenset[str]) -> list[Test]:
    """The conditions of a filter. Raises InvalidRequest."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(f"the filter {text!r} has an open quote") from error
    tests: list[Test] = []
    words.reverse()
    while words:
        word = words.pop()
        if word == "-l":
            if not words or "=" not in (label := words.pop()):
                raise InvalidRequest("-l is followed by a label", hint="-l team=analytics")
            name, _, value = label.partition("=")
            tests.append(Test(f"label.{name}", "=", value))
        elif found := _CONDITION.fullmatch(word):
            value = found[3].removeprefix("v") if found[1] == "version" else found[3]  # as versions are shown
            tests.append(_checked(Test(found[1], found[2], value), fields))
        elif word.startswith("!") and len(word) > 1:
            tests.append(Test("", "!~", word[1:]))
        else:
            tests.append(Test("", "~", word))
    return tests


def _checked(test: Test, fields: frozenset[str]) -> Test:
    if test.field not in fields:
        raise InvalidRequest(
            f"there is no field {test.field!r} to filter by", hint=f"fields: {', '.join(sorted(fields))}"
        )
    if test.sign in ("<", ">", "<=", ">=") and test.field not in _NUMBERS | _DURATIONS:
        raise InvalidRequest(f"{test.field} cannot be compared with {test.sign}", hint="=, !=, ~ and !~ can")
    _amount(test)
    return test


def _amount(test: Test) -> float:
    """What a number or duration is compared with. Raises InvalidRequest."""
    try:
        if test.field in _DURATIONS:
            return duration(test.value)
        return float(test.value) if test.field in _NUMBERS and test.sign not in ("~", "!~") else 0.0
    except ValueError as error:
        raise InvalidRequest(f"in {test.field}{test.sign}{test.value}: {error}") from None


def matches(tests: list[Test], subject: Mapping[str, Any]) -> bool:
    """Whether all conditions hold of the subject. A field that is None fulfils no condition but a negative one."""
    return all(_holds(test, subject) for test in tests)


def _holds(test: Test, subject: Mapping[str, Any]) -> bool:
    if not test.field:
        found = any(test.value.lower() in str(v).lower() for k, v in subject.items() if k not in _DURATIONS and v)
        return found is (test.sign == "~")
    value = subject.get(test.field)
    if test.sign in ("!=", "!~"):
        return not _holds(Test(test.field, test.sign[1], test.value), subject)
    if value is None:
        return False
    if test.field in _NUMBERS | _DURATIONS and test.sign != "~":
        number, limit = float(value), _amount(test)
        return {"=": number == limit, "<": number < limit, ">": number > limit, "<=": number <= limit}.get(
            test.sign, number >= limit
        )
    if test.sign == "~":
        return test.value.lower() in str(value).lower()
    return str(value) in test.value.split(",")


def run_subject(run: Run | RunView, stages: int, now: datetime) -> dict[str, Any]:
    """What the conditions are held against: a run of so many stages, as of `now`."""
    end = run.ended or now
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "state": run.state.value,
        "version": run.version,
        "trigger": run.trigger.kind,
        "schedule": run.trigger.schedule,
        "by": run.trigger.by,
        "backfill": run.trigger.backfill,
        "message": run.message,
        "round": run.round,
        "stages": stages,
        "late": "yes" if run.late else "",
        "age": (now - run.created).total_seconds() if run.created else None,
        "took": (end - run.started).total_seconds() if run.started else None,
    }
