"""From a stage of a run to what an executor can start, and from its exit to published outputs."""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec

from backend.artifacts import ArtifactStore, CodeStore
from backend.artifacts.code import missing_code
from backend.clock import Clock
from backend.control.grants import Grants
from backend.errors import ArtifactError, KhanError, NotFound, ObjectStoreError, ObjectStoreUnavailable, said
from backend.executors.base import AttemptKey, AttemptSpec, Mount, Observation
from backend.run.machine import Ending, Machine
from backend.run.state import ArtifactRecord, Reason, Run
from backend.spec.graph import Instance, Source
from backend.spec.interpolate import Context, fill, resolve
from backend.store import keys
from backend.store.base import Condition, Put, Store
from backend.store.catalogue import Loaded
from backend.store.codec import decode, encode
from backend.store.records import Entry, External, Latest
from backend.store.results import hold

log = logging.getLogger(__name__)
replace = msgspec.structs.replace


class Prepared(msgspec.Struct, frozen=True):
    """An attempt's specification, and the hashes of what it reads (by artifact, or artifact/entry)."""

    spec: AttemptSpec
    inputs: dict[str, str]


class Attempts:
    """Prepares attempts and publishes what they wrote."""

    def __init__(self, store: Store, artifacts: ArtifactStore, code: CodeStore, clock: Clock, grants: Grants) -> None:
        self._grants = grants
        self._store = store
        self.artifacts = artifacts
        self._code = code
        self._clock = clock

    async def prepare(
        self, loaded: Loaded, machine: Machine, name: str, number: int, *, starts: bool = True
    ) -> Prepared:
        """All that the executor needs. Raises ArtifactError for an input that is not there, KhanError for the rest.

        `starts`: not where it is only found out what it would be made from.
        """
        run, instance = machine.run, machine.plan.instances[name]
        stage = machine.pipeline.stages[instance.stage]
        key, seen = AttemptKey(run.id, name, number), machine.was_seen(name, number)
        mounts: list[Mount] = []
        hashes: dict[str, str] = {}
        for alias, sources in instance.inputs.items():
            for source in sources:
                for entry in await self._entries(machine, source):
                    record = entry.record
                    if starts and not seen:
                        await self.artifacts.check(record)
                    mounts.append(Mount(alias, record.location, record.kind, entry.name, record.sha256))
                    hashes[f"{source.artifact}/{entry.name}".rstrip("/")] = entry.record.sha256
        context = context_of(run, name, number)
        environment = {**resolve(machine.pipeline.environment, context), **instance.each}
        account = machine.pipeline.service_account
        spec = AttemptSpec(
            key=key,
            image=stage.image,
            argv=stage.run,
            script=stage.script,
            environment=environment,
            inputs=tuple(mounts),
            outputs=tuple(instance.outputs),
            code=await self._code_of(loaded, instance),
            resources=stage.resources,
            pipeline=run.pipeline,
            account=account,
            grant=await self._grants.of(account, key, run.pipeline, seen=seen, starts=starts),
            timeout=stage.timeout,
            kubernetes=stage.kubernetes.over(machine.pipeline.kubernetes),
            seen=seen,
        )
        return Prepared(spec, hashes)

    async def conclude(self, machine: Machine, prepared: dict[str, str], seen: Observation) -> Ending:
        """How an attempt that was seen to have ended counts: its outputs are published if its command succeeded.

        Raises ObjectStoreUnavailable if the artifact store cannot say now what was published.
        """
        key = seen.key
        ending = Ending(seen.at, seen.reason, seen.message, seen.exit_code, inputs=prepared)
        if seen.state == "lost":
            message = seen.message or "its process vanished: the machine went down, or somebody killed it"
            return replace(ending, reason=Reason.LOST, message=message)
        if seen.reason is not Reason.OK:
            return ending
        instance = machine.plan.instances[key.stage]
        try:
            outputs = await self._publish(key, instance)
        except ObjectStoreUnavailable:
            raise
        except (ObjectStoreError, OSError) as error:
            return replace(ending, reason=Reason.PUBLISH, message=said(error))
        except ArtifactError as error:
            return replace(ending, reason=Reason.MISSING_OUTPUT, message=said(error))
        try:
            outputs = await self.export(machine, instance, key.number, outputs)
        except ObjectStoreUnavailable:
            raise
        except (KhanError, OSError) as error:
            return replace(ending, reason=Reason.PUBLISH, message=said(error))
        return replace(ending, outputs=outputs)

    async def latest(self, machine: Machine, ended: datetime) -> list[Put]:
        """What is to be written when a run has succeeded: its outputs, as what other pipelines read from now on."""
        run, outputs = machine.run, machine.pipeline.outputs
        if not outputs:
            return []
        found = await self._store.get(keys.latest(run.pipeline))
        if found and decode(found.value, Latest).logical_time > run.logical_time:
            return []
        entries: dict[str, list[Entry]] = {name: [] for name in outputs}
        for name, instance in machine.plan.instances.items():
            for artifact, record in machine.record(name).outputs.items():
                if artifact in entries:
                    entries[artifact].append(Entry(instance.entry, record))
        latest = Latest(run.id, run.logical_time, ended, {k: tuple(v) for k, v in entries.items()})
        return [Put(keys.latest(run.pipeline), encode(latest))]

    async def _code_of(self, loaded: Loaded, instance: Instance) -> str:
        pin = loaded.record.pins.get(instance.stage)
        stage = loaded.pipeline.stages[instance.stage]
        bundle = pin.bundle if pin and stage.uses else loaded.record.bundle
        if bundle and not await self._code.has(bundle):
            raise missing_code(bundle)
        return bundle

    async def _entries(self, machine: Machine, source: Source) -> tuple[Entry, ...]:
        if source.instance:
            record = machine.record(source.instance).outputs.get(source.artifact)
            if record is None:
                raise ArtifactError(f"{source.instance} left no {source.artifact!r}")
            return (Entry(source.entry, record),)
        return (await self._external(machine, source.artifact)).entries

    async def _external(self, machine: Machine, artifact: str) -> External:
        """An input from outside, looked up by the first attempt that reads it, and the same for all others."""
        key = keys.external(machine.run.id, artifact)
        found = await self._store.get(key)
        if found is not None:
            return decode(found.value, External)
        declared = machine.pipeline.inputs[artifact]
        if declared.from_:
            external = await self._output_of(declared.from_)
        else:
            context = context_of(machine.run)
            environment = resolve(machine.pipeline.environment, context)
            uri = fill(declared.uri, context, environment)
            record = await self.artifacts.bring(uri)
            external = External((Entry("", record),))
        conditions, changes = await hold(self._store, machine.run.id, [external.run] if external.run else [])
        conditions.append(Condition(key, modified=0))
        if await self._store.commit(conditions, [Put(key, encode(external)), *changes]) is None:
            return await self._external(machine, artifact)
        return external

    async def _output_of(self, reference: str) -> External:
        pipeline, _, output = reference.partition("/")
        found = await self._store.get(keys.latest(pipeline))
        latest = decode(found.value, Latest) if found else None
        entries = latest.outputs.get(output) if latest else None
        if not latest or not entries:
            raise ArtifactError(
                f"{pipeline} has no good run with an output {output!r} yet", hint=f"khantui run {pipeline}"
            )
        return External(entries, latest.run)

    async def _publish(self, key: AttemptKey, instance: Instance) -> dict[str, ArtifactRecord]:
        if not instance.outputs:
            return {}
        published = await self.artifacts.publish(key.run, key.stage, key.number, tuple(instance.outputs))
        return {instance.outputs[alias]: record for alias, record in published.items()}

    async def export(
        self, machine: Machine, instance: Instance, number: int, outputs: dict[str, ArtifactRecord]
    ) -> dict[str, ArtifactRecord]:
        """Copy the outputs that have a `uri` to where it says: the same, with where that is. Raises KhanError."""
        exported = dict(outputs)
        for artifact, record in outputs.items():
            declared = machine.pipeline.outputs.get(artifact)
            if declared is None or not declared.uri:
                continue
            context = context_of(machine.run, instance.name, number)
            environment = {**resolve(machine.pipeline.environment, context), **instance.each}
            uri = fill(declared.uri, context, environment)
            if instance.entry:
                uri = f"{uri.rstrip('/')}/{instance.entry}"
            await self.artifacts.export(record, uri)
            exported[artifact] = replace(record, uri=uri)
        return exported


def context_of(run: Run, stage: str = "", attempt: int = 1) -> Context:
    """What `${…}` stands for in a run, one of its stages and attempts."""
    return Context(
        logical_time=run.logical_time,
        run_id=run.id,
        attempt=attempt,
        pipeline=run.pipeline,
        version=run.version,
        schedule=run.trigger.schedule,
        parameters=run.parameters,
        stage=stage,
    )


def why_not(error: Exception) -> Reason:
    """The reason that stands for an attempt that could not even be prepared or started."""
    return Reason.MISSING_INPUT if isinstance(error, ArtifactError | NotFound) else Reason.START
