"""Bringing in what other schedulers have."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse

if TYPE_CHECKING:
    from khantui.crontab.jobs import Imported, Job, Planned

SCHEDULES = "schedules.sh"


@group("import", short_help="Turn a crontab into pipelines and schedules.")
@click.pass_context
def import_(ctx: click.Context) -> None:
    """Turn what another scheduler runs into pipelines and schedules.

    Example: khantui import crontab /etc/crontab
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command("crontab", short_help="Turn a crontab into pipelines and schedules.")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option("--system", is_flag=True, help="Lines name a user, as in /etc/crontab and /etc/cron.d (where it is so).")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("pipelines"), show_default=True,
              metavar="D", help="Where to write: a folder for each job, and schedules.sh.")  # fmt: skip
@click.option("--tz", "zone", metavar="ZONE", help="The time zone where no CRON_TZ says one (this machine's).")
@click.option("--mail-via", "via", metavar="URL", envvar="KHANTUI_MAIL_VIA",
              help="Tell whom MAILTO names of failures, over a mail server: mailtos://USER:PASSWORD@HOST.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Write documents anew that were changed since.")
@click.option("--apply", "applies", is_flag=True, help="Store the pipelines and make the schedules, too.")
@click.option("--dry-run", is_flag=True, help="Say what would come of it; write nothing.")
@pass_session
def crontab(
    session: Session, file: str, system: bool, folder: Path, zone: str | None, via: str | None, overwrite: bool,
    applies: bool, dry_run: bool,
) -> int:  # fmt: skip
    """Turn the crontab FILE (- is stdin) into a folder with a document for each job, and into schedules; and say, line
    by line, what could not be kept. Exit 1 if a line was not imported.

    \b
    Example: crontab -l | khantui import crontab - --tz Europe/Berlin
             khantui import crontab /etc/crontab --dir pipelines --apply
    """
    from khantui.crontab.jobs import convert
    from khantui.crontab.lines import parse
    from khantui.state.when import zone_of

    if applies and dry_run:
        raise click.UsageError("--apply and --dry-run cannot both be meant")
    zone = zone or _local_zone()
    zone_of(zone)
    if via is not None and "://" not in via:
        raise Misuse(f"--mail-via {via!r} is no URL", "write mailtos://USER:PASSWORD@smtp.example.org")
    system = system or Path(file).resolve() == Path("/etc/crontab") or Path(file).resolve().parent.name == "cron.d"
    imported = convert(parse(_read(file), system=system), zone, _known(folder), mails=via is not None)
    outcomes = {} if dry_run else {job.name: _write(folder, job, overwrite) for job in imported.jobs}
    if not dry_run and imported.jobs:
        _write_schedules(folder, imported)
    made = _make_channels(session, imported, via) if applies and via else {}
    applied = _apply(session, folder, imported) if applies else {}
    result = _result(imported, folder, outcomes, applied, made)
    session.show_one(
        result, lambda _: _lines(imported, folder, outcomes), lambda _: "\n".join(j.name for j in imported.jobs)
    )
    if session.for_people:
        _say(file, imported, folder, made, applies=applies, dry_run=dry_run)
    return 1 if imported.refused else 0


import_.add_command(crontab)


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _local_zone() -> str:
    """This machine's time zone, which is cron's; UTC where it does not say."""
    from zoneinfo import ZoneInfo

    link = Path("/etc/localtime").resolve().parts
    named = "/".join(link[link.index("zoneinfo") + 1 :]) if "zoneinfo" in link else "UTC"
    for name in (os.environ.get("TZ", "").lstrip(":"), named):
        try:
            if name:
                return ZoneInfo(name).key
        except (KeyError, ValueError, OSError):
            continue
    return "UTC"


def _known(folder: Path) -> dict[str, str]:
    """The names of the jobs that were imported to this folder before."""
    from khantui.crontab.jobs import LABEL

    known: dict[str, str] = {}
    for path in sorted(folder.glob("*/pipeline.json")):
        value = _document(path)
        labels = value.get("labels")
        key = labels.get(LABEL) if isinstance(labels, dict) else None
        if isinstance(key, str) and value.get("name") == path.parent.name:
            known[key] = path.parent.name
    return known


