"""From the service account that a pipeline names to what an attempt is given; and who was given which secret."""

from __future__ import annotations

from collections.abc import Collection

from backend.accounts.account import NONE, Account, SecretUse
from backend.accounts.grant import GivenSecret, Grant
from backend.clock import Clock
from backend.errors import ExecutorError, KhanError, VaultError
from backend.executors.base import AttemptKey
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.codec import decode, encode
from backend.store.secrets import Secrets, Use

MOST_USES = 200  # that are remembered of each secret
_SLACK = 50  # more than that, so that not each attempt has to forget one
_CHUNK = 100  # changes in one transaction


class Grants:
    """Reads accounts and secrets at the moment in which an attempt starts."""

    def __init__(self, store: Store, secrets: Secrets, clock: Clock, elsewhere: Collection[str] = ()) -> None:
        """`elsewhere`: accounts that stand for one of the cluster's, and have no record here."""
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._elsewhere = frozenset(elsewhere)

    async def of(
        self, account: str, key: AttemptKey, pipeline: str, *, seen: bool = False, starts: bool = True
    ) -> Grant:
        """What the account declares now. Raises ExecutorError, VaultError.

        Of an attempt that was `seen` to run it is asked only in case: what is wrong is noted, and does not end it.
        `starts`: not where it is only found out what it would be given, and nobody is given anything.
        """
        if account == NONE:
            return Grant()
        try:
            return await self._of(account, key, pipeline, note=starts and not seen)
        except KhanError as error:
            if seen and isinstance(error, ExecutorError | VaultError):
                return Grant(refused=error.message)
            raise

    async def _of(self, name: str, key: AttemptKey, pipeline: str, *, note: bool) -> Grant:
        found = await self._store.get(keys.account(name))
        if found is None and name in self._elsewhere:
            return Grant()
        if found is None:
            raise ExecutorError(
                f"there is no service account {name!r}", hint=f"make it: khantui accounts set {name} FILE"
            )
        account = decode(found.value, Account)
        secrets = [await self._give(account, use, key, pipeline, note=note) for use in account.secrets]
        return Grant(account.network, tuple(secrets), account.kubernetes, declared=True)

    async def _give(
        self, account: Account, use: SecretUse, key: AttemptKey, pipeline: str, *, note: bool
    ) -> GivenSecret:
        while True:
            found = await self._store.get(keys.secret(use.secret))
            secret = await self._secrets.read(use.secret) if found else None
            if found is None or secret is None:
                raise ExecutorError(
                    f"the service account {account.name} declares the secret {use.secret!r}, which is not there",
                    hint=f"khantui secrets set {use.secret}",
                )
            version = secret.current
            value = self._secrets.open(secret, version)
            if not note or await self._note(found.modified, use.secret, version.id, account.name, key, pipeline):
                return GivenSecret(use.secret, version.id, value, use.env, use.file)

    async def _note(self, modified: int, name: str, version: str, account: str, key: AttemptKey, pipeline: str) -> bool:
        """Write down who is given it. False if it has changed: whoever changes it sees who has the old one."""
        use = Use(self._clock.now(), version, account, pipeline)
        change = Put(keys.used(name, key.run, key.stage, key.number), encode(use))
        if await self._store.commit([Condition(keys.secret(name), modified=modified)], [change]) is None:
            return False
        prefix = keys.used(name)
        if (await self._store.page(prefix, keys.after(prefix), count_only=True)).count > MOST_USES + _SLACK:
            await self._forget(prefix)
        return True

    async def _forget(self, prefix: str) -> None:
        """Forget the oldest uses."""
        page = await self._store.page(prefix, keys.after(prefix), keys_only=True)
        old = [item.key for item in page.items[MOST_USES:]]
        for start in range(0, len(old), _CHUNK):
            await self._store.commit([], [Delete(each) for each in old[start : start + _CHUNK]])
