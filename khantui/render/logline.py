"""A line of a log, made safe and styled: colours stay, whatever else would act on the terminal is shown or dropped."""

from __future__ import annotations

import json
from datetime import datetime, tzinfo

from rich.text import Text

from khantui.render.text import colours_only, plain

LONGEST = 8_192  # characters of a line that are drawn
_MESSAGE = ("message", "msg", "text", "event")
_LEVEL = ("level", "severity", "levelname", "lvl")
_TIME = ("time", "timestamp", "ts", "@timestamp", "asctime")


def styled(text: str, *, pretty: bool = False) -> Text:
    """A line as Rich text, at most LONGEST characters of it."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if pretty and (shown := from_json(text)) is not None:
        text = shown
    if "\x1b" in text:
        found = Text.from_ansi(colours_only(text), no_wrap=True)
        found.expand_tabs(8)
        return found
    return Text(plain(text).expandtabs(8), no_wrap=True)


def from_json(text: str) -> str | None:
    """`LEVEL message  key=value …` of a JSON object; None if the line is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    level = next((str(found.pop(k)) for k in _LEVEL if k in found), "")
    message = next((str(found.pop(k)) for k in _MESSAGE if k in found), "")
    for key in _TIME:
        found.pop(key, None)
    rest = "  ".join(f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in found.items())
    return "  ".join(part for part in (level.upper(), message, rest) if part)


def clock(moment: datetime | None, zone: tzinfo | None = None) -> str:
    """`06:02:51`, in eight columns."""
    return f"{moment.astimezone(zone):%H:%M:%S}" if moment is not None else " " * 8
