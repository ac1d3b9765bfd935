"""Runs: starting, listing, looking at, cancelling and retrying them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace
from starlette.responses import Response

from backend.api import cursor, filter
from backend.api.accounts import may_use, with_secrets
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.run_ranges import Bounds, Range, in_order, mirrored_of
from backend.api.run_search import only_late, search_of
from backend.api.views import run_view, stage_views
from backend.api.wire import Page, RetryRun, RunView, StageView, StartRun
from backend.errors import Conflict, InvalidRequest, NotFound
from backend.run.again import again
from backend.run.create import logical_time, new_run
from backend.run.ids import edge, is_id, is_short, new_id
from backend.run.state import Run, RunState, StageRecord, StageState, Trigger
from backend.spec.interpolate import Context, InterpolationError, resolve
from backend.spec.quantity import duration
from backend.store import keys
from backend.store.base import Condition, KeyValue, Put, Store
from backend.store.catalogue import Loaded
from backend.store.codec import decode, encode
from backend.store.records import LATE, Command, PipelineHead, create_run
from backend.store.roster import Search
from backend.store.tally import LONG

MOST_LOOKED_AT = 20_000  # runs that one request may look through
MOST_SKIPPED = 1_000_000
SORTS = ("created", "started", "ended", "pipeline", "state", "logical_time")
MOST_SORTED = 5_000


@operation("POST", "/pipelines/{name}/runs", body=StartRun, answer=RunView, status=201, role="operator")
async def start_run(call: Call) -> Response:
    """Start a run of a pipeline"""
    await call.seen_before()
    name, body, services = call.name(), await call.body(StartRun), call.services
    catalogue = services.catalogue
    loaded = await (catalogue.load(name, body.version) if body.version else catalogue.current(name))
    await may_use(call, loaded.pipeline.service_account)
    now, zone = services.clock.now(), body.zone or "UTC"
    run = new_run(
        loaded.pipeline,
        loaded.plan,
        identifier=new_id(now),
        version=loaded.record.version,
        moment=logical_time(body.date, zone, now),
        now=now,
        parameters=body.parameters,
        trigger=Trigger("manual", by=call.who.name),
        zone=zone,
        fresh=body.fresh,
    )
    return answer(await _create(call, run), 201)


@operation(
    "GET",
    "/runs",
    answer=Page,
    items=RunView,
    query={
        **PAGING,
        "pipeline": "of this pipeline",
        "state": "in this state; may be given several times",
        "filter": "conditions: words, state=failed, pipeline~learn, age<2h, took>10m, backfill=ID, -l team=analytics",
        "sort": f"newest first; or by {', '.join(SORTS)}, a minus before it turns the order round",
        "include": "stages: with their stages",
        "skip": "leave out so many; only of all runs, or of a pipeline's",
    },
    on="list",
)
async def list_runs(call: Call) -> Response:
    """Runs, newest first"""
    selection = await Selection.of(call)
    sort = call.text("sort", "-created")
    if sort == "-created":
        return answer(await _page(call, selection))
    return answer(await _sorted(call, selection, sort))


@operation("GET", "/runs/{run}", answer=RunView)
async def get_run(call: Call) -> Response:
    """A run with its stages; by its id, the last six characters of it, or pipeline@latest"""
    kv = await find(call)
    asked = await _asked(call, keys.run_of(kv.key))
    if not asked:  # read after what was asked, it shows what became of that
        kv = await call.services.store.get(kv.key) or kv
    view = await detailed(call, decode(kv.value, Run), kv.modified)
    return answer(replace(view, asked=asked))


@operation("GET", "/runs/{run}/stages/{stage}", answer=StageView)
async def get_stage(call: Call) -> Response:
    """A stage instance of a run"""
    kv = await find(call)
    run, name = decode(kv.value, Run), call.instance()
    for view in stage_views(run, await records(call, run.id), await loaded_of(call, run)):
        if view.name == name:
            return answer(view)
    raise NotFound(f"run {run.id} has no stage {name!r}", hint=f"khantui status {run.id} shows its stages")


@operation("POST", "/runs/{run}/cancel", answer=RunView, status=202, role="operator")
async def cancel_run(call: Call) -> Response:
    """Have a run end; what runs of it is ended"""
    await call.seen_before()
    kv = await find(call)
    run = decode(kv.value, Run)
    if run.state.ended:
        raise Conflict(f"run {run.id} has ended already: {run.state}")
    return await _command(call, run, kv, Command("cancel", call.who.name, call.services.clock.now()))


@operation("POST", "/runs/{run}/retry", body=RetryRun, answer=RunView, status=202, role="operator")
async def retry_run(call: Call) -> Response:
    """Do again what failed in a run, or a stage and what follows it; with `latest` in a new run"""
    await call.seen_before()
    body, kv = await call.body(RetryRun), await find(call)
    run = decode(kv.value, Run)
    now = call.services.clock.now()
    if body.latest:
        return answer(await _take_up(call, run, body, now), 202)
    loaded = await call.services.catalogue.load(run.pipeline, run.version)
    await may_use(call, loaded.pipeline.service_account)
    found = await records(call, run.id)
    states = {n: found[n].state if n in found else StageState.WAITING for n in loaded.plan.instances}
    again(loaded.plan, states, body.from_stage, body.only)  # says now what the controller would find
    command = Command("retry", call.who.name, now, body.from_stage, body.only)
    return await _command(call, run, kv, command)


async def find(call: Call) -> KeyValue:
    """The run that the path names. Raises NotFound."""
    if call.found is not None:
        known, call.found = call.found, None  # once: who asks again wants it as it is then
        return known
    store, given = call.services.store, str(call.request.path_params["run"])
    identifier = given
    if is_short(given):
        prefix = keys.by_short(given)
        page = await store.page(prefix, keys.after(prefix), limit=2, keys_only=True)
        if len(page.items) > 1:
            raise InvalidRequest(f"more than one run ends in {given}", hint="give the whole id")
        identifier = page.items[0].key.rsplit("/", 1)[1] if page.items else given
    elif "@" in given:
        identifier = await _newest(call, *given.split("@", 1))
    if is_id(identifier) and (found := await store.get(keys.run(identifier))) is not None:
        return found
    raise NotFound(f"there is no run {given!r}", hint="khantui runs lists them")


async def _newest(call: Call, pipeline: str, which: str) -> str:
    states = {"latest": None, "failed": RunState.FAILED, "succeeded": RunState.SUCCEEDED, "running": RunState.RUNNING}
    if which not in states:
        raise InvalidRequest(f"@{which} means nothing", hint=f"one of {', '.join('@' + s for s in states)}")
    prefix = keys.by_pipeline(pipeline)
    start = prefix
    while True:
        page = await call.services.store.page(start, keys.after(prefix), limit=100, keys_only=True)
        ids = [keys.run_of(item.key) for item in page.items]
        for kv in await call.services.store.get_many([keys.run(i) for i in ids]) if ids else ():
            if kv is not None and states[which] in (None, decode(kv.value, Run).state):
                return keys.run_of(kv.key)
        if not page.more:
            raise NotFound(f"{pipeline} has no run that is {which}")
        start = page.items[-1].key + "\0"


async def records(call: Call, run_id: str) -> dict[str, StageRecord]:
    """The stage records of a run."""
    found: dict[str, StageRecord] = {}
    async for page in call.services.store.scan(keys.stages(run_id)):
        for kv in page.items:
            record = decode(kv.value, StageRecord)
            found[record.name] = record
    return found


async def loaded_of(call: Call, run: Run) -> Loaded | None:
    """The version that a run is of; None if it is gone."""
    try:
        return await call.services.catalogue.load(run.pipeline, run.version)
    except NotFound:
        return None


async def _asked(call: Call, run_id: str) -> tuple[str, ...]:
    prefix = keys.commands(run_id)
    page = await call.services.store.page(prefix, keys.after(prefix))
    return tuple(decode(kv.value, Command).kind for kv in page.items)


async def detailed(call: Call, run: Run, revision: int) -> RunView:
    """A run with its stages and environment."""
    loaded = await loaded_of(call, run)
    view = run_view(run, revision, stage_views(run, await records(call, run.id), loaded))
    if loaded is None:
        return view
    context = Context(
        run.logical_time, run.id, 1, run.pipeline, run.version, run.trigger.schedule, run.parameters, "${stage.name}"
    )
    try:
        environment = resolve(loaded.pipeline.environment, context)
    except InterpolationError:
        return view
    return replace(view, environment=await with_secrets(call, loaded.pipeline.service_account, environment))


async def _create(call: Call, run: Run, **detail: Any) -> RunView:
    conditions, changes = create_run(run)
    view = run_view(run, 0)
    detail = {"pipeline": run.pipeline, "parameters": run.parameters, **detail}
    revision = await call.commit(conditions, changes, run.id, answer=view, status=201, **detail)
    if revision is None:
        raise call.conflict(f"run {run.id}")
    return replace(view, revision=revision)


async def _take_up(call: Call, old: Run, body: RetryRun, now: datetime) -> RunView:
    """A new run at the pipeline's present version, that keeps what is still good of the old one."""
    loaded = await call.services.catalogue.current(old.pipeline)
    await may_use(call, loaded.pipeline.service_account)
    if body.from_stage and not any(body.from_stage in (n, i.stage) for n, i in loaded.plan.instances.items()):
        raise NotFound(f"{old.pipeline} has no stage {body.from_stage!r} any more")
    known = {k: v for k, v in old.parameters.items() if k in loaded.pipeline.parameters}
    run = new_run(
        loaded.pipeline,
        loaded.plan,
        identifier=new_id(now),
        version=loaded.record.version,
        moment=old.logical_time,
        now=now,
        parameters=known,
        trigger=Trigger("retry", by=call.who.name, run=old.id),
        zone=old.zone,
        retry_from=body.from_stage,
    )
    return await _create(call, run, retry_of=old.id)


