"""What people ask the journal, as what its API is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

from khantui.errors import Misuse
from khantui.state.when import moment_of, seconds_of

FIELDS = ("who", "what", "target", "origin", "proof", "outcome", "request")


def query_of(words: str, *, since: str = "", until: str = "", now: datetime) -> dict[str, str]:
    """Conditions (`who=ann what=delete_*`, `denied`) and words. Raises Misuse."""
    query: dict[str, str] = {}
    text: list[str] = []
    for word in words.split():
        name, equals, value = word.partition("=")
        if word in ("denied", "done"):
            query["outcome"] = word
        elif not equals:
            text.append(word)
        elif name not in FIELDS:
            raise Misuse(f"entries have no {name!r}", f"conditions: {', '.join(f'{f}=…' for f in FIELDS)}")
        else:
            query[name] = value
    if text:
        query["text"] = " ".join(text)
    for name, moment in (("since", since), ("until", until)):
        if moment:
            query[name] = _moment(moment, name, now).isoformat()
    return query


def _moment(text: str, option: str, now: datetime) -> datetime:
    """A moment, or a span before now."""
    if text[:4].isdigit() and len(text) > 5:
        return moment_of(text, "UTC")
    return now - timedelta(seconds=seconds_of(text, option))
