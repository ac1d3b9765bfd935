"""Secrets: their values come in, and never out again."""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping

from msgspec.structs import replace
from starlette.responses import Response

from backend.accounts.masking import SHORTEST
from backend.api import cursor
from backend.api.accounts import all_accounts
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.wire import Page
from backend.api.wire_accounts import PutSecret, Rewrapped, SecretView, UseView
from backend.errors import Conflict, InvalidRequest, NotFound
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.codec import decode, encode
from backend.store.secrets import Secret, SecretVersion, Use, about
from backend.vault import reseal, seal

LARGEST = 64 << 10  # bytes of a value
SHOWN = 50  # uses of one secret
LONGEST = 500  # characters of a description


@operation("GET", "/secrets", answer=Page, items=SecretView, query=PAGING)
async def list_secrets(call: Call) -> Response:
    """Secrets, which accounts declare them, and when they were last used; never their values"""
    declared = await _declared(call)
    found: list[SecretView] = []
    revision = 0
    async for page in call.services.store.scan(keys.SECRETS):
        revision = page.revision
        found += [await _view(call, decode(kv.value, Secret), kv.modified, declared, most=1) for kv in page.items]
    return answer(cursor.part(call, [replace(view, uses=()) for view in found], revision))


@operation("GET", "/secrets/{name}", answer=SecretView)
async def get_secret(call: Call) -> Response:
    """One secret, with the attempts that were given it, the newest first; never its value"""
    kv = await _find(call)
    return answer(await _view(call, decode(kv.value, Secret), kv.modified, await _declared(call), most=SHOWN))


@operation("PUT", "/secrets/{name}", body=PutSecret, answer=SecretView, role="admin")
async def put_secret(call: Call) -> Response:
    """Give a secret a value; attempts that start from now on get it"""
    services = call.services
    call.fingerprint = services.secrets.keyring.fingerprint  # or guesses could be tried against what is kept of this
    await call.seen_before()
    name, body, now = call.name(), await call.body(PutSecret), services.clock.now()
    _look_over(body)

    async def attempt() -> SecretView | None:
        found = await services.store.get(keys.secret(name))
        old = decode(found.value, Secret) if found else None
        fresh = random.token_hex(8)
        sealed = seal(body.value, about(name, fresh), services.secrets.keyring.current())
        version = SecretVersion(fresh, sealed, now, call.who.name)
        kept = await _kept(call, old) if old else ()
        secret = Secret(
            name,
            (*kept, version),
            old.number + 1 if old else 1,
            body.description if body.description is not None else old.description if old else "",
            old.created if old else now,
            old.created_by if old else call.who.name,
        )
        view = await _view(call, secret, 0, await _declared(call), most=1)
        condition = Condition(keys.secret(name), modified=found.modified if found else 0)
        changes: list[Put | Delete] = [Put(keys.secret(name), encode(secret)), *_revoked(old, kept)]
        revision = await call.commit([condition], changes, name, answer=view, version=secret.number)
        return replace(view, revision=revision) if revision is not None else None

    return answer(await call.tried(f"secret {name}", attempt))


@operation("DELETE", "/secrets/{name}", status=204, role="admin")
async def delete_secret(call: Call) -> Response:
    """Delete a secret that no account declares and no attempt has now"""
    kv, name = await _find(call), call.name()
    if using := (await _declared(call)).get(name):
        raise Conflict(
            f"the secret {name} is declared by the service account {', '.join(using)}",
            hint=f"khantui accounts set {using[0]} FILE, without it",
        )
    if active := await _active(call, name):
        runs = dict.fromkeys(run for run, _ in active)
        raise Conflict(f"the secret {name} is in use by run {', '.join(runs)}", hint="wait until it has ended")
    secret = decode(kv.value, Secret)
    changes: list[Put | Delete] = [Delete(kv.key), Delete(keys.used(name), prefix=True), *_revoked(secret, ())]
    if await call.commit([Condition(kv.key, modified=kv.modified)], changes, name) is None:
        raise call.conflict(f"secret {name}")
    return Response(status_code=204)


@operation("POST", "/secrets/rewrap", answer=Rewrapped, role="admin")
async def rewrap_secrets(call: Call) -> Response:
    """Change the key that wraps all secrets; their values stay as they are"""
    call.explained()
    keyring, store = call.services.secrets.keyring, call.services.store
    key = keyring.renew()
    done: set[str] = set()
    async for page in store.scan(keys.SECRETS):
        for item in page.items:
            await _rewrap(call, item.key, key.id)
            done.add(item.key)
    keyring.drop_old()
    result = Rewrapped(key.id, len(done))
    await call.commit([], [], "secrets", key=key.id, secrets=len(done))
    return answer(result)


