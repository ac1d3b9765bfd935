"""Channels: where notifications go. Their URLs hold secrets: they are taken, and never given back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.wire import ChannelTest, ChannelView, Page, PutChannel, ServiceAnswer
from backend.channels import send, shown
from backend.errors import InvalidRequest, NotFound
from backend.notify.model import Channel, Delivery
from backend.notify.words import check, trial
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put, Store
from backend.store.codec import decode, encode

MOST = 20  # URLs of one channel
LONGEST = 2000  # characters of one
SLOWEST = 24 * 3600  # seconds between two messages


@operation("GET", "/channels", answer=Page, items=ChannelView, query=PAGING, on="any")
async def list_channels(call: Call) -> Response:
    """Where notifications can go, and how telling goes"""
    states = {name: delivery async for name, delivery in deliveries(call.services.store)}
    found: list[ChannelView] = []
    revision = 0
    async for page in call.services.store.scan(keys.CHANNELS):
        revision = page.revision
        for kv in page.items:
            channel = decode(kv.value, Channel)
            found.append(await _view(call, channel, kv.modified, states.get(channel.name)))
    return answer(cursor.part(call, found, revision))


@operation("GET", "/channels/{name}", answer=ChannelView, on="any")
async def get_channel(call: Call) -> Response:
    """One channel"""
    kv = await _find(call)
    return answer(await _view(call, decode(kv.value, Channel), kv.modified))


@operation("PUT", "/channels/{name}", body=PutChannel, answer=ChannelView, role="admin")
async def put_channel(call: Call) -> Response:
    """Make or change a channel; its URLs are not shown again"""
    await call.seen_before()
    name, body, services = call.name(), await call.body(PutChannel), call.services
    _look_over(body)
    services_shown = () if isinstance(body.urls, UnsetType) else await shown(body.urls)

    async def attempt() -> ChannelView | None:
        found = await services.store.get(keys.channel(name))
        old = decode(found.value, Channel) if found else None
        if old is None and isinstance(body.urls, UnsetType):
            raise InvalidRequest(f"the new channel {name} needs a URL at least")
        channel = old or Channel(name, (), (), created=services.clock.now(), created_by=call.who.name)
        if not isinstance(body.urls, UnsetType):
            channel = replace(channel, urls=body.urls, shown=services_shown)
        given = {f: v for f in ("every", "title", "body") if (v := getattr(body, f)) is not UNSET}
        channel = replace(channel, **given)
        condition = Condition(keys.channel(name), modified=found.modified if found else 0)
        view = await _view(call, channel, 0)
        change = Put(keys.channel(name), encode(channel))
        revision = await call.commit([condition], [change], name, answer=view, services=list(channel.shown))
        return replace(view, revision=revision) if revision is not None else None

    return answer(await call.tried(f"channel {name}", attempt))


@operation("DELETE", "/channels/{name}", status=204, role="admin")
async def delete_channel(call: Call) -> Response:
    """Forget a channel, with what it has not told yet"""
    kv = await _find(call)
    name = call.name()
    changes: list[Put | Delete] = [
        Delete(kv.key),
        Delete(keys.delivery(name)),
        Delete(keys.outbox(name), prefix=True),
    ]
    if await call.commit([Condition(kv.key, modified=kv.modified)], changes, name) is None:
        raise call.conflict(f"channel {name}")
    return Response(status_code=204)


@operation("POST", "/channels/{name}/test", answer=ChannelTest, role="operator", on="any")
async def test_channel(call: Call) -> Response:
    """Send a test message now; the answer is what each service said"""
    channel = decode((await _find(call)).value, Channel)
    results = await send(channel.urls, trial(channel, call.services.clock.now()))
    await call.note(channel.name, good=all(r.good for r in results))
    answers = tuple(ServiceAnswer(r.shown, r.good, r.said) for r in results)
    return answer(ChannelTest(channel.name, all(r.good for r in results), answers))


async def deliveries(store: Store) -> AsyncIterator[tuple[str, Delivery]]:
    """How far each channel has come, by name."""
    async for page in store.scan(keys.DELIVERIES):
        for kv in page.items:
            yield kv.key.removeprefix(keys.DELIVERIES), decode(kv.value, Delivery)


def _look_over(body: PutChannel) -> None:
    """Raises InvalidRequest. URLs are not repeated: an answer may be logged."""
    if not isinstance(body.urls, UnsetType):
        if not 1 <= len(body.urls) <= MOST:
            raise InvalidRequest(f"a channel has 1 to {MOST} URLs, not {len(body.urls)}")
        if any(len(url) > LONGEST for url in body.urls):
            raise InvalidRequest(f"a URL is longer than {LONGEST} characters")
        if len(set(body.urls)) < len(body.urls):
            raise InvalidRequest("the same URL is there twice")
    if not isinstance(body.every, UnsetType) and not 0 <= body.every <= SLOWEST:
        raise InvalidRequest(f"every must be from 0 to {SLOWEST} seconds, not {body.every}")
    for what in ("title", "body"):
        if isinstance(template := getattr(body, what), str):
            check(template, what)


async def _find(call: Call) -> KeyValue:
    name = call.name()
    found = await call.services.store.get(keys.channel(name))
    if found is None:
        raise NotFound(f"there is no channel {name!r}", hint="khantui channels lists them")
    return found


async def _view(call: Call, channel: Channel, revision: int, delivery: Delivery | None = None) -> ChannelView:
    store, prefix = call.services.store, keys.outbox(channel.name)
    if delivery is None:
        kv = await store.get(keys.delivery(channel.name))
        delivery = decode(kv.value, Delivery) if kv else Delivery()
    waiting = (await store.page(prefix, keys.after(prefix), count_only=True)).count
    return ChannelView(
        name=channel.name,
        services=channel.shown,
        every=channel.every,
        title=channel.title,
        body=channel.body,
        created=channel.created,
        created_by=channel.created_by,
        state="failing" if delivery.error else "waiting" if waiting else "idle",
        waiting=waiting,
        sent=delivery.sent,
        dropped=delivery.dropped,
        last_sent=delivery.last_sent,
        error=delivery.error,
        error_at=delivery.error_at,
        next_try=delivery.next_try,
        revision=revision,
    )
