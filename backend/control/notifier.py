"""Tells channels what has happened. What is to be told lies in the store until it has been: at least once.

A notice is written in the transaction that it speaks of. It is then given to each channel's outbox, once; and a
channel's delivery says what of its outbox is one message, before that is sent, and that it was, afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from backend.channels import Sent, fingerprint, send
from backend.clock import Clock
from backend.control.timers import Timers
from backend.control.workqueue import WorkQueue
from backend.errors import KhanError, StoreError
from backend.logs import LogStore
from backend.logs.merged import LogKey
from backend.logs.reader import BLOCK
from backend.notify.delivery import Wait, begun, decide, tried
from backend.notify.model import Channel, Delivery, Failing, Item, Message, Notice
from backend.notify.notices import judge
from backend.notify.words import compose
from backend.run.state import Run, StageRecord, StageState
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put, Store
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)
T = TypeVar("T")
CHUNK = 100  # keys deleted in one transaction
_PAUSE = 1.0  # seconds after an error of the store


class Notifier:
    """Gives notices to channels in the order in which they were written, and has each channel tell them."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        logs: LogStore,
        clock: Clock,
        fence: Callable[[], list[Condition]],
        tell: Callable[[Sequence[str], Message], Awaitable[list[Sent]]] = send,
    ) -> None:
        self._store = store
        self._feed = feed
        self._logs = logs
        self._clock = clock
        self._fence = fence
        self._tell = tell
        self._queue = WorkQueue(self._serve)
        self._timers = Timers(clock, self._queue.add)

    async def run(self) -> None:
        """Tell for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._timers.run())
            tasks.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except Lost:
                log.info("notices are listed again")
            except StoreError as error:
                log.warning("cannot hand on notices: %s; trying again", error)
                await asyncio.sleep(_PAUSE)

    async def _watch(self) -> None:
        with self._feed.subscribe(keys.NOTICES, keys.CHANNELS) as changes:
            async for page in self._store.scan(keys.CHANNELS):
                for item in page.items:
                    self._queue.add(item.key.removeprefix(keys.CHANNELS))
            found: list[KeyValue] = []
            async for page in self._store.scan(keys.NOTICES):
                found += page.items
            for item in sorted(found, key=lambda kv: kv.modified):
                await self._sort(item.key, item.value, item.modified)
            async for batch in changes:
                for change in batch.changes:
                    if change.key.startswith(keys.CHANNELS):
                        self._queue.add(change.key.removeprefix(keys.CHANNELS))
                    elif change.value is not None:
                        await self._sort(change.key, change.value, change.modified)

    # from a notice to outboxes

    async def _sort(self, key: str, value: bytes, modified: int) -> None:
        """Give a notice to the channels that are to hear of it, and forget it, in one transaction."""
        guard = [*self._fence(), Condition(key, modified=modified)]
        changes: list[Put | Delete] = [Delete(key)]
        notice = _read(key, value, Notice)
        channels: tuple[str, ...] = ()
        if notice is not None:
            item, channels, conditions, more = await self._item(key.removeprefix(keys.NOTICES), notice)
            guard += conditions
            channels = await self._there(channels, item)
            changes += [*more, *(Put(keys.outbox(name, item.key), encode(item)) for name in channels)]
        if await self._store.commit(guard, changes) is None:
            found = await self._store.get(key)
            if found is not None and found.modified == modified:
                raise StoreError("another daemon leads, or is about to")
        for name in channels:
            self._queue.add(name)

    async def _item(
        self, identifier: str, notice: Notice
    ) -> tuple[Item, tuple[str, ...], list[Condition], list[Put | Delete]]:
        """What is told of it, to whom, and what it changes about how its pipeline stands."""
        item = Item(
            identifier,
            notice.event,
            notice.at,
            notice.pipeline,
            notice.run,
            notice.schedule,
            by=notice.by,
            reason=notice.reason,
            until=notice.until,
        )
        found = await self._store.get(keys.run(notice.run)) if notice.run else None
        run = _read(found.key, found.value, Run) if found else None
        if run is None:
            return item, notice.channels, [], []
        item = msgspec.structs.replace(item, logical_time=run.logical_time, message=run.message)
        if notice.event == "late":
            return msgspec.structs.replace(item, due_by=run.due_by), notice.channels, [], []
        if notice.event == "failed":
            stage, error = await self._first_error(run.id)
            item = msgspec.structs.replace(item, stage=stage, error=error)
        kept = await self._store.get(keys.failing(run.pipeline))
        before = _read(kept.key, kept.value, Failing) if kept else None
        after, recovered = judge(notice, run, before)
        channels = notice.channels
        if recovered and before is not None:
            item = msgspec.structs.replace(item, since=before.since, failures=before.failures)
            if notice.recovered:
                item = msgspec.structs.replace(item, event="recovered")
                channels = tuple(dict.fromkeys((*notice.recovered, *channels)))
        elif after is not None and notice.event == "failed":
            item = msgspec.structs.replace(item, since=after.since, failures=after.failures)
        if after == before:
            return item, channels, [], []
        place = keys.failing(run.pipeline)
        change: Put | Delete = Put(place, encode(after)) if after else Delete(place)
        return item, channels, [Condition(place, modified=kept.modified if kept else 0)], [change]

    async def _there(self, channels: tuple[str, ...], item: Item) -> tuple[str, ...]:
        if not channels:
            return ()
        wanted = channels[:CHUNK]
        found = await self._store.get_many([keys.channel(name) for name in wanted])
        for name, kv in zip(wanted, found, strict=True):
            if kv is None:
                log.warning("%s: there is no channel %r to tell that it is %s", item.pipeline, name, item.event)
        return tuple(name for name, kv in zip(wanted, found, strict=True) if kv is not None)

    async def _first_error(self, run: str) -> tuple[str, str]:
        """The stage that failed first, and the line of its log that speaks of an error; empty where not known."""
        failed: list[StageRecord] = []
        async for page in self._store.scan(keys.stages(run)):
            records = [decode(kv.value, StageRecord) for kv in page.items]
            failed += [r for r in records if r.state is StageState.FAILED and r.attempt]
        if not failed:
            return "", ""
        first = min(failed, key=lambda r: (r.ended is None, r.ended, r.name))
        assert first.attempt is not None
        key = LogKey(run, first.name, first.attempt.number)

        def look() -> str:
            with self._logs.reader(*key) as reader:
                number = reader.source.first_error
                if number is None:  # the log has just ended, and is not looked through yet
                    number, _ = reader.find_error(0, min(reader.source.size, BLOCK))
                lines = reader.lines(number, 1) if number else []
                return lines[0].text if lines else ""

        try:
            return first.name, await asyncio.to_thread(look)
        except (KhanError, OSError) as error:
            log.info("the log of %s/%s cannot be looked at: %s", run, first.name, error)
            return first.name, ""

    # from an outbox to people

    async def _serve(self, name: str) -> None:
        """Have a channel tell what it has to tell, as far as it is time to."""
        kv, state = await self._store.get_many([keys.channel(name), keys.delivery(name)])
        channel = _read(kv.key, kv.value, Channel) if kv else None
        if kv is None or channel is None:
            self._timers.set(name, None)
            await self._drop(name)
            return
        delivery = (_read(state.key, state.value, Delivery) if state else None) or Delivery()
        modified = state.modified if state else 0
        waiting: list[KeyValue] = []
        done: list[str] = []
        async for page in self._store.scan(keys.outbox(name)):
            waiting += [item for item in page.items if item.modified > delivery.through]
            done += [item.key for item in page.items if item.modified <= delivery.through]
        await self._forget(done)
        now = self._clock.now()
        changed = delivery.channel != kv.modified
        what = decide(delivery, [item.modified for item in waiting], channel.every, now, changed=changed)
        self._timers.set(name, what.until if isinstance(what, Wait) else None)
        if what is None or isinstance(what, Wait):
            return
        batch = sorted((i for i in waiting if i.modified <= what.through), key=lambda i: i.modified)
        if not delivery.sending:
            delivery = begun(delivery, what.through, now)
            modified = await self._note(name, kv, delivery, modified)
        items = [item for one in batch if (item := _read(one.key, one.value, Item))]
        delivery = await self._send(channel, kv, delivery, items)
        await self._note(name, kv, delivery, modified)
        self._queue.add(name)  # what was told is to be forgotten, what has come meanwhile to be told

    async def _send(self, channel: Channel, kv: KeyValue, delivery: Delivery, items: list[Item]) -> Delivery:
        """Send a message to the URLs that do not have it yet."""
        urls = [url for url in channel.urls if fingerprint(url) not in delivery.delivered]
        results = await self._tell(urls, compose(channel, items)) if items else []
        have = [*delivery.delivered, *(r.fingerprint for r in results if r.good)]
        error = "; ".join(f"{r.shown}: {r.said}" for r in results if not r.good)
        now = self._clock.now()
        after = tried(delivery, have, error, now, items=len(items), channel=kv.modified)
        if error:
            again = f"again at {after.next_try:%H:%M:%S}" if after.next_try else f"{len(items)} are given up"
            log.warning("channel %s cannot be told: %s; %s", channel.name, error, again)
        return after

    async def _note(self, name: str, channel: KeyValue, delivery: Delivery, modified: int) -> int:
        """Write down how far a channel has come: the revision. Raises StoreError if it is not ours to say."""
        place = keys.delivery(name)
        guard = [
            *self._fence(),
            Condition(place, modified=modified),
            Condition(channel.key, created=channel.created),
        ]
        revision = await self._store.commit(guard, [Put(place, encode(delivery))])
        if revision is None:
            raise StoreError("the channel has changed meanwhile, or another daemon leads")
        return revision

    async def _drop(self, name: str) -> None:
        """What a channel that was removed had still to tell."""
        prefix = keys.outbox(name)
        if (await self._store.page(prefix, keys.after(prefix), limit=1, keys_only=True)).items:
            await self._store.commit(
                [*self._fence(), Condition(keys.channel(name), modified=0)], [Delete(prefix, prefix=True)]
            )

    async def _forget(self, done: list[str]) -> None:
        for start in range(0, len(done), CHUNK):
            some: list[Put | Delete] = [Delete(key) for key in done[start : start + CHUNK]]
            if await self._store.commit(self._fence(), some) is None:
                raise StoreError("another daemon leads, or is about to")


def _read(key: str, value: bytes, kind: type[T]) -> T | None:
    """What is in the store; None, and a line in the log, if it cannot be read."""
    try:
        return decode(value, kind)
    except msgspec.DecodeError as error:
        log.error("%s cannot be read: %s", key, error)
        return None
