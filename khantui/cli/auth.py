"""Who may do what: roles, tokens, and the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse

if TYPE_CHECKING:
    from backend.api.wire import BindingView

ROLES = ("viewer", "operator", "editor", "admin")
_ROLE = click.Choice(ROLES)
_PIPELINES = click.option("--pipelines", default="", metavar="PATTERN", help="Only on these: a name with * and ?.")
_LABELS = click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="Only on those with this label.")


@group("auth", short_help="Say who may do what, and why; give roles and make tokens.")
@click.pass_context
@pass_session
def auth(session: Session, ctx: click.Context) -> None:
    """Say who you are to the daemon, and which roles you have.

    \b
    Example: khantui auth
             khantui auth -o json
    """
    if ctx.invoked_subcommand is not None:
        return
    from khantui.render.access import who_lines

    session.show_one(session.client.whoami(), who_lines, lambda w: w.name)


@command("can-i", short_help="Say whether you may do something, and why.")
@click.argument("verb")
@click.argument("pipeline", required=False, default="", shell_complete=pipeline_names)
@click.option("--user", default="", metavar="SUBJECT", help="Not you: ann@example.org, token:ci. For administrators.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group that this user is in.")
@pass_session
def can_i(session: Session, verb: str, pipeline: str, user: str, groups: tuple[str, ...]) -> int:
    """Say whether you may VERB the PIPELINE (without one: all of them), and why. Exit 1 if not.

    Verbs are view, run, cancel, retry, pause, resume, backfill, apply, edit, rollback, schedule, delete; and, of no
    pipeline, administer, bind, audit.

    \b
    Example: khantui auth can-i run weekly-learners
             khantui auth can-i apply sales-eu --user ann@example.org --group sales
    """
    from khantui.render.access import can_lines

    found = session.client.can_i(verb, pipeline=pipeline, user=user, group=list(groups))
    session.show_one(found, can_lines, lambda c: "yes" if c.allowed else "no")
    return 0 if found.allowed else 1


@command("explain", short_help="Say what somebody may do, and which bindings are the reason.")
@click.argument("user", required=False, default="")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group that this user is in.")
@click.option("--pipeline", default="", metavar="NAME", shell_complete=pipeline_names, help="On this pipeline.")
@pass_session
def explain(session: Session, user: str, groups: tuple[str, ...], pipeline: str) -> None:
    """Say what USER (you, if left away) may do, and which bindings are the reason. Of others: for administrators.

    \b
    Example: khantui auth explain
             khantui auth explain ann@example.org --group sales --pipeline sales-eu
    """
    from khantui.render.access import explain_lines

    found = session.client.explain(user=user, group=list(groups), pipeline=pipeline)
    session.show_one(found, explain_lines, lambda e: e.role)


@command("bindings", short_help="List who has which role on what.")
@pass_session
def bindings(session: Session) -> None:
    """List who has which role, and on what. It takes an administrator.

    Example: khantui auth bindings
    """
    from khantui.render.access import binding_columns

    found = session.client.bindings()
    session.show(found, binding_columns(), lambda b: b.id, empty="nothing is bound: khantui auth bind SUBJECT ROLE")


@command("bind", short_help="Give somebody a role.")
@click.argument("subject")
@click.argument("role", type=_ROLE)
@_PIPELINES
@_LABELS
@pass_session
def bind(session: Session, subject: str, role: str, pipelines: str, labels: tuple[str, ...]) -> None:
    """Give SUBJECT a ROLE: on all pipelines, or on those with such a name, or label, or both. For administrators.

    SUBJECT is ann@example.org, user:unix:ann (a user of the daemon's machine), group:analysts, token:ci or everyone.

    \b
    Example: khantui auth bind ann@example.org editor --pipelines 'sales-*'
             khantui auth bind group:analysts operator -l team=analytics
             khantui auth bind everyone viewer
    """
    from backend.api.wire import Bind
    from khantui.cli.run import pairs
    from khantui.render.access import binding_lines

    body = Bind(subject, _given(role), pipelines, pairs(labels, "--label"))
    session.show_one(session.client.bind(body), binding_lines, lambda b: b.id)


@command("unbind", short_help="Take a role away.")
@click.argument("subject", metavar="BINDING|SUBJECT")
@click.argument("role", type=_ROLE, required=False)
@pass_session
def unbind(session: Session, subject: str, role: str | None) -> None:
    """Take away the BINDING of that id; or all that a SUBJECT has, or all with this ROLE. For administrators.

    \b
    Example: khantui auth unbind 3f2a9c01b7
             khantui auth unbind ann@example.org editor
    """
    every = session.client.bindings()
    found = [b for b in every if b.id == subject] or [b for b in every if _meant(b, subject, role)]
    if not found:
        raise Failure(f"nothing is bound to {subject!r}{f' as {role}' if role else ''}", "khantui auth bindings")
    for each in found:
        session.client.unbind(each.id)
    from khantui.render.access import where
    from khantui.render.table import Column

    columns: list[Column[BindingView]] = [
        Column("TAKEN AWAY", lambda b: b.id),
        Column("SUBJECT", lambda b: b.subject, flexible=True),
        Column("ROLE", lambda b: b.role),
        Column("ON", where, flexible=True),
    ]
    session.show(found, columns, lambda b: b.id)


@command("tokens", short_help="List the tokens of machines.")
@pass_session
def tokens(session: Session) -> None:
    """List the tokens of machines, what each may do and until when. It takes an administrator.

    Example: khantui auth tokens
    """
    from khantui.render.access import token_columns

    session.show(session.client.tokens(), token_columns(), lambda t: t.name, empty="there is no token yet")


@click.group("token", short_help="Make and revoke tokens of machines.")
def token() -> None:
    """Make and revoke tokens of machines."""


@command("create", short_help="Make a token for a machine.")
@click.argument("name")
@click.option("--role", type=_ROLE, default="operator", show_default=True, help="What it may do.")
@_PIPELINES
@_LABELS
@click.option("--expires", default="90d", show_default=True, metavar="SPAN", help="How long it holds; 366d at most.")
@pass_session
def create(session: Session, name: str, role: str, pipelines: str, labels: tuple[str, ...], expires: str) -> None:
    """Make the token NAME, and print it: this once, for only a hash of it is kept. It takes an administrator.

    \b
    Example: khantui auth token create ci --role editor --pipelines 'sales-*' --expires 30d > ci.token
             KHANTUI_TOKEN_FILE=ci.token khantui --address https://khantui.example.org runs
    """
    from backend.api.wire import CreateToken
    from khantui.cli.run import pairs
    from khantui.render.access import token_lines, where
    from khantui.render.moments import parse_span, stamp

    try:
        seconds = int(parse_span(expires).total_seconds())
    except (ValueError, OverflowError):
        raise Misuse(f"--expires {expires!r} is no span of time", "write 90d, 12h, 4w") from None
    made = session.client.create_token(
        CreateToken(name, _given(role), pipelines, pairs(labels, "--label"), seconds=seconds)
    )
    if not made.token:
        raise Failure(
            f"the token {name} was made, and the answer that had it was lost",
            f"khantui auth token revoke {name}, and make it again",
        )
    session.show_one(made, token_lines, lambda m: m.token)
    if session.for_people:
        view = made.view
        note(f"{name} is {view.role} of {where(view)} until {stamp(view.expires)}; it is not shown again")


@command("revoke", short_help="Have a token open nothing any more.")
@click.argument("name")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Have the token NAME open nothing any more, from now on. It takes an administrator.

    Example: khantui auth token revoke ci
    """
    session.client.revoke_token(name)
    session.show_one(
        {"name": name, "outcome": "revoked"}, lambda d: [f"the token {name} is revoked"], lambda d: d["name"]
    )


@command("sessions", short_help="List who is signed in.")
@pass_session
def sessions(session: Session) -> None:
    """List who is signed in by a browser (khantui web --sign-in): administrators see everybody, others themselves.

    Example: khantui auth sessions
    """
    from khantui.render.access import session_columns

    session.show(session.client.sessions(), session_columns(), lambda s: s.id, empty="nobody is signed in")


@command("sign-out", short_help="Have a session open nothing any more.")
@click.argument("named", metavar="SESSION|USER")
@pass_session
def sign_out(session: Session, named: str) -> None:
    """Have a session, or all of a user's, open nothing any more, from now on. Of others it takes an administrator.

    \b
    Example: khantui auth sign-out 6f1d0c9a2b3e4d5c
             khantui auth sign-out ann@example.org
    """
    ended = [s.id for s in session.client.sessions() if named in (s.id, s.user)]
    if not ended:
        raise Failure(f"nobody is signed in as {named}", "khantui auth sessions")
    for each in ended:
        session.client.end_session(each)
    session.show_one(
        {"sessions": ended, "outcome": "ended"},
        lambda d: [f"the session {each} has ended" for each in d["sessions"]],
        lambda d: " ".join(d["sessions"]),
    )


for each in (create, revoke):
    token.add_command(each)
for part in (can_i, explain, bindings, bind, unbind, tokens, token, sessions, sign_out):
    auth.add_command(part)


def _given(role: str) -> Any:
    """A role that was checked by its option."""
    return role


def _meant(binding: BindingView, subject: str, role: str | None) -> bool:
    named = subject.lower() if "@" in subject else subject
    return binding.subject in (named, f"user:{named}") and role in (None, binding.role) and not binding.fixed
