"""What is kept, beside runs and schedules, and the changes that keep indexes in step with what they index.

The functions here build transactions and make none, so that a caller can put several into one.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from backend.run.ids import moment_of, short
from backend.run.state import ArtifactRecord, Run, RunState
from backend.spec.images import Image
from backend.spec.model import Retention
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.codec import encode

LATE = timedelta(minutes=1)  # between what a run's id tells and when it was made; more, and an index says so


class PipelineHead(Struct, frozen=True, omit_defaults=True):
    """What lists show of a pipeline."""

    name: str
    version: int
    description: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    stages: int = 0
    width: int = 0
    created: datetime | None = None
    updated: datetime | None = None
    updated_by: str = ""
    account: str = ""  # its service account; of one applied by an earlier Khantui it is in the document alone
    retention: Retention | None = None  # None: the document says nothing of it


class Pin(Struct, frozen=True):
    """The stage of another pipeline's version that a `uses` stands for."""

    pipeline: str
    version: int
    stage: str
    bundle: str = ""


class Version(Struct, frozen=True, omit_defaults=True):
    """One version of a pipeline: the text as it was applied, and what it was pinned to then."""

    pipeline: str
    version: int
    document: str
    bundle: str = ""  # content address of the code
    pins: dict[str, Pin] = {}  # stage -> what its `uses` stood for
    created: datetime | None = None
    created_by: str = ""
    message: str = ""


class Entry(Struct, frozen=True):
    """One instance's part of an artifact; `name` is empty where the artifact was written whole."""

    name: str
    record: ArtifactRecord


class Latest(Struct, frozen=True):
    """A pipeline's newest good run (by logical time) and its outputs: artifact -> its entries."""

    run: str
    logical_time: datetime
    ended: datetime
    outputs: dict[str, tuple[Entry, ...]]


def digest(entries: tuple[Entry, ...]) -> str:
    """The content hash of an artifact, of which every entry is a part."""
    if len(entries) == 1 and not entries[0].name:
        return entries[0].record.sha256
    parts = "".join(f"{e.record.sha256} {e.name}\n" for e in sorted(entries, key=lambda e: e.name))
    return hashlib.sha256(parts.encode()).hexdigest()


class External(Struct, frozen=True):
    """What a run reads as an input from outside, looked up once, so that a retry reads the same."""

    entries: tuple[Entry, ...]
    run: str = ""  # of another pipeline, whose output it is


class Command(Struct, frozen=True, omit_defaults=True):
    """What somebody asked of a run."""

    kind: Literal["cancel", "retry"]
    by: str
    at: datetime
    from_stage: str = ""
    only: bool = False


class RegisteredImage(Struct, frozen=True):
    """An image that an administrator has made known."""

    image: Image
    at: datetime
    by: str


class Changed(Struct, frozen=True, omit_defaults=True):
    """What an object was before and after; None where there was or is none. Secrets are not among it."""

    key: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class AuditRecord(Struct, frozen=True):
    """One entry of the journal: something that was done, or that was refused."""

    at: datetime
    who: str  # "" where nobody could be made out; "khantui" where it did something by itself
    what: str  # the operation's id
    target: str
    origin: str  # "unix", or an address
    detail: dict[str, Any]
    proof: str = ""  # how it was proven who asks: socket, loopback, token, iap, oidc
    client: str = ""  # what the client calls itself
    reason: str = ""  # why, as whoever did it has put it
    request: str = ""  # the request's id
    outcome: Literal["done", "denied"] = "done"
    changes: tuple[Changed, ...] = ()


def create_run(run: Run) -> tuple[list[Condition], list[Put | Delete]]:
    """The transaction that makes a run, once: a second one with the same id changes nothing."""
    changes: list[Put | Delete] = [
        Put(keys.run(run.id), encode(run)),
        Put(keys.active(run.id), b""),
        Put(keys.by_pipeline(run.pipeline, run.id), b""),
        Put(keys.by_state(run.state, run.id), b""),
        Put(keys.by_short(short(run.id), run.id), b""),
    ]
    if run.trigger.backfill:
        changes.append(Put(keys.by_backfill(run.trigger.backfill, run.id), b""))
    if run.created is not None and run.created - moment_of(run.id) > LATE:
        changes.append(Put(keys.late(run.id), b""))
    return [Condition(keys.run(run.id), modified=0)], changes


def change_run(old: Run, new: Run) -> list[Put | Delete]:
    """Writes a run's new summary, and moves what depends on its state."""
    changes: list[Put | Delete] = [Put(keys.run(new.id), encode(new))]
    if old.state != new.state:
        changes += [
            Delete(keys.by_state(old.state, new.id)),
            Put(keys.by_state(new.state, new.id), b""),
        ]
        good = keys.good(new.pipeline, new.logical_time, new.id)
        if new.state is RunState.SUCCEEDED:
            changes.append(Put(good, encode(new.parameters)))
        elif old.state is RunState.SUCCEEDED:
            changes.append(Delete(good))
        if new.state.ended and not old.state.ended:
            changes += [Delete(keys.active(new.id)), Put(keys.ended(new.id), b"")]
        elif old.state.ended and not new.state.ended:
            changes += [Put(keys.active(new.id), b"")]
    return changes


def delete_run(run: Run) -> list[Put | Delete]:
    """Removes an ended run with all that was kept of it in the store."""
    changes: list[Put | Delete] = [
        Delete(keys.run(run.id)),
        Delete(keys.by_pipeline(run.pipeline, run.id)),
        Delete(keys.by_state(run.state, run.id)),
        Delete(keys.by_short(short(run.id), run.id)),
        Delete(keys.stages(run.id), prefix=True),
        Delete(keys.commands(run.id), prefix=True),
        Delete(keys.inputs(run.id), prefix=True),
        Delete(keys.ended(run.id)),
        Delete(keys.late(run.id)),
        Delete(keys.held(run.id), prefix=True),
        Delete(keys.good(run.pipeline, run.logical_time, run.id)),
    ]
    if run.trigger.backfill:
        changes.append(Delete(keys.by_backfill(run.trigger.backfill, run.id)))
    return changes


def record_audit(identifier: str, record: AuditRecord) -> Put:
    """Adds an entry to the journal."""
    return Put(keys.audit(identifier), encode(record))


async def instance(store: Store) -> str:
    """A word that tells what this Khantui makes elsewhere from what others make there: the same for all its daemons."""
    while True:
        found = await store.get(keys.INSTANCE)
        if found is not None:
            return found.value.decode()
        made = secrets.token_hex(4)
        await store.commit([Condition(keys.INSTANCE, modified=0)], [Put(keys.INSTANCE, made.encode())])
