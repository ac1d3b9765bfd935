"""Whom a crontab mails, as channels for notifications. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from khantui.crontab.lines import Entry

_ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+")
_LONGEST = 58


@dataclass(frozen=True)
class MailChannel:
    """A channel that mails to these addresses."""

    name: str
    to: tuple[str, ...]

    def url(self, via: str) -> str:
        """Its URL, over the mail server of the URL `via`."""
        return f"{via}{'&' if '?' in via else '?'}to={quote(','.join(self.to), safe='@,')}"


def addresses(mail: str | None) -> tuple[str, ...]:
    """Those of a MAILTO; none where one of them is no address, such as the name of a user of the machine."""
    found = tuple(dict.fromkeys(each for each in re.split(r"[,\s]+", mail or "") if each))
    return found if all(_ADDRESS.fullmatch(each) for each in found) else ()


def channels(entries: Iterable[Entry]) -> dict[tuple[str, ...], MailChannel]:
    """A channel for each MAILTO that has addresses."""
    found: dict[tuple[str, ...], MailChannel] = {}
    for to in dict.fromkeys(addresses(entry.mail) for entry in entries):
        if not to:
            continue
        stem = re.sub(r"[^a-z0-9]+", "-", f"mail-{'-'.join(to)}".lower())[:_LONGEST].strip("-")
        name, number = stem, 1
        while name in (channel.name for channel in found.values()):
            number += 1
            name = f"{stem}-{number}"
        found[to] = MailChannel(name, to)
    return found
