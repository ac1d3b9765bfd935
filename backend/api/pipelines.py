"""Pipelines: applying documents, their versions, what differs between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import asdict, replace
from starlette.responses import Response

from backend.accounts.account import by_name, missing
from backend.api import cursor, filter
from backend.api.accounts import all_accounts, may_use, names_of
from backend.api.call import Call, answer
from backend.api.literals import number
from backend.api.operations import PAGING, operation
from backend.api.views import run_view
from backend.api.wire import (
    Applied,
    ApplyPipeline,
    LintRequest,
    LintResult,
    Page,
    PipelineView,
    Rollback,
    RunView,
    VersionView,
)
from backend.errors import Conflict, InvalidDocument, NotAllowed, NotFound
from backend.run.state import Run
from backend.schedule.check import cause_of
from backend.schedule.model import Schedule
from backend.spec.bundle import LARGEST, address
from backend.spec.lint import Other, Report, Surroundings, lint
from backend.spec.model import Pipeline
from backend.spec.parse import parse
from backend.store import keys
from backend.store.base import Condition, Delete, Put
from backend.store.codec import decode, encode
from backend.store.records import Pin, PipelineHead, Version

FIELDS = frozenset(("name", "owner", "description", "version", "stages"))
LAST = 8  # runs that a list shows of each pipeline


@operation("POST", "/lint", body=LintRequest, answer=LintResult, on="any")
async def lint_document(call: Call) -> Response:
    """Look a document over without storing it"""
    body = await call.body(LintRequest)
    report = await _lint(call, body.document, body.code)
    return answer(LintResult(report.ok, tuple(report.findings), report.summary()))


@operation("HEAD", "/bundles/{address}", status=204, on="any")
async def has_bundle(call: Call) -> Response:
    """Whether a code bundle is here"""
    return Response(status_code=204 if await call.services.code.has(_address(call)) else 404)


@operation("PUT", "/bundles/{address}", status=201, role="editor", takes="application/octet-stream", on="any")
async def put_bundle(call: Call) -> Response:
    """Hand over code: a tar, named by the SHA-256 of its bytes"""
    data = await call.raw(2 * LARGEST)
    if address(data) != _address(call):
        raise InvalidDocument("the bundle's content is not what its address says")
    if not await call.services.code.has(address(data)):
        await call.services.code.put(data)
        await call.note(address(data), bytes=len(data))
    return Response(status_code=201)


def _address(call: Call) -> str:
    given = str(call.request.path_params["address"])
    if len(given) != 64 or not set(given) <= set("0123456789abcdef"):
        raise NotFound(f"{given!r} is no address of a bundle")
    return given


@operation(
    "GET",
    "/pipelines",
    answer=Page,
    items=PipelineView,
    query={**PAGING, "filter": "conditions: words, owner=…, -l team=analytics"},
    on="list",
)
async def list_pipelines(call: Call) -> Response:
    """Pipelines by name, each with its newest runs"""
    store, tests = call.services.store, filter.parse(call.text("filter"), FIELDS)
    at = cursor.within(call, keys.PIPELINES)
    start = at.key + "\0" if at else keys.PIPELINES
    schedules = await _schedules(call)
    found: list[tuple[PipelineHead, int]] = []
    while True:
        page = await store.page(start, keys.after(keys.PIPELINES), limit=call.limit)
        for kv in page.items:
            head = decode(kv.value, PipelineHead)
            if not call.sees_labelled(head.name, head.labels):
                continue
            if filter.matches(tests, {**asdict(head), **{f"label.{k}": v for k, v in head.labels.items()}}):
                found.append((head, kv.modified))
                if len(found) >= call.limit:
                    break
        last = found[-1][0].name if len(found) >= call.limit else ""
        more = page.more or (last and page.items[-1].key != keys.pipeline(last))
        if len(found) >= call.limit or not page.more:
            items = await _views(call, found, schedules)
            where = keys.pipeline(last) if last else ""
            following = cursor.pack(cursor.Cursor(page.revision, where)) if more and where else None
            return answer(Page(items, following, page.count if not tests and call.sees_all else None, page.revision))
        start = page.items[-1].key + "\0"


@operation("POST", "/pipelines", body=ApplyPipeline, answer=Applied, role="editor", on="body")
async def apply_pipeline(call: Call) -> Response:
    """Store a document as its pipeline's new version; one with errors is refused"""
    await call.seen_before()
    body = await call.body(ApplyPipeline)
    services = call.services
    files = await services.code.manifest(body.bundle) if body.bundle else {}
    report = await _lint(call, body.document, files)
    if not report.ok or report.pipeline is None:
        errors = sum(f.severity == "error" for f in report.findings)
        what = f"{errors} error{'s' if errors != 1 else ''}"
        raise InvalidDocument(f"the document has {what}; it was not stored", tuple(report.findings))
    await may_use(call, report.pipeline.service_account)
    return answer(await call.tried(f"pipeline {report.pipeline.name}", lambda: _store(call, report, body)))


