"""Wires everything: etcd, the store, the executor, the API, and, while this daemon leads, the controllers.

One root task's failure ends the process, after everything has been closed in order; stages go on running and are
adopted by the next daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from backend.access.model import Binding, checked_subject
from backend.api.app import create_app, create_probes
from backend.api.doors import Way, open_doors
from backend.api.failures import Failures
from backend.api.identity import Login
from backend.api.rates import Rates
from backend.api.serve import serve
from backend.api.services import Services
from backend.artifacts import ArtifactStore, CodeStore, FolderStore, ObjectStore
from backend.artifacts.reach import Reach
from backend.clock import SystemClock
from backend.config import Config, Role, parse
from backend.control.attempts import Attempts
from backend.control.backfills import Backfills
from backend.control.calendars import Calendars
from backend.control.followers import Followers
from backend.control.grants import Grants
from backend.control.journal import Journal
from backend.control.leader import Leader
from backend.control.notifier import Notifier
from backend.control.retaining import Retaining
from backend.control.revocations import Revocations
from backend.control.runs import Parts, RunController
from backend.control.ticks import Ticker
from backend.errors import KhanError
from backend.executors.base import Executor
from backend.executors.elsewhere import Elsewhere
from backend.executors.sandbox import SandboxExecutor, check, read_limits
from backend.issuers import Trusted
from backend.layout import Layout
from backend.logs import LogStore
from backend.objects import open_bucket
from backend.spec.images import IMAGES, reference
from backend.spec.model import Retention
from backend.spec.quantity import duration, memory
from backend.store.access import AccessBook
from backend.store.catalogue import Catalogue
from backend.store.embedded import EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.feed import Feed
from backend.store.images import Images
from backend.store.records import instance
from backend.store.roster import Roster
from backend.store.secrets import Secrets
from backend.store.server_binary import provide
from backend.store.standing import Standing
from backend.store.tally import Tally
from backend.telemetry import Metrics, RunTelemetry
from backend.vault import Keyring

if TYPE_CHECKING:
    from backend.control.cronjobs import CronJobs
    from backend.telemetry.otlp import OtlpTraces

log = logging.getLogger(__name__)

YOUNG = 10_000  # objects that are made until those among them are looked for that can go; Python's own is 700
LEAST_QUOTA = 16 << 20  # bytes; with less an etcd is full of what it needs itself


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to stop: its exit code."""
    config = parse(argv)
    gc.set_threshold(YOUNG)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=os.environ.get("KHANTUI_LOG", "INFO")
    )
    try:
        with locked(config.data, shared=bool(config.etcd.endpoints)):
            asyncio.run(_run(config))
    except KhanError as error:
        print(f"khantui: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"         {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


@contextlib.contextmanager
def locked(data: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the data folder: one daemon at a time, unless all of them share an etcd elsewhere."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise KhanError(
                f"another daemon uses {data}", hint="use that one, or give another folder: --data DIR"
            ) from None
        yield


async def _run(config: Config) -> None:
    """All root tasks, until one fails or a signal says to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(config, Layout(config.data)))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, stopped):
        if not task.done():
            task.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _work(config: Config, layout: Layout) -> None:
    """Everything that is done until the daemon is stopped, also the waiting for an etcd that is away."""
    if config.executor == "sandbox":
        await _check_sandbox(config)
    async with _traces(config) as traces, _store(config, layout) as store:
        images = Images(store)
        archive = open_bucket(config.artifacts, patience=5) if config.artifacts else None
        keyring = Keyring(config.secrets_key or layout.secrets_key, own=config.secrets_key is None)
        secrets = Secrets(store, keyring)
        clock = SystemClock()
        logs = LogStore(layout, clock, archive, secrets.masker)
        executor = await _executor(config, layout, clock, store, images, logs)
        try:
            await Daemon(config, layout, clock, store, logs, executor, images, secrets, traces).run()
        finally:
            await executor.close()


@contextlib.asynccontextmanager
async def _traces(config: Config) -> AsyncIterator[OtlpTraces | None]:
    """Where traces go, if they are wanted. At the end what is left is sent, if that is soon done."""
    if not config.otlp:
        yield None
        return
    from backend.telemetry.otlp import OtlpTraces

    traces = await asyncio.to_thread(OtlpTraces, config.otlp)
    try:
        yield traces
    finally:
        closing = threading.Thread(target=traces.close, daemon=True)  # a collector that is away must not hold us up
        closing.start()
        await asyncio.to_thread(closing.join, 3.0)


async def _check_sandbox(config: Config) -> None:
    if config.artifacts:
        raise KhanError(
            "--artifacts: the sandbox passes artifacts on by this machine's disk", hint="it is for Kubernetes alone"
        )
    read_limits(config.limits)
    if config.sandboxed:
        await asyncio.to_thread(check)
    else:
        log.warning("stages run WITHOUT a sandbox: they can do whatever this user can")


async def _executor(
    config: Config, layout: Layout, clock: SystemClock, store: EtcdStore, images: Images, logs: LogStore
) -> Executor:
    """What runs stages. The client of Kubernetes is loaded only where it is used: it is large."""
    if config.executor == "sandbox":
        limits = read_limits(config.limits)
        executor = SandboxExecutor(layout, clock, sandboxed=config.sandboxed, limits=limits, images=images)
        await executor.prepare()
        return executor
    if config.role is Role.API:
        return Elsewhere(images)
    from backend.executors.kubernetes import open_executor

    return await open_executor(
        config.cluster,
        config.artifacts,
        await instance(store),
        layout,
        clock,
        lambda key, size, micros: logs.grew(*key, size, micros),
        images,
    )


@contextlib.asynccontextmanager
async def _store(config: Config, layout: Layout) -> AsyncIterator[EtcdStore]:
    """The etcd that was named, or one of our own for as long as this daemon lives."""
    if config.etcd.endpoints:
        store = EtcdStore(config.etcd.endpoints, access=config.etcd)
        try:
            await store.reached()
            yield store
        finally:
            await store.close()
        return
    binary = await asyncio.to_thread(provide, _progress, config.etcd_binary)
    etcd = EmbeddedEtcd(layout.etcd, binary, quota=_quota(config.etcd_quota))
    await etcd.start()
    store = EtcdStore([etcd.target])
    try:
        await etcd.ready()
        await store.sweep()
        yield store
    finally:
        await store.close()
        await etcd.stop()


def _quota(text: str) -> int:
    """Bytes. Raises KhanError."""
    try:
        quota = memory(text)
    except ValueError as error:
        raise KhanError(f"--etcd-quota: {error}") from None
    if quota < LEAST_QUOTA:
        raise KhanError(f"--etcd-quota: {text} is too small", hint="16Mi at least, better some gigabytes: 4Gi")
    return quota


def usual_retention(runs: str, age: str) -> Retention:
    """Of runs whose pipeline's document says nothing. Raises KhanError: what is removed is gone."""
    if runs and not (runs.isdecimal() and int(runs)):
        raise KhanError(f"--keep-runs: {runs} is no number of runs", hint="1 or more")
    try:
        return Retention(int(runs) if runs else None, duration(age) if age else None)
    except ValueError as error:
        raise KhanError(f"--keep-for: {error}") from None


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _settle() -> None:
    """What there is by now is there to stay: looking through it for garbage would stop everything, again and again."""
    anyio.create_task_group  # noqa: B018  loaded at its first use, for which the first stream of events would wait
    gc.collect()
    gc.freeze()


class Daemon:
    """The parts, and the tasks that they are."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        clock: SystemClock,
        store: EtcdStore,
        logs: LogStore,
        executor: Executor,
        images: Images,
        secrets: Secrets,
        traces: OtlpTraces | None = None,
    ) -> None:
        self._secrets = secrets
        self._config = config
        self._images = images
        self._layout = layout
        self._executor = executor
        self._clock = clock
        self._store = store
        self._retention = usual_retention(config.keep_runs, config.keep_for)
        self._feed = Feed(store)
        self._tally = Tally(store, self._feed)
        self._roster = Roster(store, self._feed)
        self._standing = Standing(store, None if config.etcd.endpoints else layout.etcd)
        self._catalogue = Catalogue(store)
        self._access = AccessBook(store, self._admins())
        self._logs = logs
        bucket = open_bucket(config.artifacts) if config.artifacts else None
        reach = self._reach()
        self._artifacts: ArtifactStore = ObjectStore(bucket, layout, reach) if bucket else FolderStore(layout, reach)
        self._code = CodeStore(layout, bucket)
        self._leader = Leader(store, self._feed, alone=not config.etcd.endpoints)
        self._metrics = Metrics()
        self._telemetry = RunTelemetry(self._metrics, traces)
        self._measure()

    def _reach(self) -> Reach:
        """What documents may name: nothing of the data folder, of which others' artifacts and our keys are a part."""
        config, listening = self._config, self._config.listening
        own = (self._layout.root, listening.token_file, listening.key, config.secrets_key)
        files = config.safeguards.files
        return Reach(
            config.safeguards.inputs,
            files=(Path("/"),) if files is None else files,
            closed=[path for path in own if path is not None],
        )

    def _measure(self) -> None:
        """What others count is asked for when it is scraped."""
        metrics, store, feed, logs, clock = self._metrics, self._store, self._feed, self._logs, self._clock
        store.calls.heard = metrics.etcd
        metrics.count(
            "watch_restarts", "How often the watch had to begin anew: history was lost", lambda: feed.restarts
        )
        metrics.count(
            "watch_resumes", "How often the watch went on over a lost connection", lambda: store.calls.resumed
        )
        metrics.count("clock_jumps", "How often the clock was set, or the machine slept", lambda: clock.jumps)
        metrics.count("log_archived_bytes", "Bytes of logs that were archived", lambda: logs.archived_bytes)
        metrics.show("slots", "Attempts that may run at once", lambda: self._config.slots)
        self._show_load(lambda: (0, 0))

    def _show_load(self, load: Callable[[], tuple[int, int]]) -> None:
        self._metrics.show("slots_used", "Attempts that are under way", lambda: load()[0])
        self._metrics.show("runs_waiting_for_slot", "Runs with a stage that waits for a free place", lambda: load()[1])

    def _admins(self) -> list[Binding]:
        """Those whom the settings make administrators. Raises InvalidRequest for what is nobody."""
        subjects = map(checked_subject, self._config.trust.admins)
        return [Binding(subject, "admin", created_by="the daemon's settings") for subject in subjects]

    async def run(self) -> None:
        """Serve and, while leading, control; until cancelled, or until one of the tasks fails."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._clock.run())
            tasks.create_task(self._feed.run())
            tasks.create_task(self._standing.run())
            tasks.create_task(self._logs.run())
            await self._feed.started.wait()
            tasks.create_task(self._tally.run())
            tasks.create_task(self._images.run(self._feed))
            tasks.create_task(self._access.run(self._feed))
            await self._images.loaded.wait()
            await self._access.loaded.wait()
            tasks.create_task(self._secrets.run(self._feed))
            await self._secrets.loaded.wait()
            if self._config.role is not Role.CONTROLLER:
                tasks.create_task(self._roster.run())
            if self._config.role is not Role.API:
                tasks.create_task(self._leader.run(self._control))
            tasks.create_task(self._serve())

    async def _control(self) -> None:
        """What only the leader does."""
        clock, fence = self._clock, self._leader.fence
        grants = Grants(self._store, self._secrets, clock, self._mapped())
        attempts = Attempts(self._store, self._artifacts, self._code, clock, grants)
        parts = Parts(
            self._store, self._feed, self._catalogue, self._executor, attempts, self._logs, clock, self._telemetry
        )
        async with asyncio.TaskGroup() as tasks:
            controller = RunController(parts, fence, slots=self._config.slots)
            self._show_load(lambda: controller.load if self._leader.leads else (0, 0))
            tasks.create_task(controller.run())
            tasks.create_task(self._schedules().run())
            tasks.create_task(Followers(self._store, self._feed, self._catalogue, clock, fence).run())
            tasks.create_task(Calendars(self._store, self._feed, clock, fence).run())
            tasks.create_task(Backfills(self._store, self._feed, self._catalogue, clock, fence).run())
            tasks.create_task(Revocations(self._store, self._feed, self._executor, fence).run())
            tasks.create_task(
                Retaining(
                    self._store,
                    self._feed,
                    self._catalogue,
                    self._artifacts,
                    self._logs,
                    clock,
                    fence,
                    self._retention,
                ).run()
            )
            tasks.create_task(Notifier(self._store, self._feed, self._logs, clock, fence).run())
            tasks.create_task(Journal(self._store, clock, fence, self._config.safeguards).run())

    def _mapped(self) -> tuple[str, ...]:
        """The service accounts that stand for one of the cluster's by a flag."""
        return tuple(account.partition("=")[0] for account in self._config.cluster.accounts)

    def _schedules(self) -> Ticker | CronJobs:
        """What fires schedules."""
        fence = self._leader.fence
        if self._config.executor == "sandbox":
            return Ticker(self._store, self._feed, self._catalogue, self._clock, fence)
        from backend.control.cronjobs import CronJobs
        from backend.executors.kubernetes import KubernetesExecutor

        executor = self._executor
        assert isinstance(executor, KubernetesExecutor)
        image = reference(IMAGES["shell"], self._config.cluster.registry, self._config.cluster.image_version)
        return CronJobs(
            executor.kube,
            self._store,
            self._feed,
            self._catalogue,
            self._clock,
            fence,
            instance=executor.settings.instance,
            image=image,
        )

    async def _serve(self) -> None:
        services = Services(
            store=self._store,
            feed=self._feed,
            tally=self._tally,
            roster=self._roster,
            catalogue=self._catalogue,
            logs=self._logs,
            artifacts=self._artifacts,
            code=self._code,
            clock=self._clock,
            clock_warning=lambda: self._clock.warning,
            layout=self._layout,
            executor=self._executor.name,
            sandboxed=self._config.executor == "kubernetes" or self._config.sandboxed,
            accounts=self._mapped(),
            secrets=self._secrets,
            cluster_requests=self._executor.requests,
            registry=self._config.cluster.registry,
            image_version=self._config.cluster.image_version,
            held_images=self._executor.held_images,
            images=self._images,
            missing=self._executor.missing_tools,
            slots=self._config.slots,
            leader=lambda: self._leader.leads,
            metrics=self._metrics,
            access=self._access,
            standing=self._standing,
            login=Login(
                self._access,
                self._config.listening,
                Trusted(self._config.trust),
                self._clock,
                Failures(self._config.safeguards.failures),
            ),
            safeguards=self._config.safeguards,
            rates=Rates(self._config.safeguards.rate, self._config.safeguards.burst),
        )

        listening = self._config.listening
        if self._config.role is Role.CONTROLLER:
            listening = replace(listening, port=None, remote=None)
        doors = open_doors(listening.socket or self._layout.socket, listening)

        def ready() -> None:
            url = next((d.url for d in reversed(doors) if d.way is not Way.PROBES), "")
            print(f"ready {url}", flush=True)
            settling = asyncio.create_task(asyncio.to_thread(_settle))
            settling.add_done_callback(lambda done: done.result())

        await serve(create_app(services), create_probes(services), doors, ready)
