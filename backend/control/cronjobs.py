"""Schedules kept by Kubernetes: each is a CronJob, and each of its suspended Jobs a tick that waits to be taken up.

Both ways: a schedule in the store that is made, changed, paused or deleted has its CronJob follow, and what somebody
changes about a CronJob by hand is put back, which the schedule then says. A tick wakes the `Ticker`, which decides what
is due by the very rules of the daemon's own loop, and the Job is deleted once the store says that its moment has been
dealt with. So a tick makes one run whoever is killed when, and those of a time in which nobody was there, neither the
daemon nor Kubernetes' controller (which then makes the newest alone), are found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from backend.clock import Clock
from backend.control.cronjob import FORM, CronJob, Tick, Wanted, changes, expressions, name_of, selector, wanted
from backend.control.ticks import Ticker
from backend.control.workqueue import WorkQueue
from backend.errors import ClusterConflict, ClusterForbidden, ClusterRefused, KhanError, ObjectExists, ObjectMissing
from backend.kube import CRONJOBS, JOBS, Change, Informer, Kube
from backend.schedule.dates import left_out
from backend.schedule.model import Schedule
from backend.schedule.ticks import judge
from backend.store.base import Condition, Store
from backend.store.catalogue import Catalogue
from backend.store.feed import Feed

log = logging.getLogger(__name__)

SLACK = timedelta(seconds=20)  # how late a CronJob may be before the daemon fires by itself
SKEW = timedelta(seconds=60)  # how much the cluster's clock may be ahead of ours


class CronJobs:
    """Keeps CronJobs and schedules in step, and turns ticks into runs."""

    def __init__(
        self,
        kube: Kube,
        store: Store,
        feed: Feed,
        catalogue: Catalogue,
        clock: Clock,
        fence: Callable[[], list[Condition]],
        *,
        instance: str,
        image: str,
    ) -> None:
        """`instance` tells this Khantui's objects from others'; `image` is one that ticks name, and never run."""
        self._kube = kube
        self._clock = clock
        self._instance = instance
        self._image = image
        self._ticker = Ticker(store, feed, catalogue, clock, fence, self)
        self._cronjobs = Informer(kube, CRONJOBS, CronJob, labels=selector(instance))
        self._jobs = Informer(kube, JOBS, Tick, labels=selector(instance))
        self._schedules: dict[str, Schedule] = {}
        self._all_known = asyncio.Event()
        self._found: dict[str, dict[str, CronJob]] = {}  # by schedule and name
        self._owners: dict[str, str] = {}  # names of CronJobs -> schedules
        self._agreed: dict[str, str] = {}  # CronJobs that were as they should be: name -> form
        self._ticks: dict[str, dict[str, Tick]] = {}  # by schedule and uid
        self._work = WorkQueue(self._act)

    async def run(self) -> None:
        """Keep in step until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ticker.run())
            for work in (self._cronjobs.run(), self._jobs.run(), self._follow_cronjobs(), self._follow_jobs()):
                tasks.create_task(work)
            await self._all_known.wait()
            await self._cronjobs.synced.wait()
            await self._jobs.synced.wait()
            tasks.create_task(self._work.run())

    # what the ticker says and asks

    def learned(self, name: str, schedule: Schedule | None) -> None:
        """This is what is known of a schedule now."""
        if schedule is None:
            self._schedules.pop(name, None)
        else:
            self._schedules[name] = schedule
            self._owners.update((name_of(name, n, self._instance), name) for n in range(max(len(schedule.cron), 1)))
        self._work.add(f"schedule {name}")
        self._settle(name)

    def listed(self) -> None:
        """All schedules are known: what belongs to none can go."""
        self._all_known.set()
        for name in (*self._found, *self._ticks):
            if name not in self._schedules:
                self.learned(name, None)

    def now(self, name: str, now: datetime) -> datetime:
        """The time that counts for a schedule: that of a tick which is there, if our clock is behind."""
        moments = [moment for tick in self._ticks.get(name, {}).values() if (moment := tick.moment)]
        return max([now, *(moment for moment in moments if moment <= now + SKEW)])

    def alarm(self, name: str, moment: datetime) -> datetime:
        """When to look by ourselves: at once if Kubernetes has done its part or has none, or else in case it fails."""
        schedule = self._schedules.get(name)
        kept = schedule is not None and not schedule.paused and expressions(schedule)
        return moment + SLACK if kept and not self._ticks.get(name) else moment

    # what the cluster says

    async def _follow_cronjobs(self) -> None:
        async for batch in self._cronjobs.changes():
            for change in batch:
                self._cronjob_changed(change)

    def _cronjob_changed(self, change: Change[CronJob]) -> None:
        name, schedule = change.object.metadata.name, self._schedule_of(change.object)
        found = self._found.setdefault(schedule, {})
        if change.gone:
            if name in found and found[name].metadata.uid == change.object.metadata.uid:
                del found[name]
            if not found:
                del self._found[schedule]
        else:
            found[name] = change.object
        self._work.add(f"schedule {schedule}")

    def _schedule_of(self, cronjob: CronJob) -> str:
        """Whose it is, by its name or, where no schedule has one of that name, by what it says."""
        return self._owners.get(cronjob.metadata.name) or cronjob.schedule

    async def _follow_jobs(self) -> None:
        async for batch in self._jobs.changes():
            for change in batch:
                self._job_changed(change)

    def _job_changed(self, change: Change[Tick]) -> None:
        tick, name = change.object, change.object.schedule
        ticks = self._ticks.setdefault(name, {})
        if change.gone or tick.metadata.deletion_timestamp:
            ticks.pop(tick.metadata.uid, None)
            if not ticks:
                del self._ticks[name]
            return
        ticks[tick.metadata.uid] = tick
        self._ticker.ring(name)
        self._settle(name)

    # what is done about it

    def _settle(self, name: str) -> None:
        """Have the ticks deleted that make no run, or no other one."""
        if not self._all_known.is_set():
            return
        for tick in self._ticks.get(name, {}).values():
            if not self._counts(name, tick):
                self._work.add(f"tick {name} {tick.metadata.uid}")

    def _counts(self, name: str, tick: Tick) -> bool:
        """Whether a tick still has a run to make."""
        schedule, moment = self._schedules.get(name), tick.moment
        if schedule is None or moment is None:
            return False
        try:
            return judge(schedule, moment, self.now(name, self._clock.now())).make
        except KhanError:  # its zone or its expression cannot be read any more
            return False

    async def _act(self, item: str) -> None:
        kind, name, *uid = item.split(" ")
        if kind == "tick":
            await self._remove(name, uid[0])
        else:
            await self._reconcile(name)

    async def _remove(self, name: str, uid: str) -> None:
        tick = self._ticks.get(name, {}).get(uid)
        if tick is None or self._counts(name, tick):
            return
        if tick.moment is None:
            await self._say(
                name, f"the Job {tick.metadata.name} was made by hand, and deleted: khantui run starts a run"
            )
        elif name in self._schedules and (why := left_out(self._schedules[name], tick.moment)):
            await self._say(name, f"the tick of {tick.moment.isoformat()} made no run: {why}")
        with contextlib.suppress(ObjectMissing, ClusterConflict):
            await self._kube.delete(JOBS, tick.metadata.name, uid=uid)
        ticks = self._ticks.get(name, {})
        ticks.pop(uid, None)
        if not ticks:
            self._ticks.pop(name, None)
        self._ticker.ring(name)

    async def _reconcile(self, name: str) -> None:
        """Make a schedule's CronJobs what they should be. Raises ClusterError."""
        schedule = self._schedules.get(name)
        should = {w.name: w for w in (wanted(schedule, self._instance, self._image) if schedule else ())}
        found = dict(self._found.get(name, {}))
        for cronjob in found.values():
            if cronjob.metadata.name not in should and not cronjob.metadata.deletion_timestamp:
                await self._delete(cronjob)
        for each in should.values():
            try:
                await self._ensure(name, each, found.get(each.name))
            except (ClusterRefused, ClusterForbidden) as error:
                await self._say(name, f"Kubernetes has no CronJob for it, the daemon fires it itself: {error.message}")

    async def _ensure(self, name: str, each: Wanted, found: CronJob | None) -> None:
        if found is None:
            said = "was deleted in the cluster: made again" if self._agreed.get(each.name) else ""
            try:
                self._keep(name, await self._kube.create(CRONJOBS, each.manifest, CronJob))
            except ObjectExists:
                found = await self._kube.get(CRONJOBS, each.name, CronJob)
                said = ""
        if found is not None:
            differences = changes(each, found)
            if not differences:
                self._agreed[each.name] = each.form
                return
            # as we wrote it, but for what somebody else has changed; otherwise the schedule is what has changed
            by_hand = found.metadata.annotations.get(FORM) == each.form or self._agreed.get(each.name) == each.form
            said = f"was changed in the cluster ({', '.join(differences[:3])}): put back" if by_hand else ""
            change = {"spec": each.manifest["spec"], "metadata": each.marks}
            try:
                self._keep(name, await self._kube.patch(CRONJOBS, each.name, change, CronJob))
            except ObjectMissing:
                self._found.get(name, {}).pop(each.name, None)
                self._work.add(f"schedule {name}")
                return
        if said:
            await self._say(name, f"its CronJob {each.name} {said}")

    def _keep(self, schedule: str, cronjob: CronJob) -> None:
        """What was just written, before the watch says so."""
        self._found.setdefault(schedule, {})[cronjob.metadata.name] = cronjob

    async def _delete(self, cronjob: CronJob) -> None:
        self._agreed.pop(cronjob.metadata.name, None)
        with contextlib.suppress(ObjectMissing, ClusterConflict):
            await self._kube.delete(CRONJOBS, cronjob.metadata.name, uid=cronjob.metadata.uid)
        for found in self._found.values():
            found.pop(cronjob.metadata.name, None)
        log.info("the CronJob %s belongs to no schedule: deleted", cronjob.metadata.name)

    async def _say(self, name: str, message: str) -> None:
        log.warning("schedule %s: %s", name, message)
        await self._ticker.note(name, message)