@operation("GET", "/pipelines/{name}", answer=PipelineView)
async def get_pipeline(call: Call) -> Response:
    """One pipeline"""
    name = call.name()
    found = await call.services.store.get(keys.pipeline(name))
    if found is None:
        raise NotFound(f"there is no pipeline {name!r}", hint="khantui pipelines lists them")
    schedules = await _schedules(call)
    [view] = await _views(call, [(decode(found.value, PipelineHead), found.modified)], schedules)
    return answer(view)


@operation("GET", "/pipelines/{name}/versions", answer=Page, items=VersionView, query=PAGING)
async def list_versions(call: Call) -> Response:
    """A pipeline's versions, newest first"""
    name = call.name()
    current = await _current(call, name)
    prefix = keys.versions(name)
    at = cursor.within(call, prefix)
    page = await call.services.store.page(
        prefix, at.key if at else keys.after(prefix), limit=call.limit, descending=True
    )
    if not page.items and not at:
        raise NotFound(f"there is no pipeline {name!r}", hint="khantui pipelines lists them")
    views = [_version(decode(kv.value, Version), current) for kv in page.items]
    following = cursor.pack(cursor.Cursor(page.revision, page.items[-1].key)) if page.more else None
    return answer(Page(views, following, page.count, page.revision))


@operation("GET", "/pipelines/{name}/versions/{version}", answer=VersionView)
async def get_version(call: Call) -> Response:
    """One version, with its document, plan and code"""
    name, services = call.name(), call.services
    loaded = await services.catalogue.load(name, _number(call))
    record = loaded.record
    levels = [list(level) for level in loaded.plan.levels]
    there = record.bundle and await services.code.has(record.bundle)
    code = await services.code.manifest(record.bundle) if there else {}
    view = replace(
        _version(record, await _current(call, name)),
        document=record.document,
        plan={"levels": levels, "width": loaded.plan.width, "critical_path": list(loaded.plan.critical_path)},
        code=code,
    )
    return answer(view)


@operation("POST", "/pipelines/{name}/rollback", body=Rollback, answer=Applied, role="editor")
async def rollback_pipeline(call: Call) -> Response:
    """Make a new version that is an old one again"""
    await call.seen_before()
    name, wanted = call.name(), (await call.body(Rollback)).version
    loaded = await call.services.catalogue.load(name, wanted)
    await may_use(call, loaded.pipeline.service_account)
    text, bundle = loaded.record.document, loaded.record.bundle
    body = ApplyPipeline(text, bundle, f"back to version {wanted}")
    report = Report(parse(text).pipeline, [], None)
    return answer(await call.tried(f"pipeline {name}", lambda: _store(call, report, body, loaded.record.pins)))


@operation("DELETE", "/pipelines/{name}", status=204, role="editor", query={"force": "also if schedules start it"})
async def delete_pipeline(call: Call) -> Response:
    """Delete a pipeline; its runs and versions stay readable"""
    name, store = call.name(), call.services.store
    found = await store.get(keys.pipeline(name))
    if found is None:
        raise NotFound(f"there is no pipeline {name!r}", hint="khantui pipelines lists them")
    using = [s for s in await _all_schedules(call) if name in (s.pipeline, *map(cause_of, s.after))]
    if using and not call.flag("force"):
        named = ", ".join(s.name for s in using if call.sees(s.pipeline)) or "of another pipeline"
        raise Conflict(f"the schedule {named} refers to {name}", hint="delete the schedule first, or --force")
    for schedule in using:
        await call.permit("editor", schedule.pipeline)
    deletes: list[Put | Delete] = [Delete(keys.pipeline(name)), Delete(keys.failing(name))]
    deletes += [Delete(keys.results(name), prefix=True), Delete(keys.made(name), prefix=True)]
    deletes += [Delete(keys.schedule(s.name)) for s in using]
    if await call.commit([Condition(keys.pipeline(name), modified=found.modified)], deletes, name) is None:
        raise call.conflict(f"pipeline {name}")
    return Response(status_code=204)


