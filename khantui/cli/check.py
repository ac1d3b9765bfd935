"""Documents checked by the same rules as the daemon's, and their findings shown as a compiler would."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from backend.spec.finding import Finding, Severity
from khantui.cli.documents import Document, code_files
from khantui.cli.session import Session, wants_colour
from khantui.errors import Failure
from khantui.render.plan import plan_lines
from khantui.render.status import faint, paint
from khantui.render.text import crop, visible, width

if TYPE_CHECKING:
    from backend.spec.images import Image

_FIELDS = ("file", "code", "severity", "path", "line", "column", "message", "suggestion")
_PATIENCE = 2.0  # seconds that the daemon has to say which images it knows
_SOURCE = 100  # columns of a source line that are shown


@dataclass(frozen=True)
class Checked:
    """A document, what is wrong with it, and its plan where it has one."""

    document: Document
    findings: tuple[Finding, ...]
    plan: Mapping[str, Any] | None

    @property
    def errors(self) -> int:
        """How many findings keep it from being stored."""
        return sum(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether it could be stored."""
        return not self.errors


class Known(NamedTuple):
    """What documents may name: images, and channels where a daemon has said which there are."""

    images: Mapping[str, Image]
    channels: frozenset[str] | None = None


def known(session: Session) -> Known:
    """What the daemon knows, where one answers soon, and else the images that come along."""
    from backend.spec.images import IMAGES
    from khantui.api.address import resolve

    try:
        address = resolve(session.address, session.data, os.environ)
        if address.socket is not None and not address.socket.exists():
            return Known(IMAGES)
        from khantui.api.client import Client

        client = Client(address, timeout=_PATIENCE, patience=0.0)
        try:
            return Known(client.known_images(), frozenset(view.name for view in client.channels()))
        finally:
            client.close()
    except Failure:
        return Known(IMAGES)


def check(document: Document, around: Known) -> Checked:
    """Look a document over, with the code beside it. Raises Misuse for code that cannot be packed."""
    from backend.spec.lint import Surroundings, lint

    code = None
    if document.folder is not None:
        code = {path: file.stat().st_size for path, file in code_files(document).items()}
    report = lint(
        document.text,
        file=document.file,
        surroundings=Surroundings(code=code, images=around.images, channels=around.channels),
    )
    return Checked(document, tuple(report.findings), report.summary())


def finding_object(checked: Checked, finding: Finding) -> dict[str, Any]:
    """A finding as programs get it."""
    found = {name: getattr(finding, name) for name in _FIELDS}
    return found | {"file": checked.document.file, "severity": str(finding.severity)}


def print_findings(checked: Sequence[Checked], *, err: bool = False) -> None:
    """All findings, each with its line and a mark below where it is."""
    colour = wants_colour((sys.stderr if err else sys.stdout).isatty())
    for each in checked:
        lines = each.document.text.split("\n")  # as positions count them
        for finding in sorted(each.findings, key=lambda f: (f.line, f.column)):
            for line in _finding_lines(each.document.file, lines, finding, colour):
                click.echo(line, err=err, color=colour)


def _finding_lines(file: str, source: Sequence[str], finding: Finding, colour: bool) -> Iterator[str]:
    severity = paint(str(finding.severity), finding.severity, colour)
    place = f"{visible(file)}:{finding.line}:{finding.column}"
    yield f"{place}: {severity}: {visible(finding.message)} {faint(f'[{finding.code}]', colour)}"
    if 0 < finding.line <= len(source):
        text = source[finding.line - 1]
        start = max(0, finding.column - 1 - _SOURCE // 2) if len(text) > _SOURCE else 0
        before = visible(text[start : finding.column - 1].replace("\t", " "))
        shown = crop(visible(text[start:].replace("\t", " ")), _SOURCE)
        margin = " " * len(str(finding.line))
        yield faint(f"  {finding.line} | ", colour) + shown
        yield faint(f"  {margin} | ", colour) + " " * width(before) + paint("^", finding.severity, colour)
    if finding.suggestion:
        yield f"  → {visible(finding.suggestion)}"


def print_plan(checked: Checked) -> None:
    """How parallel the pipeline is."""
    if checked.plan is None:
        return
    click.echo(f"{visible(checked.document.name)} ({visible(checked.document.file)})")
    for line in plan_lines(checked.plan):
        click.echo(line)


def packed(document: Document) -> tuple[str, bytes] | None:
    """A document's code as a bundle: its content address and its bytes; None if it has none. Raises Misuse."""
    from backend.spec.bundle import LARGEST, MOST, address, pack
    from khantui.errors import Misuse
    from khantui.render.moments import size

    files = code_files(document)
    if not files:
        return None
    total = sum(file.stat().st_size for file in files.values())
    if len(files) > MOST or total > LARGEST:
        raise Misuse(
            f"the code of {document.file} is too much: {len(files)} files, {size(total)}",
            f"at most {MOST} files and {size(LARGEST)}: large data is an input, not code",
        )
    content = pack({path: (file.read_bytes(), os.access(file, os.X_OK)) for path, file in files.items()})
    return address(content), content


def schema() -> dict[str, Any]:
    """The JSON Schema of a document."""
    from backend.spec.schema import schema as document_schema

    return document_schema()
