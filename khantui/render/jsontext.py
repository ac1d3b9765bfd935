"""JSON to read, indented and coloured by what its pieces are: also a beginning of some, or what only looks like it."""

from __future__ import annotations

import json
import re

from khantui.render.text import visible

Piece = tuple[str, str]
_INDENT = 2
_DEEPEST = 40  # levels that are still indented
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_TOKEN = re.compile(rf"\s+|{_STRING}|[{{}}\[\],:]|[^\s{{}}\[\],:\"]+", re.DOTALL)
_PIECE = re.compile(
    rf"(?P<key>{_STRING}(?=\s*:))|(?P<text>{_STRING})|(?P<mark>[{{}}\[\],:]+)|(?P<word>[^\s{{}}\[\],:\"]+)"
)
_ROLES = {"key": "critical", "text": "succeeded", "mark": "faint"}


def indented(text: str) -> list[str]:
    """The lines of a JSON text, one value a line. Only white space is changed, so it need not be valid or complete."""
    lines: list[str] = []
    now, depth = "", 0
    for part in _TOKEN.findall(text):
        if part.isspace():
            continue
        if part in "{[":
            lines.append(now + part)
            depth += 1
            now = _margin(depth)
        elif part in "}]":
            depth = max(0, depth - 1)
            if not now.isspace() and now:
                lines.append(now)
            elif lines and lines[-1].endswith("{" if part == "}" else "["):
                now = lines.pop() + part
                continue
            now = _margin(depth) + part
        elif part == ",":
            lines.append(now + part)
            now = _margin(depth)
        else:
            now += ": " if part == ":" else part
    return [*lines, now] if now.strip() else lines


def _margin(depth: int) -> str:
    return " " * (_INDENT * min(depth, _DEEPEST))


def highlighted(line: str) -> list[Piece]:
    """A line of JSON in pieces of (text, role)."""
    pieces: list[Piece] = []
    end = 0
    for match in _PIECE.finditer(line):
        if match.start() > end:
            pieces.append((visible(line[end : match.start()]), ""))
        kind = str(match.lastgroup)
        role = _ROLES.get(kind) or ("warning" if match.group()[:1] in "-0123456789" else "cancelled")
        pieces.append((visible(match.group()), role))
        end = match.end()
    if end < len(line):
        pieces.append((visible(line[end:]), ""))
    return pieces


def fault(text: str) -> str:
    """Why a text is not JSON; empty if it is."""
    try:
        json.loads(text)
    except RecursionError:
        return "not JSON that can be read: it is nested too deeply"
    except ValueError as error:
        return f"not valid JSON: {visible(str(error))}"
    return ""


def laid_out(text: str) -> list[str]:
    """The lines of a JSON text as its author made them, or indented where all of it is on one."""
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    return lines if len(lines) > 2 else indented(text)


def document_lines(text: str) -> list[list[Piece]]:
    """A document to read, coloured."""
    return [highlighted(line) for line in laid_out(text)]
