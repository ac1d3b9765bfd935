"""What a crontab becomes here: pipelines, schedules, and words about what could not be kept. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backend.spec.finding import Finding, Severity
from backend.spec.lint import lint
from khantui.crontab.lines import Crontab, Entry, Remark
from khantui.crontab.mail import MailChannel, addresses, channels
from khantui.crontab.names import key_of, names
from khantui.crontab.needs import needs

LABEL = "crontab-job"  # of a pipeline that was imported: which job it is, whatever it is called
STAGE = "run"
_SHELLS = {"/bin/sh": "sh", "/usr/bin/sh": "sh", "/bin/bash": "bash", "/usr/bin/bash": "bash"}
Mailed = Mapping[tuple[str, ...], MailChannel]  # addresses -> the channel that tells them


@dataclass(frozen=True)
class Planned:
    """A schedule to be made."""

    name: str
    pipeline: str
    cron: str
    zone: str
    jitter: int  # seconds
    line: int

    @property
    def words(self) -> list[str]:
        """The command that makes it."""
        found = ["khantui", "schedule", self.pipeline, "--name", self.name, "--cron", self.cron, "--tz", self.zone]
        return [*found, "--jitter", f"{self.jitter}s"] if self.jitter else found


@dataclass(frozen=True)
class Job:
    """A pipeline to be made of one or more lines; `ok` if its document has no errors."""

    name: str
    key: str
    lines: tuple[int, ...]
    document: dict[str, Any]
    ok: bool = True

    @property
    def text(self) -> str:
        """The document as it is written to a file."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Imported:
    """All that comes of a crontab; remarks in the order of lines."""

    jobs: tuple[Job, ...]
    schedules: tuple[Planned, ...]
    remarks: tuple[Remark, ...]
    channels: tuple[MailChannel, ...] = ()  # that tell whom MAILTO names of failures, if that was asked for

    @property
    def refused(self) -> int:
        """Lines that were not imported at all."""
        return len({remark.line for remark in self.remarks if not remark.kept})


def convert(crontab: Crontab, zone: str, known: Mapping[str, str] | None = None, *, mails: bool = False) -> Imported:
    """Pipelines and schedules. `zone` is that of the machine; `known` are names by key of an import before this.
    With `mails`, whom MAILTO names is told of failures.

    Lines that run the same become one pipeline, with a schedule each.
    """
    named = names(crontab.entries, known or {})
    remarks = list(crontab.remarks)
    groups: dict[str, list[Entry]] = {}
    for entry in crontab.entries:
        groups.setdefault(key_of(entry), []).append(entry)
        remarks += _remarks(entry)
    mailed = channels(crontab.entries) if mails else {}
    jobs: list[Job] = []
    schedules: list[Planned] = []
    for key, entries in groups.items():
        job = _job(named[key], key, entries, mailed)
        jobs.append(job)
        remarks += [Remark(job.lines[0], f"the pipeline {job.name} has an error: {f.message}", f.suggestion)
                    for f in _errors(job)]  # fmt: skip
        schedules += [
            Planned(
                job.name if not i else f"{job.name}-{i + 1}", job.name, e.when, e.zone or zone, e.delay * 60, e.line
            )
            for i, e in enumerate(e for e in entries if e.when)
        ]
    remarks += _variables(crontab, mailed) if mails else _variables(crontab)
    return Imported(
        tuple(jobs),
        tuple(sorted(_apart(schedules, {job.name for job in jobs}), key=lambda s: s.line)),
        tuple(sorted(dict.fromkeys(remarks), key=lambda r: r.line)),
        tuple(mailed.values()),
    )


def _job(name: str, key: str, entries: list[Entry], mailed: Mailed) -> Job:
    job = Job(name, key, tuple(e.line for e in entries), _document(name, key, entries, mailed))
    return replace(job, ok=not _errors(job))


def _errors(job: Job) -> list[Finding]:
    return [f for f in lint(job.text).findings if f.severity is Severity.ERROR]


