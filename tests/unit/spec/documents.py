"""Documents for tests: a good one, and changes to it."""

from __future__ import annotations

import copy
import json
from typing import Any

GONE = object()  # a change that takes something away

GOOD: dict[str, Any] = {
    "name": "p",
    "intermediates": {"mid": {}},
    "outputs": {"out": {}},
    "stages": {
        "a": {"image": "shell", "script": "true", "outputs": ["mid"]},
        "b": {"image": "python", "run": ["python3", "-c", "pass"], "inputs": ["mid"], "outputs": ["out"]},
    },
}

Changes = dict[str, Any]  # "stages.a.image" -> value; a path that is not there yet is made


def changed(changes: Changes, document: dict[str, Any] = GOOD) -> dict[str, Any]:
    """The document with changes."""
    made = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = made
        for part in parents:
            place = place.setdefault(part, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return made


def text(document: Any) -> str:
    """As a person would have it in an editor."""
    return json.dumps(document, indent=1, ensure_ascii=False)


def at(source: str, line: int, column: int) -> str:
    """The rest of a text from a place (counted from 1) on."""
    lines = source.split("\n")
    return "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