async def _store(call: Call, report: Report, body: ApplyPipeline, pins: dict[str, Pin] | None = None) -> Applied | None:
    """Make the document the pipeline's newest version. None if somebody else was faster."""
    pipeline, services, now = report.pipeline, call.services, call.services.clock.now()
    assert pipeline is not None
    found = await services.store.get(keys.pipeline(pipeline.name))
    head = decode(found.value, PipelineHead) if found else None
    await _permit(call, pipeline, head)
    newest = head.version if head else await _last_version(call, pipeline.name)
    if body.expect is not None and body.expect != (head.version if head else 0):
        raise Conflict(
            f"{pipeline.name} is at version {head.version if head else 0}, not {body.expect}",
            hint="somebody else has changed it meanwhile: look at khantui diff, then apply again",
        )
    record = Version(
        pipeline.name,
        newest + 1,
        body.document,
        body.bundle,
        await _pins(call, pipeline, body.bundle) if pins is None else pins,
        now,
        call.who.name,
        body.message,
    )
    warnings = tuple(report.findings)
    if head is not None:
        current = (await services.catalogue.load(pipeline.name, head.version)).record
        if (current.document, current.bundle, current.pins) == (record.document, record.bundle, record.pins):
            return Applied(pipeline.name, head.version, "unchanged", warnings)
    applied = Applied(pipeline.name, record.version, "updated" if head else "created", warnings)
    if body.dry_run:
        return applied
    whole = await services.catalogue.resolve(record)
    new = PipelineHead(
        pipeline.name,
        record.version,
        pipeline.description,
        pipeline.owner,
        pipeline.labels,
        len(whole.plan.instances),
        whole.plan.width,
        head.created if head else now,
        now,
        call.who.name,
        pipeline.service_account,
        pipeline.retention,
    )
    conditions = [
        Condition(keys.pipeline(pipeline.name), modified=found.modified if found else 0),
        Condition(keys.version(pipeline.name, record.version), modified=0),
    ]
    changes: list[Put | Delete] = [
        Put(keys.pipeline(pipeline.name), encode(new)),
        Put(keys.version(pipeline.name, record.version), encode(record)),
    ]
    revision = await call.commit(
        conditions, changes, pipeline.name, answer=applied, why=body.message, version=record.version
    )
    if revision is None:
        return None
    services.access.note(pipeline.name, pipeline.labels)
    return applied


async def _permit(call: Call, pipeline: Pipeline, head: PipelineHead | None) -> None:
    """Whether the caller may store this document: as it will be, in the place of what is there, reading what it reads.

    Of a pipeline that was deleted runs and logs are still there: who makes it again must be allowed to edit that one.
    """
    if call.edits_all:
        return
    before = head.labels if head else await _last_labels(call, pipeline.name)
    if before is not None:
        await call.permit("editor", pipeline.name, labels=before)
    try:
        await call.permit("editor", pipeline.name, labels=pipeline.labels)
    except NotFound:
        raise NotAllowed(
            f"{call.who.name} may not store a pipeline {pipeline.name!r} with the labels that it has",
            hint="khantui auth explain shows which pipelines you may edit",
        ) from None
    read = {i.from_.partition("/")[0] for i in pipeline.inputs.values() if i.from_}
    read |= {s.uses.partition("/")[0] for s in pipeline.stages.values() if s.uses}
    for other in sorted(read - {pipeline.name}):
        await call.permit("viewer", other)


async def _last_labels(call: Call, name: str) -> dict[str, str] | None:
    """The labels that a pipeline had before it was deleted; None if there was none."""
    newest = await _last_version(call, name)
    return (await call.services.catalogue.load(name, newest)).pipeline.labels if newest else None


async def _last_version(call: Call, name: str) -> int:
    """The newest version there ever was: a pipeline that was deleted and comes again goes on counting."""
    prefix = keys.versions(name)
    page = await call.services.store.page(prefix, keys.after(prefix), limit=1, descending=True, keys_only=True)
    return int(page.items[0].key.rsplit("/", 1)[1]) if page.items else 0


async def _pins(call: Call, pipeline: Pipeline, bundle: str) -> dict[str, Pin]:
    """What each `uses` stands for from now on: the version that is current at this moment."""
    pins: dict[str, Pin] = {}
    for name, stage in pipeline.stages.items():
        where, _, used = stage.uses.partition("/")
        if not where:
            continue
        other = await call.services.catalogue.current(where)
        through = other.record.pins.get(used)
        own = bool(stage.run or stage.script)
        code = bundle if own else through.bundle if through else other.record.bundle
        pins[name] = Pin(where, other.record.version, used, code)
    return pins


