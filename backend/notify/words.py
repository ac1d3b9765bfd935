"""The words of messages: one thing that has happened, or many at once; our own, or a channel's templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from string import Template
from typing import Literal

from backend.errors import InvalidRequest
from backend.notify.model import Channel, Item, Message
from backend.run.ids import short
from backend.spec.quantity import show_duration

LONGEST = 4000  # characters of a template
MOST = 20  # of those told in one message, how many get a line of their own
TITLE, BODY = "$summary", "$text"
FIELDS = {
    "summary": "our own title",
    "text": "our own body",
    "event": "failed, recovered, late, paused or succeeded",
    "pipeline": "its name",
    "run": "the run's id",
    "schedule": "the schedule, of one that was paused",
    "stage": "the stage that failed",
    "message": "why: clean: exit 1",
    "error": "the first line of its log that speaks of an error",
    "command": "what to type to look at it",
    "since": "when the pipeline began to fail",
    "duration": "for how long it has failed, or had",
    "failures": "how many runs in a row have failed",
    "logical_time": "what the run stands for",
    "at": "when it happened",
    "by": "who paused it",
    "reason": "why",
    "key": "the same if this is ever told twice",
}
_KINDS: dict[str, Literal["info", "success", "warning", "failure"]] = {
    "failed": "failure",
    "late": "warning",
    "paused": "warning",
    "recovered": "success",
    "succeeded": "success",
}


def check(template: str, what: str) -> None:
    """Raises InvalidRequest for a template that is none, or names a field that there is not."""
    if len(template) > LONGEST:
        raise InvalidRequest(f"the {what} is longer than {LONGEST} characters")
    made = Template(template)
    if not made.is_valid():
        raise InvalidRequest(f"the {what} has a $ that is not followed by a field's name", hint="a plain $ is $$")
    for name in made.get_identifiers():
        if name not in FIELDS:
            raise InvalidRequest(f"the {what} has no field ${name}", hint=f"fields: {', '.join(FIELDS)}")


def compose(channel: Channel, items: Sequence[Item]) -> Message:
    """One message of all that is to be told, in order; there is at least one."""
    if len(items) == 1:
        values = _fields(items[0])
        return Message(
            _one_line(Template(channel.title or TITLE).safe_substitute(values)),
            Template(channel.body or BODY).safe_substitute(values),
            _KINDS[items[0].event],
        )
    told = [_told(channel, item) for item in items[:MOST]]
    if len(items) > MOST:
        told.append(f"and {len(items) - MOST} more: khantui runs")
    worst = next(event for event in _KINDS if any(item.event == event for item in items))
    return Message(_many(items), ("\n\n" if channel.body else "\n").join(told), _KINDS[worst])


def trial(channel: Channel, now: datetime) -> Message:
    """What the test of a channel sends."""
    return Message(f"a test of the channel {channel.name}", "Notifications of Khantui arrive here.", "info")


def shown(text: str, most: int = 300) -> str:
    """What a user wrote, in one line: signs that control a screen or turn text round are made visible."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.strip())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _told(channel: Channel, item: Item) -> str:
    values = _fields(item)
    if channel.body:
        return Template(channel.body).safe_substitute(values)
    why = values["error"] or values["message"] or values["reason"]
    return f"{values['summary']}{f': {why}' if why else ''} ({values['command']})"


def _many(items: Sequence[Item]) -> str:
    """The title of a message that tells several things."""
    parts = []
    counts = Counter[str](item.event for item in items)
    for event in _KINDS:
        names = list(dict.fromkeys(i.schedule or i.pipeline for i in items if i.event == event))
        if not names:
            continue
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        noun = "schedule" if event == "paused" else "pipeline"
        several = f"{len(names)} {noun}s {_VERBS[event]}: {some}"
        times = f", {counts[event]} times" if counts[event] > 1 else ""
        parts.append(several if len(names) > 1 else f"{names[0]} {_VERB[event]}{times}")
    return "; ".join(parts)


_VERB = {
    "failed": "failed",
    "late": "is late",
    "paused": "is paused",
    "recovered": "has recovered",
    "succeeded": "succeeded",
}
_VERBS = {
    "failed": "fail",
    "late": "are late",
    "paused": "are paused",
    "recovered": "have recovered",
    "succeeded": "succeeded",
}


def _fields(item: Item) -> dict[str, str]:
    lasted = span(item.at - item.since) if item.since else ""
    command = f"khantui schedules --pipeline {item.pipeline}" if item.event == "paused" else ""
    if item.run:
        command = f"khantui {'logs' if item.event == 'failed' else 'status'} {short(item.run)}"
    values = {
        "event": item.event,
        "pipeline": item.pipeline,
        "run": item.run,
        "schedule": item.schedule,
        "stage": item.stage,
        "message": shown(item.message),
        "error": shown(item.error),
        "command": command,
        "since": _stamp(item.since),
        "duration": lasted,
        "failures": str(item.failures or ""),
        "logical_time": item.logical_time.isoformat() if item.logical_time else "",
        "at": _stamp(item.at),
        "by": shown(item.by),
        "reason": shown(item.reason),
        "key": item.key,
    }
    values["summary"] = _summary(item, lasted)
    values["text"] = "\n".join(_lines(item, values))
    return values


def _summary(item: Item, lasted: str) -> str:
    if item.event == "paused":
        return f"the schedule {item.schedule} is paused"
    if item.event == "recovered":
        return f"{item.pipeline} has recovered after {lasted}"
    if item.event == "failed" and item.failures > 1:
        return f"{item.pipeline} failed, {item.failures} times in a row"
    return f"{item.pipeline} {_VERB[item.event]}"


def _lines(item: Item, values: dict[str, str]) -> list[str]:
    """Our own body: what is not known is left out."""
    until = f" until {_stamp(item.until)}" if item.until else ""
    facts = [
        values["message"],
        f"first error: {values['error']}" if values["error"] else "",
        f"should have ended by {_stamp(item.due_by)}" if item.due_by else "",
        f"paused{until} by {values['by'] or 'somebody'}" if item.event == "paused" else "",
        f"reason: {values['reason']}" if item.reason else "",
        f"failing since {values['since']} ({values['duration']})"
        if item.event == "failed" and item.failures > 1
        else "",
        f"{item.failures} {'runs' if item.failures != 1 else 'run'} had failed since {values['since']}"
        if item.event == "recovered"
        else "",
        f"for {values['logical_time']}" if item.logical_time else "",
        values["command"],
        f"[{item.key}]",
    ]
    return [fact for fact in facts if fact]


def _stamp(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""


def span(length: timedelta) -> str:
    """A length of time, to the minute where it is hours, to the hour where it is days."""
    seconds = max(length.total_seconds(), 0)
    grain = 3600 if seconds >= 86400 else 60 if seconds >= 3600 else 1
    return show_duration(seconds // grain * grain)
