"""What lint says about a document: one finding per mistake, with its place and the way out."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Severity(StrEnum):
    """An error keeps the document from being stored; a warning does not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Position(Struct, frozen=True):
    """Where in the text, both from 1, the column in characters."""

    line: int
    column: int


class Finding(Struct, frozen=True):
    """One thing that is wrong, or looks wrong.

    `path` is the JSON path of the value (`$.stages.clean.image`); `code` is stable and kebab-case
    (`unknown-image`).
    """

    code: str
    severity: Severity
    path: str
    line: int
    column: int
    message: str
    suggestion: str = ""
    file: str = ""
