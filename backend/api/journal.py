"""What the journal says of a request: who, from where, by which proof, why; and of an object before and after."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from starlette.requests import Request

from backend.api.identity import Identity
from backend.errors import InvalidRequest
from backend.run.ids import new_id
from backend.store.base import Condition, Delete, KeyValue, Put, Store
from backend.store.records import AuditRecord, Changed, record_audit

REASON = "x-khantui-reason"
REQUEST_ID = "x-request-id"
LONGEST = 500  # characters of a reason
_CLIENT = 120  # characters that are kept of what a client calls itself
_LARGEST = 16 << 10  # bytes of an object that are kept; of a larger one its hash
_MOST = 20  # objects of one entry
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# What is kept of objects, by the first part of their key. What is not named here is never shown: a kind of object that
# somebody adds may hold secrets. "" stands for all fields, with - in front those without it.
_FIELDS: dict[str, tuple[str, ...]] = {
    "pipelines": ("version", "owner", "labels"),
    "versions": ("version", "document", "bundle", "pins", "message"),
    "schedules": ("",),
    "calendars": ("",),
    "backfills": ("",),
    "images": ("",),
    "bindings": ("",),
    "channels": ("", "-urls"),
    "tokens": ("", "-hash"),
    "accounts": ("",),
    "secrets": ("name", "number", "description", "created", "created_by"),
    "runs": ("id", "pipeline", "version", "logical_time", "parameters", "trigger", "state"),
    "commands": ("",),
}
_HASHED = frozenset(("document",))  # fields of which the hash is kept: they are to be had by version


class Source(Struct, frozen=True):
    """Where a request has come from."""

    proof: str
    client: str
    reason: str
    request: str


def source(request: Request, who: Identity | None) -> Source:
    """All that a request says of itself. Raises InvalidRequest for a reason that is none."""
    headers = request.headers
    given = headers.get(REQUEST_ID, "")
    reason = unquote(headers.get(REASON, "")).strip()
    if len(reason) > LONGEST or not reason.isprintable():
        raise InvalidRequest(f"a reason is at most {LONGEST} characters on one line", hint="see docs/audit.md")
    client = "".join(c if c.isprintable() else "�" for c in headers.get("user-agent", "")[:_CLIENT])
    return Source(
        who.proof if who is not None else "",
        client,
        reason,
        given if _ID.fullmatch(given) else secrets.token_hex(8),
    )


async def changed(
    store: Store, conditions: Iterable[Condition], changes: Iterable[Put | Delete]
) -> tuple[Changed, ...]:
    """Objects that a transaction changes, before and after. What they are before is held by its conditions."""
    shown = [c for c in changes if c.key.partition("/")[0] in _FIELDS and not (isinstance(c, Delete) and c.prefix)]
    shown = shown[:_MOST]
    new = {c.key for c in conditions if c.modified == 0}
    there = [c.key for c in shown if c.key not in new]
    found: dict[str, KeyValue | None] = {}
    if there:
        found = dict(zip(there, await store.get_many(there), strict=True))
    entries = []
    for change in shown:
        before = found.get(change.key)
        after = change.value if isinstance(change, Put) else None
        entries.append(
            Changed(
                change.key,
                _kept(change.key, before.value) if before is not None else None,
                _kept(change.key, after) if after is not None else None,
            )
        )
    return tuple(entries)


def _kept(key: str, value: bytes) -> dict[str, Any]:
    """What may be shown of an object."""
    fields = _FIELDS[key.partition("/")[0]]
    record = msgspec.json.decode(value)
    if not isinstance(record, dict):
        return {}
    wanted = {k: v for k, v in record.items() if ("" in fields or k in fields) and f"-{k}" not in fields}
    for name in _HASHED & wanted.keys():
        wanted[name] = f"sha256:{hashlib.sha256(str(wanted[name]).encode()).hexdigest()}"
    whole = msgspec.json.encode(wanted)
    if len(whole) > _LARGEST:
        return {"sha256": hashlib.sha256(whole).hexdigest(), "bytes": len(whole)}
    return wanted


class Refusals:
    """Entries of what was refused. Bounded, because whoever is refused decides how often: the rest is counted."""

    EACH = 10  # entries a minute of one caller
    ALL = 120  # of all of them
    NOBODY = 1000  # a day of those who could not be made out: they must not push out what others did

    def __init__(self, store: Store) -> None:
        self._store = store
        self._day, self._of_nobody = date.min, 0
        self._minute = datetime.min
        self._written: dict[str, int] = {}
        self._left_out = 0

    async def note(self, record: AuditRecord) -> None:
        """Write down one. Raises StoreError."""
        minute = record.at.replace(tzinfo=None)
        if minute - self._minute > timedelta(minutes=1):
            self._minute, self._written = minute, {}
        caller = record.who or record.origin
        many = self._written.get(caller, 0)
        if record.at.date() != self._day:
            self._day, self._of_nobody = record.at.date(), 0
        over = not record.who and self._of_nobody >= self.NOBODY
        if over or many >= self.EACH or sum(self._written.values()) >= self.ALL:
            self._left_out += 1
            return
        self._written[caller] = many + 1
        self._of_nobody += not record.who
        left_out, self._left_out = self._left_out, 0
        if left_out:
            record = msgspec.structs.replace(record, detail={**record.detail, "not_written_before": left_out})
        await self._store.commit([], [record_audit(new_id(record.at), record)])