def _apart(schedules: list[Planned], pipelines: set[str]) -> list[Planned]:
    """No schedule has the name of another pipeline, or of another schedule."""
    taken: set[str] = set()
    found: list[Planned] = []
    for each in schedules:
        name, number = each.name, 2
        while name in taken or (name != each.pipeline and name in pipelines):
            number += 1
            name = f"{each.pipeline}-{number}"
        taken.add(name)
        found.append(replace(each, name=name))
    return found


def _document(name: str, key: str, entries: list[Entry], mailed: Mailed) -> dict[str, Any]:
    first = entries[0]
    comment = next((e.comment for e in entries if e.comment), "")
    document: dict[str, Any] = {
        "name": name,
        "description": comment or f"From a crontab: {first.command}"[:200],
        "labels": {LABEL: key, **({"crontab-user": first.user[:63]} if first.user else {})},
    }
    told = dict.fromkeys(to for e in entries if (to := addresses(e.mail)))
    if len(to := addresses(first.mail)) == 1:
        document["owner"] = to[0]
    if names := [mailed[to].name for to in told if to in mailed]:
        document["notify"] = {"failed": names, "recovered": names}
    if environment := {n: v.replace("${", "$${") for n, v in first.environment.items()}:
        document["environment"] = environment
    document["stages"] = {STAGE: {"image": "shell", **_command(first)}}
    return document


def _command(entry: Entry) -> dict[str, Any]:
    """As cron runs it: a shell is handed the command as it stands, and no other options."""
    argv = [_SHELLS.get(entry.shell, entry.shell), "-c", entry.command]
    if entry.stdin is None:
        return {"run": argv}
    end = "END"
    while end in entry.stdin.split("\n"):
        end += "_"
    return {"script": f"{shlex.join(argv)} <<'{end}'\n{entry.stdin}{end}\n"}


def _remarks(entry: Entry) -> Iterator[Remark]:
    if not entry.when:
        yield Remark(
            entry.line, "@reboot: no schedule starts when a machine does; the pipeline has none",
            "start it by hand (khantui run), or after another pipeline (khantui schedule --after)",
        )  # fmt: skip
    if entry.user:
        yield Remark(entry.line, f"it ran as {entry.user!r}: a stage has no user of the machine, and no rights of one")
    if entry.shell not in _SHELLS:
        yield Remark(entry.line, f"SHELL is {entry.shell!r}: the stage needs it where it runs",
                     "the image `shell` has sh and bash")  # fmt: skip
    for message, hint in needs(entry):
        yield Remark(entry.line, message, hint)


def _variables(crontab: Crontab, mailed: Mailed | None = None) -> Iterator[Remark]:
    """What becomes of environment lines that are no variables of commands."""
    for line, name in crontab.variables.items():
        if name == "MAILTO" and mailed is not None:
            yield Remark(line, "MAILTO: no output is mailed: its addresses hear of failures, and of what works again",
                         _mails(mailed))  # fmt: skip
        elif name == "MAILTO":
            yield Remark(line, "MAILTO: no output is mailed: logs are kept, and an address becomes the owner",
                         "with --mail-via URL it hears of failures; or say whom to tell in `notify`")  # fmt: skip
        elif name in ("MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "START_HOURS_RANGE"):
            yield Remark(line, f"{name} means nothing here: left out")
        elif name == "RANDOM_DELAY":
            yield Remark(
                line, "RANDOM_DELAY: schedules have a jitter instead: each firing another while, always the same"
            )
        elif name == "HOME":
            yield Remark(line, "HOME: a stage works in the folder of its code; the variable is kept, the folder is not "
                         "there")  # fmt: skip
        elif name == "PATH":
            yield Remark(line, "PATH is kept: stages look for programs there, of which only /usr and /bin are there")


def _mails(mailed: Mailed) -> str:
    said = "; ".join(f"the channel {channel.name} mails to {', '.join(channel.to)}" for channel in mailed.values())
    return said or "there is none: a name without @ is a user of the machine"