async def _command(call: Call, run: Run, kv: KeyValue, command: Command) -> Response:
    view = run_view(run, kv.modified)
    key = keys.command(run.id, new_id(command.at))
    put = Put(key, encode(command))
    conditions = [Condition(key, modified=0), Condition(kv.key, created=kv.created)]  # it may be removed meanwhile
    if await call.commit(conditions, [put], run.id, answer=view, status=202) is None:
        raise call.conflict(f"run {run.id}")
    return answer(view, 202)


class Selection:
    """Which runs are asked for, and which keys to look through for them: ranges that each end in a mirrored run id."""

    def __init__(
        self,
        prefixes: tuple[str, ...],
        states: frozenset[str],
        tests: list[filter.Test],
        labels: dict[str, Any],
        seen: Callable[[str], bool] | None,
        search: Search,
    ) -> None:
        self.prefixes = prefixes
        self.search = search  # what the roster is asked for
        self.states = states
        self.tests = tests
        self.labels = labels  # pipeline -> labels, where they are asked for
        self.seen = seen  # whether the caller may see runs of a pipeline; None: of all

    @classmethod
    async def of(cls, call: Call) -> Selection:
        """From the request. Raises InvalidRequest."""
        tests = filter.parse(call.text("filter"), filter.RUN_FIELDS)
        pipeline, states, backfill = call.text("pipeline"), set(call.texts("state")), ""
        rest: list[filter.Test] = []
        for test in tests:
            if test.field == "pipeline" and test.sign == "=" and "," not in test.value and not pipeline:
                pipeline = test.value
            elif test.field == "state" and test.sign == "=" and not states:
                states = set(test.value.split(","))
            elif test.field == "backfill" and test.sign == "=" and test.value and "," not in test.value:
                backfill = test.value
            else:
                rest.append(test)
        unknown = states.difference(s.value for s in RunState)
        if unknown:
            known = ", ".join(s.value for s in RunState)
            raise InvalidRequest(f"there is no state {sorted(unknown)[0]!r}", hint=f"states: {known}")
        labels: dict[str, Any] = {}
        if any(t.field.startswith("label.") for t in rest):
            async for page in call.services.store.scan(keys.PIPELINES):
                labels |= {h.name: h.labels for h in (decode(kv.value, PipelineHead) for kv in page.items)}
        seen = None if call.sees_all or (pipeline and call.sees(pipeline)) else call.sees
        conditions = [filter.Test(f, "=", v) for f, v in (("backfill", backfill), ("pipeline", pipeline)) if v]
        wanted = [filter.Test("state", "=", ",".join(sorted(states)))] if states else []
        search = search_of([*rest, *conditions, *wanted], labels, seen)
        indexes: list[tuple[str, ...]] = [(keys.by_backfill(backfill),)] if backfill else []
        indexes += [(keys.by_pipeline(pipeline),)] if pipeline else []
        indexes += [tuple(keys.by_state(state) for state in sorted(states))] if states else []
        if not indexes:
            return cls((keys.RUNS,), frozenset(), rest, labels, seen, search)
        if len(indexes) == 1 and not any(test.field == "age" for test in rest):
            return cls(indexes[0], frozenset(), rest, labels, seen, search)
        shortest = await _shortest(call, indexes)
        return cls(shortest, frozenset(states), [*rest, *conditions], labels, seen, search)

    async def ranges(self, call: Call) -> list[Range]:
        """The ranges of keys; those that the ages asked for leave out are left out."""
        bounds = _bounds(self.tests, call.services.clock.now())
        found = [await _range(call, prefix, bounds, values=bounds.oldest is None) for prefix in self.prefixes]
        if bounds.oldest is not None:  # of what is older, only runs that were made late can be young
            found.append(await _range(call, keys.LATE, Bounds(bounds.oldest - timedelta(milliseconds=1))))
        return found

    @property
    def exact(self) -> bool:
        """Whether every key in the range is a run that is asked for."""
        return not self.states and not self.tests and self.seen is None

    def fits(self, run: Run, now: datetime) -> bool:
        """Whether this run is asked for."""
        if self.seen is not None and not self.seen(run.pipeline):
            return False
        if self.states and run.state not in self.states:
            return False
        if not self.tests:
            return True
        labels = {f"label.{k}": v for k, v in self.labels.get(run.pipeline, {}).items()}
        return filter.matches(self.tests, filter.run_subject(run, run.stages, now) | labels)


