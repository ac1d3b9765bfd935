"""The JSON Schema of a document, and what it has to say, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_TYPES = {
    "object": "an object {…}",
    "array": "a list […]",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_NAMES = "names have a small letter first, then small letters, digits, - and _ (63 at most)"

_LABELS = "labels have small letters, digits, and between them . _ / and - (63 at most)"


class Violation(NamedTuple):
    """Where a document differs from the schema: `key` says that the place is the key, not its value."""

    code: str
    path: tuple[str | int, ...]
    message: str
    suggestion: str = ""
    key: bool = False


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a pipeline document."""
    text = (files("backend.spec") / "pipeline.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator, ValidationError  # slow to import; `khantui --help` does without
    from jsonschema.validators import extend

    def unique(_: Validator, wanted: bool, value: Any, __: Any) -> Iterator[ValidationError]:
        """Its own compares each with each where types are mixed."""
        if wanted and isinstance(value, list) and len({json.dumps(v, sort_keys=True) for v in value}) < len(value):
            yield ValidationError("an entry twice")

    validator: Validator = extend(Draft202012Validator, {"uniqueItems": unique})(schema())  # type: ignore[no-untyped-call]
    return validator


def violations(value: Any) -> Iterator[Violation]:
    """Everything in which `value` differs from the schema."""
    for error in _validator().iter_errors(value):
        yield from _said(error)


def _said(error: ValidationError) -> Iterator[Violation]:
    path = tuple(error.absolute_path)
    rule, wanted = str(error.validator), cast(Any, error.validator_value)
    instance = cast(Any, error.instance)
    if rule == "oneOf":  # the only one: artifacts as a list or an object
        inner = [e for e in error.context or () if e.validator != "type" or list(e.path)]
        if inner and isinstance(error.instance, list | dict):
            for each in inner:
                yield from _said(each)
        else:
            yield Violation("wrong-type", path, f"{_shown(error)}; it must be a list of artifacts", '["name", …]')
    elif "propertyNames" in error.absolute_schema_path:
        hint = _LABELS if path[-1:] == ("labels",) else _NAMES
        yield Violation("bad-name", (*path, instance), f"{instance!r} cannot be a name", hint, key=True)
    elif rule == "additionalProperties":
        yield from _unknown(error, path)
    elif rule == "required":
        for missing in (name for name in wanted if name not in instance):  # one error for each, that says not which
            yield Violation("missing-key", path, f'"{missing}" is missing', f'add "{missing}": …', key=True)
    elif rule == "type":
        kinds = " or ".join(_TYPES[k] for k in (wanted if isinstance(wanted, list) else [wanted]))
        yield Violation("wrong-type", path, f"{_shown(error)}; it must be {kinds}")
    elif rule == "pattern" and "/" in wanted:
        what = "pipeline/stage" if path and path[-1] == "uses" else "pipeline/output"
        yield Violation("bad-name", path, f"{error.instance!r} must be {what}")
    elif rule == "pattern":
        yield Violation("bad-name", path, f"{error.instance!r} cannot be a name", _NAMES)
    else:
        yield _bound(rule, error, path)


def _bound(rule: str, error: ValidationError, path: tuple[str | int, ...]) -> Violation:
    where = path[-1] if path else "the document"
    limit = cast(Any, error.validator_value)
    if rule == "enum":
        known = [str(word) for word in limit]
        close = difflib.get_close_matches(str(error.instance), known, 1)
        hint = f"did you mean {close[0]!r}?" if close else ""
        return Violation("bad-value", path, f"{_shown(error)}; it must be one of {', '.join(known)}", hint)
    words = {
        "minimum": f"must be {limit} or more",
        "minLength": "must not be empty",
        "maxLength": f"must not be longer than {limit} characters",
        "minItems": "must not be empty",
        "minProperties": "must not be empty",
        "maxProperties": f"must not have more than {limit} entries",
        "uniqueItems": "must not have an entry twice",
    }
    return Violation("bad-value", path, f"{where} {words.get(rule, error.message)}")


def _unknown(error: ValidationError, path: tuple[str | int, ...]) -> Iterator[Violation]:
    known = list(error.schema.get("properties", {})) if isinstance(error.schema, dict) else []
    for name in cast(Any, error.instance):
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            meant = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
            yield Violation("unknown-key", (*path, name), f"{name!r} is not known here", meant, key=True)


def _shown(error: ValidationError) -> str:
    value = error.instance
    text = json.dumps(value, ensure_ascii=False)
    kind = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    where = error.absolute_path[-1] if error.absolute_path else "the document"
    return f"{where} is {kind.get(type(value), 'null')} ({text[:40]}{'…' if len(text) > 40 else ''})"
