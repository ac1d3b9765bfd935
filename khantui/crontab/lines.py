"""A crontab, read line by line as cron reads it. Pure: it never raises, and says of each line what it could not.

After the manual crontab(5) of Vixie cron and cronie, with their oddities: what stands in a line after `%` is standard
input, `\\%` is a percent sign, an environment line holds for the lines after it and may be quoted, nothing in it is
expanded.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from backend.errors import KhanError
from backend.schedule.cron import parse_cron
from backend.zones import zone_of

_SPACE = " \t\f\v"
_VARIABLE = re.compile(
    r"""(?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\s="'#][^\s=]*) ) [ \t\f\v]* = (?P<value>.*)""",
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NICKNAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_RANDOM = re.compile(r"(\d{0,2})~(\d{0,2})(/\d+)?", re.ASCII)
_STEPPED = re.compile(r"(\w+)/\d+", re.ASCII)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
REBOOT = "@reboot"


@dataclass(frozen=True)
class Remark:
    """What is to be known of a line. `kept` is False where the line was not imported at all."""

    line: int  # from 1
    message: str
    hint: str = ""
    kept: bool = True


@dataclass(frozen=True)
class Entry:
    """A line that runs something, with what held where it stands."""

    line: int
    when: str  # the expression; empty for @reboot
    command: str
    stdin: str | None = None  # what follows the first `%`, lines ended
    user: str = ""  # of a crontab with a column for users
    zone: str = ""  # CRON_TZ
    delay: int = 0  # RANDOM_DELAY, in minutes
    mail: str | None = None  # MAILTO; empty: to nobody; None: to whose crontab it is
    shell: str = "/bin/sh"
    environment: dict[str, str] = field(default_factory=dict)
    comment: str = ""  # the comment right above


@dataclass(frozen=True)
class Crontab:
    """What was read: entries and remarks, both in the order of their lines; and environment lines, by line."""

    entries: tuple[Entry, ...]
    remarks: tuple[Remark, ...]
    variables: dict[int, str]


@dataclass
class _Reading:
    system: bool
    entries: list[Entry] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    variables: dict[int, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)

    def say(self, line: int, message: str, hint: str = "", *, kept: bool = True) -> None:
        self.remarks.append(Remark(line, message, hint, kept))


def parse(text: str, *, system: bool = False) -> Crontab:
    """Read a crontab; with `system` its lines name a user, as those of /etc/crontab and /etc/cron.d do."""
    reading = _Reading(system)
    lines = text.removeprefix("\ufeff").split("\n")
    if any(line.endswith("\r") for line in lines):
        number = next(i for i, line in enumerate(lines, 1) if line.endswith("\r"))
        reading.say(number, "lines end as on Windows: cron would hand the carriage return to the command; left out")
    for number, raw in enumerate(lines, 1):
        _line(reading, number, raw.rstrip("\r").strip(_SPACE))
    return Crontab(tuple(reading.entries), tuple(reading.remarks), reading.variables)


def _line(reading: _Reading, number: int, line: str) -> None:
    if not line:
        reading.comment.clear()
    elif line.startswith("#"):
        if words := line.lstrip("#").strip():
            reading.comment.append(words)
    elif "\0" in line:
        reading.comment.clear()
        reading.say(number, "a NUL is in this line, and no program can be given one", kept=False)
    elif found := _VARIABLE.fullmatch(line):
        reading.comment.clear()
        _variable(reading, number, found)
    else:
        entry = _entry(reading, number, line)
        reading.comment.clear()
        if entry is not None:
            reading.entries.append(entry)


def _variable(reading: _Reading, number: int, found: re.Match[str]) -> None:
    name = next(found[group] for group in ("double", "single", "bare") if found[group] is not None)
    value = found["value"].strip(_SPACE)
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        value = value[1:-1]
    if not _NAME.fullmatch(name):
        reading.say(number, f"{name!r} cannot be a variable's name", "letters, digits and _", kept=False)
        return
    if name == "CRON_TZ" and value:
        try:
            zone_of(value)
        except KhanError as error:
            reading.say(number, f"CRON_TZ: {error.message}: the time zone before holds on", error.hint, kept=False)
            return
    if name == "RANDOM_DELAY" and not value.isdecimal():
        reading.say(number, f"RANDOM_DELAY: {value!r} is no number of minutes", kept=False)
        return
    if name.startswith("KHAN_"):
        reading.say(number, f"{name}: names with KHAN_ are Khantui's own: left out", "rename it", kept=False)
        return
    if "$" in value and name not in ("MAILTO", "MAILFROM"):
        reading.say(number, f"{name}: cron expands nothing here, and neither does Khantui: {value!r} as it stands")
    reading.environment[name] = value
    reading.variables[number] = name


def _entry(reading: _Reading, number: int, line: str) -> Entry | None:
    if line.startswith("-") and line[1:2] in "*0123456789":
        line = line[1:]  # cron of SUSE: do not write to the system's log
    count = 1 if line.startswith("@") else 5
    words = line.split(None, count)
    user = ""
    when, rest = words[:count], words[count] if len(words) > count else ""
    if len(when) < count or not rest:
        reading.say(
            number, "this is neither a comment, nor a variable, nor times and a command",
            "minute hour day-of-month month day-of-week command", kept=False,
        )  # fmt: skip
        return None
    expression = _expression(reading, number, when, rest)
    if expression is None:
        return None
    if reading.system:
        user, *left = rest.split(None, 1)
        rest = left[0] if left else ""
        if not rest:
            reading.say(number, f"there is no command behind the user {user!r}", "is it a file without users?",
                        kept=False)  # fmt: skip
            return None
    command, stdin = _percent(rest)
    if not command.strip():
        reading.say(number, "there is no command before the %", kept=False)
        return None
    if not reading.system and command.split()[0] == "root":
        reading.say(number, "'root' looks like a user, not a program", "for a crontab with users: --system")
    environment = dict(reading.environment)
    delay = environment.pop("RANDOM_DELAY", "0")
    return Entry(
        number, expression, command.strip(_SPACE), stdin, user,
        zone=environment.pop("CRON_TZ", ""),
        delay=min(int(delay), 366 * 1440),
        mail=environment.pop("MAILTO", None),
        shell=environment.pop("SHELL", "") or "/bin/sh",
        environment={k: v for k, v in environment.items() if k not in ("MAILFROM", "CONTENT_TYPE",
                     "CONTENT_TRANSFER_ENCODING", "START_HOURS_RANGE")},
        comment=" ".join(reading.comment),
    )  # fmt: skip


def _percent(text: str) -> tuple[str, str | None]:
    """The command and, behind the first `%` that is not escaped, its standard input with `%` for ends of lines."""
    parts: list[str] = [""]
    escaped = False
    for sign in text:
        if escaped:
            parts[-1] += sign if sign == "%" else f"\\{sign}"
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "%":
            parts.append("")
        else:
            parts[-1] += sign
    if escaped:
        parts[-1] += "\\"
    command, *lines = parts
    if not lines:
        return command, None
    stdin = "\n".join(lines)
    return command, stdin if stdin.endswith("\n") else f"{stdin}\n"


def _expression(reading: _Reading, number: int, when: list[str], rest: str) -> str | None:
    """The times as Khantui reads them; empty for @reboot, None (and a remark) where they cannot be read."""
    if len(when) == 1:
        return _nickname(reading, number, when[0].lower())
    fields = [_field(reading, number, index, text, rest) for index, text in enumerate(when)]
    text = " ".join(fields)
    try:
        parse_cron(text)
    except KhanError as error:
        reading.say(number, error.message, error.hint, kept=False)
        return None
    days, weekdays = fields[2], fields[4]
    if any(f.startswith("*") and f not in ("*", "*/1") for f in (days, weekdays)) and _narrow(days, weekdays):
        reading.say(
            number,
            f"cron runs {' '.join(when)!r} on days on which both fields for days fit: no expression here says so",
            "write the days out, or test for one of them in the command",
            kept=False,
        )
        return None
    return text


def _narrow(days: str, weekdays: str) -> bool:
    """Whether both fields for days choose some: cron joins them by `and` where one begins with a star."""
    return all(not any(part in ("*", "*/1") for part in text.split(",")) for text in (days, weekdays))


def _nickname(reading: _Reading, number: int, word: str) -> str | None:
    if word == REBOOT:
        return ""
    if word == "@every_minute":
        return "* * * * *"
    if word in _NICKNAMES:
        return word
    reading.say(
        number, f"{word!r} is no time that cron knows", f"one of {', '.join((REBOOT, *_NICKNAMES))}", kept=False
    )
    return None


def _field(reading: _Reading, number: int, index: int, text: str, rest: str) -> str:
    """A field with what only cron knows written otherwise."""
    parts = []
    for part in text.split(","):
        stepped, random = _STEPPED.fullmatch(part), _RANDOM.fullmatch(part)
        if random and not random[3]:
            low = int(random[1] or _BOUNDS[index][0])
            high = int(random[2] or _BOUNDS[index][1])
            chosen = low + int(hashlib.sha256(rest.encode(errors="replace")).hexdigest(), 16) % max(high - low + 1, 1)
            reading.say(number, f"{part!r} is a random time, another at each start of cron: here it is always {chosen}")
            part = str(chosen)
        elif stepped:
            reading.say(number, f"cron takes no notice of the step in {part!r}: imported as {stepped[1]}")
            part = stepped[1]
        parts.append(part)
    return ",".join(parts)
