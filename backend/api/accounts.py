"""Service accounts: what the stages of pipelines that name one may reach."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from msgspec import to_builtins
from msgspec.structs import replace
from starlette.responses import Response

from backend.access.decide import decide
from backend.access.model import EVERYONE, checked_subject
from backend.accounts.account import FOLDER, NONE, Account, check, missing, network_of
from backend.accounts.grant import SecretRef
from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.refusals import in_use
from backend.api.wire import Page
from backend.api.wire_accounts import AccountView, PutAccount
from backend.errors import NotAllowed, NotFound, VaultError
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.codec import decode, encode
from backend.store.records import PipelineHead

HIDDEN = "***"


@operation("GET", "/accounts", answer=Page, items=AccountView, query=PAGING, on="any")
async def list_accounts(call: Call) -> Response:
    """Service accounts, what they declare, and which pipelines name them"""
    named, there = await pipelines_by_account(call), await names_of(call, keys.SECRETS)
    found: list[AccountView] = []
    revision = 0
    async for page in call.services.store.scan(keys.ACCOUNTS):
        revision = page.revision
        found += [_view(call, decode(kv.value, Account), kv.modified, named, there) for kv in page.items]
    return answer(cursor.part(call, found, revision))


@operation("GET", "/accounts/{name}", answer=AccountView, on="any")
async def get_account(call: Call) -> Response:
    """One service account"""
    kv = await _find(call)
    return answer(await _shown(call, decode(kv.value, Account), kv.modified))


@operation("PUT", "/accounts/{name}", body=PutAccount, answer=AccountView, role="admin")
async def put_account(call: Call) -> Response:
    """Make a service account, or say anew what it declares; attempts that start from now on get that"""
    await call.seen_before()
    name, body, services = call.name(), await call.body(PutAccount), call.services
    now = services.clock.now()

    async def attempt() -> AccountView | None:
        found = await services.store.get(keys.account(name))
        old = decode(found.value, Account) if found else None
        account = Account(
            name,
            body.description,
            network_of(body.network),
            body.secrets,
            body.kubernetes,
            tuple(dict.fromkeys(map(checked_subject, body.users))),
            created=old.created if old else now,
            created_by=old.created_by if old else call.who.name,
            updated=now,
            updated_by=call.who.name,
        )
        check(account)
        view = await _shown(call, account, 0)
        condition = Condition(keys.account(name), modified=found.modified if found else 0)
        changes: list[Put | Delete] = [Put(keys.account(name), encode(account)), Delete(keys.retired(name))]
        declared = to_builtins(body)
        revision = await call.commit([condition], changes, name, answer=view, declared=declared)
        return replace(view, revision=revision) if revision is not None else None

    return answer(await call.tried(f"service account {name}", attempt))


@operation("DELETE", "/accounts/{name}", status=204, role="admin")
async def delete_account(call: Call) -> Response:
    """Delete a service account that no pipeline names"""
    kv, name = await _find(call), call.name()
    if using := (await pipelines_by_account(call)).get(name):
        raise in_use(f"the service account {name}", using, hint="have them name another account first")
    changes: list[Put | Delete] = [Delete(kv.key), Put(keys.retired(name), b"")]
    if await call.commit([Condition(kv.key, modified=kv.modified)], changes, name) is None:
        raise call.conflict(f"service account {name}")
    return Response(status_code=204)


async def may_use(call: Call, name: str) -> None:
    """Raises NotAllowed for a caller who may not have stages run as an account."""
    if name == NONE or decide(call.grants, "admin", None).allowed:
        return
    found = await call.services.store.get(keys.account(name))
    if found is None:  # what is not there opens nothing
        return
    who = call.who.principal
    subjects = {who.subject}
    if who.kind == "user":
        subjects |= {EVERYONE, *(f"group:{group}" for group in who.groups)}
    if subjects.isdisjoint(decode(found.value, Account).users):
        raise NotAllowed(
            f"{call.who.name} may not use the service account {name}",
            hint=f"an administrator says who may: khantui accounts set {name} FILE, with {who.subject} among its users",
        )


async def with_secrets(call: Call, name: str, environment: dict[str, str]) -> dict[str, str]:
    """A resolved environment as it may be shown: with the variables that are secrets, and none of their values."""
    found = await call.services.store.get(keys.account(name)) if name != NONE else None
    if found is None:
        return environment
    secrets, refs = call.services.secrets, []
    shown = dict(environment)
    for use in decode(found.value, Account).secrets:
        if use.env:
            shown[use.env] = f"{FOLDER}/{use.file}" if use.file else HIDDEN
        if (secret := await secrets.read(use.secret)) is not None:
            refs.append(SecretRef(use.secret, secret.current.id))
    try:
        masker = secrets.masker(refs)
    except VaultError:  # without its key nobody can tell whether a value is in there
        return dict.fromkeys(shown, HIDDEN)
    return {variable: masker.text(value) for variable, value in shown.items()}


async def all_accounts(call: Call) -> AsyncIterator[Account]:
    """Every service account."""
    async for page in call.services.store.scan(keys.ACCOUNTS):
        for kv in page.items:
            yield decode(kv.value, Account)


async def names_of(call: Call, prefix: str) -> frozenset[str]:
    """The names of all that is kept below a prefix."""
    page = await call.services.store.page(prefix, keys.after(prefix), keys_only=True)
    return frozenset(kv.key.removeprefix(prefix) for kv in page.items)


async def pipelines_by_account(call: Call) -> dict[str, list[str]]:
    """The pipelines whose current version names each account."""
    services = call.services
    named: dict[str, list[str]] = {}
    async for page in services.store.scan(keys.PIPELINES):
        for kv in page.items:
            head = decode(kv.value, PipelineHead)
            try:
                account = (
                    head.account or (await services.catalogue.load(head.name, head.version)).pipeline.service_account
                )
            except NotFound:  # it is being deleted
                continue
            named.setdefault(account, []).append(head.name)
    return named


async def _find(call: Call) -> KeyValue:
    name = call.name()
    found = await call.services.store.get(keys.account(name))
    if found is None:
        raise NotFound(f"there is no service account {name!r}", hint="khantui accounts lists them")
    return found


async def _shown(call: Call, account: Account, revision: int) -> AccountView:
    return _view(call, account, revision, await pipelines_by_account(call), await names_of(call, keys.SECRETS))


def _view(
    call: Call, account: Account, revision: int, named: Mapping[str, Sequence[str]], secrets: frozenset[str]
) -> AccountView:
    return AccountView(
        name=account.name,
        description=account.description,
        network=account.network,
        secrets=account.secrets,
        kubernetes=account.kubernetes,
        users=account.users,
        missing=missing(account, secrets),
        pipelines=tuple(filter(call.sees, named.get(account.name, ()))),
        created=account.created,
        created_by=account.created_by,
        updated=account.updated,
        updated_by=account.updated_by,
        revision=revision,
    )
