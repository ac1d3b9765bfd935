"""The journal: who did what, and who was kept from it. It is added to with each change, and never changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

import msgspec
from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.wire import AuditView, ChangedView, Page
from backend.errors import InvalidRequest
from backend.run.ids import moment_of, new_id
from backend.store import keys
from backend.store.base import KeyValue
from backend.store.codec import decode
from backend.store.records import AuditRecord

_LOOKED_AT = 20_000  # entries for one page: a filter that lets little through must not keep the daemon busy
_MILLISECOND = timedelta(milliseconds=1)
_PATTERNS = ("who", "what", "target", "origin", "outcome", "proof", "request")
Test = Callable[[AuditRecord], bool]


@operation(
    "GET",
    "/audit",
    answer=Page,
    items=AuditView,
    query={
        **PAGING,
        "who": "who did it; this and the others with * and ?",
        "what": "the operation: delete_*",
        "target": "what it was done to",
        "origin": "from where: unix, or an address",
        "proof": "how it was proven who asks: socket, loopback, token, iap, oidc",
        "outcome": "done, or denied",
        "request": "the request's id",
        "text": "words that the entry has somewhere",
        "since": "a moment: what happened then or later",
        "until": "a moment: what happened before",
    },
    role="admin",
)
async def list_audit(call: Call) -> Response:
    """Who changed what, or was kept from it: when, from where and why; newest first"""
    at = cursor.within(call, keys.AUDIT)
    since, until = _moment(call, "since"), _moment(call, "until")
    start = at.key + "\0" if at else _from(until)
    tests = _tests(call)
    items: list[AuditView] = []
    looked, revision = 0, 0
    while True:
        page = await call.services.store.page(start, keys.after(keys.AUDIT), limit=max(call.limit, 500))
        revision = page.revision
        for kv in page.items:
            start, looked = kv.key + "\0", looked + 1
            record = decode(kv.value, AuditRecord)
            # by the key's moment, which has the order of the list, and is cut to milliseconds
            if since is not None and moment_of(keys.run_of(kv.key)) + _MILLISECOND < since:
                return answer(Page(items, None, None, revision))
            within = (since is None or record.at >= since) and (until is None or record.at < until)
            if within and all(test(record) for test in tests):
                items.append(_view(kv, record))
            if len(items) >= call.limit or looked >= _LOOKED_AT:
                more = page.more or kv is not page.items[-1]
                following = cursor.pack(cursor.Cursor(revision, kv.key)) if more else None
                return answer(Page(items, following, None, revision))
        if not page.more:
            return answer(Page(items, None, None, revision))


def _tests(call: Call) -> list[Test]:
    """What an entry must pass."""

    def like(field: str, pattern: str) -> Test:
        return lambda record: fnmatchcase(str(getattr(record, field)), pattern)

    def has(word: str) -> Test:
        return lambda record: word in msgspec.json.encode(record).decode().casefold()

    tests = [like(field, pattern) for field in _PATTERNS if (pattern := call.text(field))]
    return tests + [has(word) for word in call.text("text").casefold().split()]


def _moment(call: Call, parameter: str) -> datetime | None:
    text = call.text(parameter)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{parameter} is no moment: {text!r}", hint="2026-11-25T06:00Z") from None
    if moment.tzinfo is None:
        raise InvalidRequest(f"{parameter} has no zone: {text!r}", hint="2026-11-25T06:00Z")
    return moment


def _from(until: datetime | None) -> str:
    """Where the list begins: the newest entry that may be of it."""
    if until is None:
        return keys.AUDIT
    try:
        return keys.audit(new_id(until)[:10])
    except OverflowError:
        return keys.AUDIT


def _view(kv: KeyValue, record: AuditRecord) -> AuditView:
    return AuditView(
        keys.run_of(kv.key),
        record.at,
        record.who,
        record.what,
        record.target,
        record.origin,
        record.detail,
        record.proof,
        record.client,
        record.reason,
        record.request,
        record.outcome,
        tuple(ChangedView(c.key, c.before, c.after) for c in record.changes),
    )