async def _lint(call: Call, text: str, code: dict[str, int] | None) -> Report:
    """Lint with all that the daemon knows: its images, the other pipelines, the code."""
    services = call.services
    pipeline = parse(text).pipeline
    others: dict[str, Other] = {}
    if pipeline is not None:
        named = {i.from_.partition("/")[0] for i in pipeline.inputs.values() if i.from_}
        named |= {s.uses.partition("/")[0] for s in pipeline.stages.values() if s.uses}
        prefix = keys.PIPELINES
        if named:  # only to suggest what may have been meant
            page = await services.store.page(prefix, keys.after(prefix), keys_only=True)
            names = (kv.key.removeprefix(prefix) for kv in page.items)
            others = {name: Other((), {}) for name in names if call.sees(name)}
        for name in named & others.keys():
            loaded = await services.catalogue.current(name)
            others[name] = Other(tuple(loaded.pipeline.outputs), loaded.pipeline.stages)
    channels: frozenset[str] | None = None
    if pipeline is not None and pipeline.notify:
        page = await services.store.page(keys.CHANNELS, keys.after(keys.CHANNELS), keys_only=True)
        channels = frozenset(kv.key.removeprefix(keys.CHANNELS) for kv in page.items)
    accounts = {account.name: account async for account in all_accounts(call)}
    secrets = await names_of(call, keys.SECRETS) if any(account.secrets for account in accounts.values()) else ()
    around = Surroundings(
        images=services.images,
        missing=services.missing(),
        code=code,
        others=others,
        accounts=tuple(sorted({*services.accounts, *accounts})),
        missing_secrets={name: missing(account, secrets) for name, account in accounts.items()},
        named_hosts={name: by_name(account) for name, account in accounts.items()},
        executor=services.executor,
        channels=channels,
    )
    return lint(text, surroundings=around)


async def _views(
    call: Call, heads: list[tuple[PipelineHead, int]], schedules: Mapping[str, tuple[str, ...]]
) -> list[PipelineView]:
    """What is shown of pipelines, given their revisions, with their newest runs: read for all of them at once."""
    store = call.services.store
    indexed = await store.firsts([keys.by_pipeline(head.name) for head, _ in heads], LAST)
    newest = [keys.run(keys.run_of(key)) for some in indexed for key in some]
    runs: dict[str, list[RunView]] = {}
    for kv in await store.get_many(newest) if newest else ():
        if kv is not None:
            run = decode(kv.value, Run)
            runs.setdefault(run.pipeline, []).append(run_view(run, kv.modified))
    return [_view(head, revision, schedules.get(head.name, ()), runs.get(head.name, ())) for head, revision in heads]


def _view(head: PipelineHead, revision: int, schedules: tuple[str, ...], runs: Sequence[RunView]) -> PipelineView:
    return PipelineView(
        name=head.name,
        version=head.version,
        description=head.description,
        owner=head.owner,
        labels=head.labels,
        stages=head.stages,
        width=head.width,
        schedules=tuple(schedules),
        updated=head.updated,
        updated_by=head.updated_by,
        last=tuple(runs),
        revision=revision,
    )


async def _all_schedules(call: Call) -> list[Schedule]:
    found: list[Schedule] = []
    async for page in call.services.store.scan(keys.SCHEDULES):
        found += [decode(kv.value, Schedule) for kv in page.items]
    return found


async def _schedules(call: Call) -> dict[str, tuple[str, ...]]:
    """The schedules of each pipeline."""
    found: dict[str, tuple[str, ...]] = {}
    for schedule in await _all_schedules(call):
        found[schedule.pipeline] = (*found.get(schedule.pipeline, ()), schedule.name)
    return found


async def _current(call: Call, name: str) -> int:
    try:
        return (await call.services.catalogue.head(name)).version
    except NotFound:
        return 0


def _number(call: Call) -> int:
    text = str(call.request.path_params["version"])
    found = number(text)
    if found is None or len(text) > 8:
        raise NotFound(f"{text!r} is no version")
    return found


def _version(record: Version, current: int) -> VersionView:
    pins: dict[str, Any] = {s: f"{p.pipeline}/{p.stage}@{p.version}" for s, p in record.pins.items()}
    return VersionView(
        pipeline=record.pipeline,
        version=record.version,
        current=record.version == current,
        created=record.created,
        created_by=record.created_by,
        message=record.message,
        bundle=record.bundle,
        pins=pins,
        document=UNSET,
        plan=UNSET,
        code=UNSET,
    )