async def _rewrap(call: Call, key: str, wanted: str) -> None:
    """Wrap one secret's data keys anew, whoever changes it meanwhile."""
    store, keyring = call.services.store, call.services.secrets.keyring
    while (found := await store.get(key)) is not None:
        secret = decode(found.value, Secret)
        if all(version.sealed.key == wanted for version in secret.versions):
            return
        versions = tuple(
            replace(version, sealed=reseal(version.sealed, about(secret.name, version.id), keyring))
            for version in secret.versions
        )
        change = Put(key, encode(replace(secret, versions=versions)))
        if await store.commit([Condition(key, modified=found.modified)], [change]) is not None:
            return


def _look_over(body: PutSecret) -> None:
    """Raises InvalidRequest; the value is not repeated."""
    if len(body.value) > LARGEST:
        raise InvalidRequest(f"a secret has at most {LARGEST >> 10} KiB, not {len(body.value):,} bytes")
    if len(body.value.strip()) < SHORTEST:
        raise InvalidRequest(
            f"a secret has at least {SHORTEST} bytes", hint="what is shorter cannot be hidden in logs, and is guessed"
        )
    if body.description is not None and len(body.description) > LONGEST:
        raise InvalidRequest(f"the description is longer than {LONGEST} characters")


async def _kept(call: Call, secret: Secret) -> tuple[SecretVersion, ...]:
    """Earlier values that are still needed: the newest, and those that an active run was given, to mask its logs."""
    active = {version for _, version in await _active(call, secret.name)}
    return tuple(v for v in secret.versions if v.id in active or v.id == secret.current.id)


def _revoked(secret: Secret | None, kept: tuple[SecretVersion, ...]) -> list[Put]:
    """Notes for the controller: values that are not kept any more must be nowhere else either."""
    gone = [version for version in secret.versions if version not in kept] if secret else []
    return [Put(keys.revoked(secret.name, version.id), b"") for version in gone if secret]


async def _active(call: Call, name: str) -> list[tuple[str, str]]:
    """Runs that have not ended and were given the secret, each with the value's version."""
    store, prefix = call.services.store, keys.used(name)
    uses = [kv async for page in store.scan(prefix) for kv in page.items]
    runs = [keys.used_by(kv.key)[0] for kv in uses]
    alive = [kv is not None for kv in await store.get_many([keys.active(run) for run in runs])] if runs else []
    return [(run, decode(kv.value, Use).version) for kv, run, active in zip(uses, runs, alive, strict=True) if active]


async def _declared(call: Call) -> dict[str, tuple[str, ...]]:
    """The accounts that declare each secret."""
    found: dict[str, tuple[str, ...]] = {}
    async for account in all_accounts(call):
        for name in dict.fromkeys(use.secret for use in account.secrets):
            found[name] = (*found.get(name, ()), account.name)
    return found


async def _find(call: Call) -> KeyValue:
    name = call.name()
    found = await call.services.store.get(keys.secret(name))
    if found is None:
        raise NotFound(f"there is no secret {name!r}", hint="khantui secrets lists them")
    return found


async def _view(
    call: Call, secret: Secret, revision: int, declared: Mapping[str, tuple[str, ...]], *, most: int
) -> SecretView:
    prefix = keys.used(secret.name)
    page = await call.services.store.page(prefix, keys.after(prefix), limit=most)
    uses = tuple(_use(kv, secret) for kv in page.items)
    return SecretView(
        name=secret.name,
        description=secret.description,
        version=secret.number,
        key=secret.current.sealed.key,
        accounts=declared.get(secret.name, ()),
        last_used=max(uses, key=lambda use: use.at, default=None),
        uses=uses,
        created=secret.created,
        created_by=secret.created_by,
        updated=secret.current.at,
        updated_by=secret.current.by,
        revision=revision,
    )


def _use(kv: KeyValue, secret: Secret) -> UseView:
    run, stage, attempt = keys.used_by(kv.key)
    use = decode(kv.value, Use)
    return UseView(run, stage, attempt, use.pipeline, use.account, use.at, use.version == secret.current.id)
