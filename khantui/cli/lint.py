"""Checking documents, and what they are checked against. No daemon is needed for either."""

from __future__ import annotations

import json

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note


@command("lint", short_help="Check pipeline documents, without a daemon.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(allow_dash=True))
@pass_session
def lint(session: Session, paths: tuple[str, ...]) -> int:
    """Check the pipeline documents in files and folders, and the code beside them; - is stdin. Exit 1 for an error.

    No daemon is needed; where one answers, the images that are registered there are known.

    Example: khantui lint pipelines/ -o json
    """
    from khantui.cli.check import check, finding_object, known, print_findings, print_plan
    from khantui.cli.documents import find

    documents = find(paths)
    around = known(session)
    checked = [check(document, around) for document in documents]
    if session.for_people:
        print_findings(checked)
        for each in checked:
            print_plan(each)
        errors = sum(each.errors for each in checked)
        warnings = sum(len(each.findings) for each in checked) - errors
        note(f"{_count(len(checked), 'document')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    elif session.output == "name":
        for each in checked:
            if not each.ok:
                click.echo(each.document.file)
    else:
        findings = [finding_object(each, finding) for each in checked for finding in each.findings]
        session.show(findings, [], lambda f: str(f["file"]))
    return 0 if all(each.ok for each in checked) else 1


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


@command("schema", short_help="Print the JSON Schema of pipeline documents.")
@pass_session
def schema(session: Session) -> None:
    """Print the JSON Schema of pipeline documents, for editors that complete and check while one types.

    Example: khantui schema > pipeline.schema.json
    """
    from khantui.cli.check import schema as document_schema

    found = document_schema()
    if session.output == "name":
        click.echo(str(found.get("$id", "pipeline")))
    else:
        click.echo(json.dumps(found, indent=None if session.output == "jsonl" else 2, ensure_ascii=False))
