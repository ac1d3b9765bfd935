"""Roles and tokens: giving and taking them away, and why somebody may do something or not."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from backend.access.decide import Grant, decide
from backend.access.model import (
    ApiToken,
    Binding,
    Principal,
    Session,
    Target,
    checked_labels,
    checked_pattern,
    checked_subject,
    folded,
    printable,
)
from backend.access.verbs import ON_ALL, ON_PIPELINES, role_for
from backend.access.words import because, said
from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.identity import PREFIX
from backend.api.operations import PAGING, operation
from backend.api.views import role_view
from backend.api.wire import (
    Bind,
    BindingView,
    CanView,
    CreateToken,
    ExplainView,
    Page,
    SessionMade,
    SessionView,
    TokenMade,
    TokenView,
)
from backend.errors import Conflict, InvalidRequest, NotAllowed, NotFound
from backend.store import keys
from backend.store.base import Condition, Delete, Put
from backend.store.codec import decode, encode

SESSION = 12 * 3600  # seconds that somebody stays signed in
LONGEST = 366 * 86400  # seconds that a token may hold
_SHOWN = 16  # letters of a session's hash, by which it is named
_SESSION = re.compile(rf"[0-9a-f]{{{_SHOWN}}}")
_RANDOM = 32  # bytes of a token's text that nobody can guess
_ABOUT = {
    "user": "whom (the caller): an address, user:…, token:…; of others for administrators",
    "group": "a group that this user is in; may be given several times",
    "pipeline": "on this pipeline (on all of them)",
}


@operation("GET", "/auth/bindings", answer=Page, items=BindingView, query=PAGING, role="admin")
async def list_bindings(call: Call) -> Response:
    """Who has which role on what"""
    access = call.services.access
    await access.load()
    found = sorted(access.bindings.items(), key=lambda each: (each[1].subject, each[1].role, each[1].where()))
    return answer(cursor.part(call, [_binding(call, b) for _, b in found], access.revision))


@operation("POST", "/auth/bindings", body=Bind, answer=BindingView, role="admin")
async def bind_role(call: Call) -> Response:
    """Give somebody a role on all pipelines, or on some; given twice it is there once"""
    await call.seen_before()
    body, services = await call.body(Bind), call.services
    binding = Binding(
        checked_subject(body.subject),
        body.role,
        checked_pattern(body.pipelines),
        checked_labels(body.labels),
        services.clock.now(),
        call.who.name,
    )
    key = keys.binding(binding.id)

    async def attempt() -> int | None:
        if (found := await services.store.get(key)) is not None:
            return found.modified
        view = _binding(call, binding)
        new = Condition(key, modified=0)
        return await call.commit([new], [Put(key, encode(binding))], binding.id, answer=view, **_said_of(binding))

    await call.tried(f"binding {binding.id}", attempt)
    await services.access.load()
    return answer(_binding(call, services.access.bindings.get(binding.id, binding)))


@operation("DELETE", "/auth/bindings/{binding}", status=204, role="admin")
async def unbind_role(call: Call) -> Response:
    """Take a role away"""
    services, identifier = call.services, str(call.request.path_params["binding"])
    await services.access.load()
    binding = services.access.bindings.get(identifier)
    if binding is None:
        raise NotFound(f"there is no binding {identifier!r}", hint="khantui auth bindings lists them")
    if identifier in services.access.fixed:
        raise Conflict(f"the binding {identifier} comes from the daemon's settings", hint="see its --admin")
    key = keys.binding(identifier)
    found = await services.store.get(key)
    conditions = [Condition(key, modified=found.modified if found else 0)]
    if await call.commit(conditions, [Delete(key)], identifier, **_said_of(binding)) is None:
        raise call.conflict(f"binding {identifier}")
    await services.access.load()
    return Response(status_code=204)


@operation("GET", "/auth/tokens", answer=Page, items=TokenView, query=PAGING, role="admin")
async def list_tokens(call: Call) -> Response:
    """Tokens of machines, and what they may do"""
    access = call.services.access
    await access.load()
    return answer(cursor.part(call, [_token(call, token) for token in access.tokens], access.revision))


@operation("POST", "/auth/tokens", body=CreateToken, answer=TokenMade, status=201, role="admin")
async def create_token(call: Call) -> Response:
    """Make a token for a machine; its text is in this answer alone"""
    await call.seen_before()
    body, services = await call.body(CreateToken), call.services
    if not keys.is_name(body.name):
        raise InvalidRequest(f"{body.name!r} cannot be a token's name", hint="small letters, digits, - and _")
    if not 60 <= body.seconds <= LONGEST:
        raise InvalidRequest(f"a token cannot hold for {body.seconds} seconds", hint="a minute to 366 days")
    text, now = PREFIX + secrets.token_urlsafe(_RANDOM), services.clock.now()
    token = ApiToken(
        body.name,
        hashlib.sha256(text.encode()).hexdigest(),
        body.role,
        checked_pattern(body.pipelines),
        checked_labels(body.labels),
        now + timedelta(seconds=body.seconds),
        now,
        call.who.name,
    )
    key, view = keys.token(body.name), _token(call, token)
    # what is remembered for a repeated request has no text: it would lie in the store as it is
    made = await call.commit(
        [Condition(key, modified=0)],
        [Put(key, encode(token))],
        body.name,
        answer=TokenMade(view, ""),
        status=201,
        expires=token.expires,
        **_said_of(token.binding),
    )
    if made is None:
        raise Conflict(f"there is a token {body.name!r} already", hint=f"khantui auth token revoke {body.name}")
    await services.access.load()
    return answer(TokenMade(view, text), 201)


@operation("DELETE", "/auth/tokens/{name}", status=204, role="admin")
async def revoke_token(call: Call) -> Response:
    """Have a token open nothing any more"""
    name, services = call.name(), call.services
    found = await services.store.get(keys.token(name))
    if found is None:
        raise NotFound(f"there is no token {name!r}", hint="khantui auth tokens lists them")
    if await call.commit([Condition(found.key, modified=found.modified)], [Delete(found.key)], name) is None:
        raise call.conflict(f"token {name}")
    await services.access.load()
    return Response(status_code=204)


@operation("POST", "/auth/session", answer=SessionMade, status=201, role="anyone", on="any")
async def begin_session(call: Call) -> Response:
    """Have what a proxy or an issuer says of the caller hold for some hours: for a page that stays open"""
    if not call.who.signed:
        raise NotAllowed(
            "a session is for whom a proxy or an issuer names in the request itself",
            hint="not for tokens, nor for users of this machine, who need none",
        )
    services, who = call.services, call.who.principal
    text, now = PREFIX + secrets.token_urlsafe(_RANDOM), services.clock.now()
    session = Session(who.name, tuple(sorted(who.groups)), now + timedelta(seconds=SESSION))
    key = keys.session(hashlib.sha256(text.encode()).hexdigest())
    lease = await services.store.grant(SESSION)  # it goes by itself
    if await call.commit([Condition(key, modified=0)], [Put(key, encode(session), lease)], who.name) is None:
        raise call.conflict("the session")
    return answer(SessionMade(who.name, session.expires, text), 201)


@operation("GET", "/auth/sessions", answer=Page, items=SessionView, query=PAGING, role="anyone", on="any")
async def list_sessions(call: Call) -> Response:
    """Who is signed in: for administrators everybody, for others themselves"""
    found: list[SessionView] = []
    revision = 0
    async for page in call.services.store.scan(keys.SESSIONS):
        revision = page.revision
        for kv in page.items:
            session = decode(kv.value, Session)
            if _theirs(call, session):
                found.append(_session(kv.key, session))
    return answer(cursor.part(call, sorted(found, key=lambda s: (s.user, s.id)), revision))


@operation("DELETE", "/auth/sessions/{session}", status=204, role="anyone", on="any")
async def end_session(call: Call) -> Response:
    """Have a session open nothing any more: for administrators any, for others their own"""
    identifier, services = str(call.request.path_params["session"]), call.services
    missing = NotFound(f"there is no session {identifier!r}", hint="khantui auth sessions lists them")
    if not _SESSION.fullmatch(identifier):
        raise missing
    prefix = keys.session(identifier)
    page = await services.store.page(prefix, keys.after(prefix), limit=1)
    if not page.items or not _theirs(call, session := decode(page.items[0].value, Session)):
        raise missing
    kv = page.items[0]
    if await call.commit([Condition(kv.key, modified=kv.modified)], [Delete(kv.key)], session.user) is None:
        raise call.conflict(f"session {identifier}")
    services.access.forget(kv.key)
    return Response(status_code=204)


@operation(
    "GET",
    "/auth/can-i",
    answer=CanView,
    query={**_ABOUT, "verb": f"what: {', '.join([*ON_PIPELINES, *ON_ALL])}"},
    role="anyone",
    on="any",
)
async def can_i(call: Call) -> Response:
    """Whether somebody may do something, and why"""
    verb = call.text("verb", "view")
    needed = role_for(verb)
    who, grants, target = _asked(call)
    if target is not None and verb in ON_ALL:
        raise InvalidRequest(f"{verb} is of all pipelines, not of one")
    decision = decide(grants, needed, target)
    return answer(
        CanView(
            who.name,
            verb,
            target.pipeline if target else "",
            decision.allowed,
            decision.role,
            needed,
            said(who, verb, target, decision),
            role_view(decision.because) if decision.because else None,
        )
    )


@operation("GET", "/auth/explain", answer=ExplainView, query=_ABOUT, role="anyone", on="any")
async def explain_access(call: Call) -> Response:
    """What somebody may do, and which bindings are the reason"""
    who, grants, target = _asked(call)
    verbs = ON_PIPELINES if target is not None else {**ON_PIPELINES, **ON_ALL}
    return answer(
        ExplainView(
            who.subject,
            tuple(sorted(who.groups)),
            target.pipeline if target else "",
            target.labels if target and call.sees(target.pipeline) else {},
            decide(grants, "viewer", target).role,
            tuple(map(role_view, grants)),
            {verb: decide(grants, role, target).allowed for verb, role in verbs.items()},
            tuple(map(because, grants)),
        )
    )


def _theirs(call: Call, session: Session) -> bool:
    """Whether the caller may know of a session and end it."""
    return session.principal == call.who.principal or decide(call.grants, "admin", None).allowed


def _session(key: str, session: Session) -> SessionView:
    digest = key.removeprefix(keys.SESSIONS)
    return SessionView(digest[:_SHOWN], session.user, session.groups, session.expires)


def _asked(call: Call) -> tuple[Principal, tuple[Grant, ...], Target | None]:
    """Whom the question is about, and on what. Raises NotAllowed for questions about others."""
    access, named, groups = call.services.access, call.text("user"), call.texts("group")
    pipeline = call.text("pipeline")
    if pipeline and not keys.is_name(pipeline):
        raise InvalidRequest(f"{pipeline!r} cannot be a name")
    who = call.who.principal
    if named or groups:
        if not decide(call.grants, "admin", None).allowed:
            raise NotAllowed("what others may do is told to administrators alone", hint="leave the user away")
        kind, _, name = checked_subject(named).partition(":")
        if kind not in ("user", "token") or not all(map(printable, groups)):
            raise InvalidRequest(f"{named!r} is no user and no token", hint="ann@example.org, or token:ci")
        who = Principal(folded(name), "token" if kind == "token" else "user", frozenset(groups))
    return who, access.grants(who), access.target(pipeline) if pipeline else None


def _said_of(binding: Binding) -> dict[str, Any]:
    """For the journal."""
    return {
        "subject": binding.subject,
        "role": binding.role,
        "pipelines": binding.pipelines,
        "labels": binding.labels,
    }


def _binding(call: Call, binding: Binding) -> BindingView:
    return BindingView(
        binding.id,
        binding.subject,
        binding.role,
        binding.pipelines,
        binding.labels,
        binding.created,
        binding.created_by,
        binding.id in call.services.access.fixed,
    )


def _token(call: Call, token: ApiToken) -> TokenView:
    return TokenView(
        token.name,
        token.role,
        token.pipelines,
        token.labels,
        token.created,
        token.created_by,
        token.expires,
        token.expired(call.services.clock.now()),
    )
