"""Storing pipelines, with their code."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note
from khantui.errors import Failure

if TYPE_CHECKING:
    from backend.api.wire import Applied
    from khantui.cli.documents import Document


@command("apply", short_help="Store pipelines, with their code, as new versions.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(allow_dash=True))
@click.option("-m", "--message", default="", metavar="TEXT", help="What is new, for the history.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; store nothing.")
@pass_session
def apply(session: Session, paths: tuple[str, ...], message: str, dry_run: bool) -> None:
    """Store the pipelines in files and folders, those that others take from first. All are checked before any is
    stored; what is the same as before is left alone.

    Example: khantui apply pipelines/ -m 'a report per region'
    """
    from khantui.cli.check import check, known, print_findings
    from khantui.cli.documents import find, in_order

    documents = find(paths)
    _no_name_twice(documents)
    around = known(session)
    checked = [check(document, around) for document in documents]
    print_findings([c for c in checked if c.findings], err=True)
    if bad := [c.document.file for c in checked if not c.ok]:
        raise Failure(f"nothing was applied: {len(bad)} of {len(checked)} documents have errors: {', '.join(bad)}")
    done = [apply_document(session, document, message=message, dry_run=dry_run) for document in in_order(documents)]
    if not session.for_people:
        session.show(done, [], lambda a: a.name)
        return
    for applied in done:
        would = "would be " if dry_run and applied.outcome != "unchanged" else ""
        click.echo(f"{applied.name}  {would}{applied.outcome}  v{applied.version}")


def _no_name_twice(documents: list[Document]) -> None:
    for name, count in Counter(d.name for d in documents).items():
        if count > 1:
            files = ", ".join(d.file for d in documents if d.name == name)
            raise Failure(f"{count} documents are named {name!r}: {files}", "give each pipeline a name of its own")


def apply_document(session: Session, document: Document, *, message: str = "", dry_run: bool = False) -> Applied:
    """Hand over a document's code, if the daemon lacks it, and store the document. Raises Failure."""
    from backend.api.wire import ApplyPipeline
    from khantui.cli.check import packed

    address = ""
    bundle = packed(document)
    if bundle is not None:
        address, content = bundle
        if not session.client.has_bundle(address):
            session.client.put_bundle(address, content)
    try:
        return session.client.apply(
            ApplyPipeline(document=document.text, bundle=address, message=message, dry_run=dry_run)
        )
    except Failure as failure:
        note(f"khantui: {document.file} was not applied")
        raise failure
