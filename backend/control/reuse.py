"""Results of earlier runs that may stand for a stage: whether there is one, and if not, what has changed."""

from __future__ import annotations

import hashlib
import logging

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.artifacts import ArtifactStore
from backend.clock import Clock
from backend.control.attempts import Attempts, Prepared
from backend.errors import KhanError, ObjectStoreUnavailable, StoreError, said
from backend.executors.base import AttemptSpec, Executor
from backend.run.fingerprint import Fingerprint, changes, fingerprint
from backend.run.ids import short
from backend.run.machine import Machine
from backend.run.state import ArtifactRecord, StageRecord
from backend.store import keys
from backend.store.base import Store
from backend.store.catalogue import Loaded
from backend.store.codec import decode
from backend.store.results import Made, Result, artifacts_of

log = logging.getLogger(__name__)


class Sought(Struct, frozen=True):
    """What came of looking: a record with inputs, outputs and the reason, and the run it is of; or only why not."""

    stage: str
    reason: str
    earlier: StageRecord | None = None
    run: str = ""


class Reuse:
    """Looks for results, and says what new ones were made from."""

    def __init__(self, store: Store, artifacts: ArtifactStore, attempts: Attempts, executor: Executor, clock: Clock):
        self._store = store
        self._artifacts = artifacts
        self._attempts = attempts
        self._executor = executor
        self._clock = clock

    async def made_from(self, prepared: Prepared, digest: str = "") -> Fingerprint:
        """The fingerprint of an attempt; `digest` is that of the image that it ran in, if known. Raises KhanError."""
        spec = prepared.spec
        return fingerprint(
            image=await self._executor.identity(spec.image, digest),
            argv=spec.argv,
            script=spec.script,
            code=spec.code,
            account=_account(spec),
            environment=spec.environment,
            inputs={mount.place: mount.sha256 for mount in spec.inputs},
            outputs=spec.outputs,
        )

    async def seek(self, loaded: Loaded, machine: Machine, name: str) -> Sought:
        """Whether an earlier result stands for a stage that is ready. Raises StoreError, ObjectStoreUnavailable."""
        try:
            prepared = await self._attempts.prepare(loaded, machine, name, 1, starts=False)
            wanted = await self.made_from(prepared)
            return await self._look(machine, name, prepared, wanted)
        except (StoreError, ObjectStoreUnavailable):
            raise
        except (KhanError, OSError) as error:  # whatever is in the way of an attempt is told by the attempt
            return Sought(name, f"earlier results could not be looked for: {said(error)}")

    async def _look(self, machine: Machine, name: str, prepared: Prepared, wanted: Fingerprint) -> Sought:
        instance = machine.plan.instances[name]
        pipeline = machine.run.pipeline
        result_key, made_key = keys.result(pipeline, instance.stage, wanted.digest), keys.made(pipeline, name)
        kept, newest = await self._store.get_many([result_key, made_key])
        if kept is None:
            return Sought(name, _changed(decode(newest.value, Made) if newest else None, wanted))
        result = decode(kept.value, Result)
        outputs = artifacts_of(instance, result.outputs)
        if outputs is None or not await self._there(result):
            return Sought(name, f"what run {short(result.run)} wrote from the same is not there any more")
        outputs = await self._attempts.export(machine, instance, 1, outputs)
        reason = "nothing that it depends on has changed"
        earlier = StageRecord(name, inputs=prepared.inputs, outputs=outputs, reason=reason)
        return Sought(name, reason, earlier, result.run)

    async def _there(self, result: Result) -> bool:
        """Whether the run that made it is there still, and all that it wrote."""
        if await self._store.get(keys.run(result.run)) is None:
            return False
        return all([await self._has(record) for record in result.outputs.values()])

    async def _has(self, record: ArtifactRecord) -> bool:
        return await self._artifacts.has(record)


def _account(spec: AttemptSpec) -> str:
    """The service account, with what it declares; not the values of secrets, which are renewed."""
    grant = spec.grant
    if not grant.declared:
        return spec.account
    secrets = [(s.name, s.env, s.file) for s in grant.secrets]
    declared = msgspec.json.encode([grant.network, secrets, grant.kubernetes], order="sorted")
    return f"{spec.account} {hashlib.sha256(declared).hexdigest()[:12]}"


def without_secrets(prepared: Prepared) -> Prepared:
    """The same, to be remembered while it runs."""
    given = prepared.spec.grant.secrets
    secrets = tuple(replace(secret, value=b"") for secret in given)
    return replace(prepared, spec=replace(prepared.spec, grant=replace(prepared.spec.grant, secrets=secrets)))


def _changed(newest: Made | None, wanted: Fingerprint) -> str:
    if newest is None:
        return "it has no earlier result"
    what = changes(newest.parts, wanted.parts)
    return f"{what}, since run {short(newest.run)}" if what else "its earlier results were cleared, or removed"