class _Found(NamedTuple):
    """A run that was come upon: its mirrored id, itself, and the revision at which the list is read."""

    mirrored: str
    kv: KeyValue
    revision: int


async def _shortest(call: Call, indexes: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Of several lists of runs the one with the fewest."""
    tally = call.services.tally
    lengths = [sum([await tally.about(prefix) for prefix in prefixes]) for prefixes in indexes]
    return indexes[lengths.index(min(lengths))]


async def _range(call: Call, prefix: str, bounds: Bounds, *, values: bool = True) -> Range:
    """A range of runs; `values`: those of the runs themselves are to be read with it."""
    services = call.services
    long = await services.tally.about(prefix) > LONG
    return Range(prefix, bounds, values=values and prefix == keys.RUNS, long=long, now=services.clock.now())


def _bounds(tests: list[filter.Test], now: datetime) -> Bounds:
    """Between which moments the ids are of runs of such an age, but for those that were made late."""
    newest, oldest = None, None
    for test in tests:
        if test.field != "age" or test.sign not in ("<", ">", "<=", ">="):
            continue
        try:
            moment = now - timedelta(seconds=duration(test.value))
            if test.sign[0] == ">":
                newest = min(moment + LATE, newest or moment + LATE)
            else:
                oldest = max(moment - LATE, oldest or moment - LATE)
        except OverflowError:  # before there were any
            continue
    return Bounds(newest, oldest)


async def _walk(call: Call, selection: Selection, last: str, revision: int) -> AsyncIterator[_Found]:
    """Runs behind the one whose mirrored id is `last`, newest first."""
    narrows = not selection.search.every or any(test.field == "age" for test in selection.tests)
    if not narrows or selection.exact or not (known := await call.services.roster.current()):
        through = _through(call, selection, last, revision)
    else:
        through = _named(call, selection, last, known)
    async for found in through:
        yield found


async def _named(call: Call, selection: Selection, last: str, known: int) -> AsyncIterator[_Found]:
    """Those that the roster names, of which all was known at the revision `known`."""
    store, roster, size = call.services.store, call.services.roster, min(call.limit + 1, 100)
    bounds = _bounds(selection.tests, call.services.clock.now())
    newest = edge(bounds.newest) if bounds.newest else ""
    oldest = f"{edge(bounds.oldest)}." if bounds.oldest else ""
    stretches = [(selection.search, max(last, newest), oldest)]
    if oldest:  # of what is older, only runs that were made late can be young
        stretches.append((only_late(selection.search), max(last, oldest), ""))
    for search, start, end in stretches:
        last = max(last, start)
        while roster.complete and (names := roster.find(search, last, end, size)):
            for name, kv in zip(names, await store.get_many([keys.RUNS + n for n in names]), strict=True):
                if kv is not None:
                    yield _Found(name, kv, known)
            last, size = names[-1], 100
    if roster.floor or not roster.complete:  # not, or no longer: the rest is looked through
        async for found in _through(call, selection, max(last, roster.floor), 0):
            yield found


async def _through(call: Call, selection: Selection, last: str, revision: int) -> AsyncIterator[_Found]:
    """Those that come up as ranges of the store are looked through."""
    store, size = call.services.store, max(call.limit, 50)
    ranges = await selection.ranges(call)
    direct = len(ranges) == 1 and ranges[0].values
    walks = []
    for each in ranges:
        page = await each.read(store, last, size, revision)
        revision = page.revision  # one moment for all
        walks.append(each.walk(store, page, size))
    batch: list[KeyValue] = []
    async for item in in_order(walks):
        batch.append(item)
        if direct or len(batch) == min(size, 100):
            for mirrored, kv in await _read(store, batch, direct=direct):
                yield _Found(mirrored, kv, revision)
            batch = []
    for mirrored, kv in await _read(store, batch, direct=False):
        yield _Found(mirrored, kv, revision)


async def _read(store: Store, items: list[KeyValue], *, direct: bool) -> list[tuple[str, KeyValue]]:
    """The runs that keys are of, with their mirrored ids; those that are gone are left out."""
    if direct or not items:
        return [(mirrored_of(item.key), item) for item in items]
    found = await store.get_many([keys.run(keys.run_of(item.key)) for item in items])
    return [(mirrored_of(item.key), kv) for item, kv in zip(items, found, strict=True) if kv is not None]


async def _page(call: Call, selection: Selection) -> Page:
    at, now = cursor.unpack(call.text("cursor")), call.services.clock.now()
    start = at.key if at else ""
    items: list[RunView] = []
    looked, revision, more, last = 0, 0, False, ""
    with_stages = "stages" in call.texts("include")
    if skip := call.number("skip", 0, most=MOST_SKIPPED):
        if not selection.exact or len(selection.prefixes) > 1:
            raise InvalidRequest("skip is not for runs under conditions", hint="follow the cursor of the page before")
        start, revision = await _skip(call, selection, start, skip)
    async for mirrored, kv, at_revision in _walk(call, selection, start, revision):
        revision = at_revision
        if len(items) >= call.limit or looked >= MOST_LOOKED_AT:
            more = True
            break
        looked, last = looked + 1, mirrored
        run = decode(kv.value, Run)
        if selection.fits(run, now):
            items.append(await _listed(call, run, kv.modified, with_stages))
    following = cursor.pack(cursor.Cursor(revision, last)) if more else None
    known = None
    if selection.exact and not at and not skip:
        known = len(items)
        if more:
            known = sum([await call.services.tally.count(prefix) for prefix in selection.prefixes])
    return Page(items, following, known, revision or call.services.feed.revision)


async def _skip(call: Call, selection: Selection, start: str, number: int) -> tuple[str, int]:
    """Behind which mirrored id the runs are that follow the next `number`, and the revision to read on at."""
    roster, through = call.services.roster, await _range(call, selection.prefixes[0], Bounds())
    if through.long and not start and await roster.current():
        start, number = roster.skip(selection.search, number)
        if not number or not roster.floor:
            return start, 0
    return await through.skip(call.services.store, start, number)


async def _sorted(call: Call, selection: Selection, sort: str) -> Page:
    field = sort.removeprefix("-")
    if field not in SORTS:
        raise InvalidRequest(f"runs cannot be sorted by {field!r}", hint=f"by {', '.join(SORTS)}")
    now, found, revision = call.services.clock.now(), list[tuple[Run, int]](), 0
    async for _, kv, at_revision in _walk(call, selection, "", 0):
        revision = at_revision
        run = decode(kv.value, Run)
        if selection.fits(run, now):
            found.append((run, kv.modified))
            if len(found) > MOST_SORTED:
                raise InvalidRequest(
                    f"more than {MOST_SORTED} runs cannot be sorted by {field}", hint="narrow the filter"
                )
    found.sort(key=lambda each: str(getattr(each[0], field) or ""), reverse=sort.startswith("-"))
    page = cursor.part(call, found, revision or call.services.feed.revision)
    with_stages = "stages" in call.texts("include")
    page.items[:] = [await _listed(call, run, modified, with_stages) for run, modified in page.items]
    return page


async def _listed(call: Call, run: Run, revision: int, with_stages: bool) -> RunView:
    if not with_stages:
        return run_view(run, revision)
    return run_view(run, revision, stage_views(run, await records(call, run.id), await loaded_of(call, run)))