def _document(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _path(folder: Path, job: Job) -> Path:
    return folder / job.name / "pipeline.json"


def _write(folder: Path, job: Job, overwrite: bool) -> str:
    """What became of a job's document. Raises Failure rather than write over what is no import of it."""
    from khantui.crontab.jobs import LABEL

    path = _path(folder, job)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(job.text, encoding="utf-8")
        return "created"
    there = _document(path)
    if there == job.document:
        return "unchanged"
    if (there.get("labels") or {}).get(LABEL) != job.key:
        raise Failure(f"{path} is there already, and is no import of this crontab", "give another folder: --dir D")
    if not overwrite:
        return "kept"
    path.write_text(job.text, encoding="utf-8")
    return "overwritten"


def _write_schedules(folder: Path, imported: Imported) -> None:
    lines = ["#!/bin/sh", "# What a crontab ran when: after `khantui apply`, this makes the schedules.", "set -eu"]
    lines += [shlex.join(planned.words) for planned in imported.schedules]
    (folder / SCHEDULES).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _apply(session: Session, folder: Path, imported: Imported) -> dict[str, str]:
    """Store pipelines and make schedules: what became of each pipeline. Raises Failure before anything is changed."""
    from khantui.cli.apply import apply_document
    from khantui.cli.check import check, known, print_findings
    from khantui.cli.documents import find
    from khantui.crontab.jobs import LABEL

    there = {p.name: p for p in session.client.pipelines()}
    keys = {job.name: job.key for job in imported.jobs}
    if foreign := [n for n, key in keys.items() if n in there and there[n].labels.get(LABEL) != key]:
        raise Failure(
            f"other pipelines have these names already: {', '.join(foreign)}; nothing was applied",
            "rename the documents, and apply them by hand: khantui apply",
        )
    taken = {s.name: s.pipeline for s in session.client.schedules()}
    if foreign := [s.name for s in imported.schedules if taken.get(s.name, s.pipeline) != s.pipeline]:
        raise Failure(
            f"schedules of other pipelines have these names already: {', '.join(foreign)}; nothing was applied"
        )
    around = known(session)
    applied: dict[str, str] = {}
    for job in imported.jobs:
        (document,) = find([str(_path(folder, job))])
        checked = check(document, around)
        if not checked.ok:
            print_findings([checked], err=True)
            applied[job.name] = "refused"
            continue
        applied[job.name] = apply_document(session, document, message="from a crontab").outcome
    for planned in imported.schedules:
        if applied[planned.pipeline] != "refused":
            _make(session, planned)
    return applied


def _make_channels(session: Session, imported: Imported, via: str) -> dict[str, str]:
    """What became of each channel: one that is there stays as it is. Raises Failure before pipelines are stored."""
    from backend.api.wire import PutChannel

    there = {channel.name for channel in session.client.channels()} if imported.channels else set()
    for channel in imported.channels:
        if channel.name not in there:
            session.client.put_channel(channel.name, PutChannel(urls=(channel.url(via),)))
    return {channel.name: "kept" if channel.name in there else "created" for channel in imported.channels}


def _make(session: Session, planned: Planned) -> None:
    from backend.api.wire import PutSchedule

    body = PutSchedule(planned.pipeline, "cron", cron=(planned.cron,), zone=planned.zone, jitter=planned.jitter)
    session.client.put_schedule(planned.name, body)


def _result(
    imported: Imported, folder: Path, outcomes: dict[str, str], applied: dict[str, str], made: dict[str, str]
) -> dict[str, Any]:
    return {
        "channels": [{"name": c.name, "to": c.to, "applied": made.get(c.name, "")} for c in imported.channels],
        "pipelines": [
            {"name": job.name, "file": str(_path(folder, job)), "lines": job.lines, "ok": job.ok,
             "outcome": outcomes.get(job.name, ""), "applied": applied.get(job.name, "")}
            for job in imported.jobs
        ],
        "schedules": [
            {"name": s.name, "pipeline": s.pipeline, "cron": s.cron, "zone": s.zone, "jitter": s.jitter, "line": s.line}
            for s in imported.schedules
        ],
        "remarks": [
            {"line": r.line, "message": r.message, "hint": r.hint, "imported": r.kept} for r in imported.remarks
        ],
    }  # fmt: skip


def _lines(imported: Imported, folder: Path, outcomes: dict[str, str]) -> Iterator[str]:
    from khantui.render.text import visible

    for job in imported.jobs:
        times = [f"{s.cron} ({s.zone})" for s in imported.schedules if s.pipeline == job.name] or ["no schedule"]
        yield visible(f"{_path(folder, job)}  {outcomes.get(job.name, '')}".rstrip())
        yield visible(f"  {', '.join(times)}")


def _say(file: str, imported: Imported, folder: Path, made: dict[str, str], *, applies: bool, dry_run: bool) -> None:
    """The remarks, and what is next."""
    from khantui.render.text import visible

    for remark in imported.remarks:
        note(visible(f"{file}:{remark.line}: {'' if remark.kept else 'not imported: '}{remark.message}"))
        if remark.hint:
            note(f"  → {visible(remark.hint)}")
    for channel in imported.channels:
        what = f"the channel {channel.name} tells {', '.join(channel.to)}"
        if channel.name in made:
            note(visible(f"{what}: {made[channel.name]}; try it: khantui channels test {channel.name}"))
        else:
            note(visible(f"{what}, once it is there: --apply makes it, or khantui channels add {channel.name} URL"))
    many = f"{len(imported.jobs)} pipeline{'s' * (len(imported.jobs) != 1)}, {len(imported.schedules)} schedule"
    many += "s" * (len(imported.schedules) != 1)
    refused = f"; {imported.refused} line{'s' * (imported.refused != 1)} not imported" if imported.refused else ""
    note(f"{many}{refused}")
    if imported.jobs and not applies and not dry_run:
        where = shlex.quote(str(folder))
        note(f"next: khantui lint {where} · khantui apply {where} · sh {where}/{SCHEDULES}")
