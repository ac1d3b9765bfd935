"""Roles as they are given now: bindings, tokens and pipelines' labels, kept current in memory.

Every request asks here, so that a decision costs no round trip to the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from backend.access.decide import Grant, grants_of
from backend.access.model import ApiToken, Binding, Principal, Session, Target
from backend.store import keys
from backend.store.at_hand import keep_current, read_all
from backend.store.base import Change, Store
from backend.store.codec import decode
from backend.store.feed import Feed

T = TypeVar("T")
log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store
_MOST = 2048  # principals whose grants are remembered, and sessions
_REMEMBERED = 30.0  # seconds for which a session is not asked for again


class _Labelled(Struct, frozen=True):
    """What matters here of a pipeline's head."""

    labels: dict[str, str] = {}


class AccessBook:
    """Who has which role, as far as the store was read: `load` reads it, `run` goes on reading as it changes."""

    def __init__(self, store: Store, fixed: Iterable[Binding] = ()) -> None:
        """`fixed`: bindings that the daemon's settings make, and nobody can take away."""
        self._store = store
        self.fixed = {b.id: b for b in fixed}
        self._bindings: dict[str, Binding] = {}
        self._tokens: dict[str, ApiToken] = {}  # by hash
        self._labels: dict[str, Mapping[str, str]] = {}
        self._gone: dict[str, Mapping[str, str]] = {}  # labels of pipelines that were deleted meanwhile
        self._sessions: dict[str, tuple[Session, float]] = {}  # by hash, and until when they are not asked for again
        self._grants: dict[Principal, tuple[Grant, ...]] = {}
        self.revision = 0
        self.loaded = asyncio.Event()  # set once all was read

    @property
    def bindings(self) -> dict[str, Binding]:
        """All bindings by id."""
        return {**self._bindings, **self.fixed}

    @property
    def tokens(self) -> list[ApiToken]:
        """All tokens by name."""
        return sorted(self._tokens.values(), key=lambda t: t.name)

    def token(self, digest: str) -> ApiToken | None:
        """The token whose text has this hash."""
        return self._tokens.get(digest)

    async def session(self, digest: str) -> Session | None:
        """Whose session it is that is shown by a text with this hash. Raises StoreError.

        It is looked for in the store, as another daemon may have made it a moment ago, and remembered for a while.
        """
        known = self._sessions.get(digest)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        found = await self._store.get(keys.session(digest))
        if found is None:
            self._sessions.pop(digest, None)
            return None
        if len(self._sessions) >= _MOST:
            self._sessions.clear()
        session = decode(found.value, Session)
        self._sessions[digest] = (session, time.monotonic() + _REMEMBERED)
        return session

    def forget(self, key: str) -> None:
        """A session has ended, whose key in the store this is: it is not to be known any more."""
        self._sessions.pop(key.removeprefix(keys.SESSIONS), None)

    def grants(self, who: Principal) -> tuple[Grant, ...]:
        """What somebody may do, the strongest first."""
        found = self._grants.get(who)
        if found is None:
            own = None
            if who.kind == "token" and not who.owner:
                own = next((t.binding for t in self._tokens.values() if t.name == who.name), None)
            found = grants_of(who, self.bindings.values(), own)
            if len(self._grants) >= _MOST:
                self._grants.clear()
            self._grants[who] = found
        return found

    def target(self, pipeline: str) -> Target:
        """A pipeline with its labels; without any if it is not known, or was deleted before this daemon began."""
        labels = self._labels.get(pipeline)
        return Target(pipeline, dict(labels if labels is not None else self._gone.get(pipeline, {})))

    def knows(self, pipeline: str) -> bool:
        """Whether there is this pipeline, as far as was read."""
        return pipeline in self._labels

    def note(self, pipeline: str, labels: Mapping[str, str]) -> None:
        """Take note of a pipeline that was written here a moment ago."""
        self._labels[pipeline] = labels

    async def load(self) -> None:
        """Read all bindings and tokens that there are now. Raises StoreError."""
        bindings, revision = await read_all(self._store, keys.BINDINGS, Binding)
        tokens, _ = await read_all(self._store, keys.TOKENS, ApiToken)
        if revision >= self.revision:
            self.revision = revision
            self._bindings = bindings
            self._tokens = {t.hash: t for t in tokens.values()}
            self._grants = {}

    async def run(self, feed: Feed) -> None:
        """Keep to what is given, for ever."""
        prefixes = (keys.BINDINGS, keys.TOKENS, keys.PIPELINES, keys.SESSIONS)
        await keep_current(feed, prefixes, "bindings", self._begin, lambda batch: self._follow(batch.changes))

    async def _begin(self) -> None:
        self.revision = 0  # a store that was restored counts from an earlier one
        heads, _ = await read_all(self._store, keys.PIPELINES, _Labelled)
        self._labels = {name: head.labels for name, head in heads.items()}
        await self.load()
        self.loaded.set()

    async def _follow(self, changes: Iterable[Change]) -> None:
        again = False
        for change in changes:
            if change.key.startswith(keys.SESSIONS):
                self.forget(change.key)
                continue
            if not change.key.startswith(keys.PIPELINES):
                again = True
                continue
            name = change.key.removeprefix(keys.PIPELINES)
            if change.value is not None:
                self._labels[name] = decode(change.value, _Labelled).labels
            elif name in self._labels:
                self._gone[name] = self._labels.pop(name)
        if again:
            await self.load()
