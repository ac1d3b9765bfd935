"""What the daemon offers, as methods with types. The only module that knows its paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from backend.api.wire import (
    API,
    Applied,
    ApplyPipeline,
    ArtifactView,
    AuditView,
    BackfillPreview,
    BackfillView,
    Bind,
    BindingView,
    CalendarView,
    CanView,
    ChannelTest,
    ChannelView,
    ClearResults,
    CreateToken,
    DaemonView,
    ExplainView,
    ForecastView,
    ForesightView,
    ImageView,
    LogHits,
    LogLineView,
    LogMatches,
    LogPage,
    MergedLineView,
    MergedPage,
    Page,
    PauseSchedule,
    PipelineView,
    PutCalendar,
    PutChannel,
    PutImage,
    PutSchedule,
    ResultsCleared,
    ResultView,
    RetryRun,
    Rollback,
    RunView,
    ScheduleView,
    SessionMade,
    SessionView,
    StartBackfill,
    StartRun,
    TokenMade,
    TokenView,
    VersionDiff,
    VersionView,
    WhoView,
)
from backend.api.wire_accounts import AccountView, PutAccount, PutSecret, Rewrapped, SecretView
from backend.spec.images import Image
from khantui.api.address import Address
from khantui.api.http import Http, decode
from khantui.errors import Failure

T = TypeVar("T")
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{10}-[0-9a-hjkmnp-tv-z]{6}")
_SHORT = re.compile(r"[0-9a-hjkmnp-tv-z]{6}")


class Client:
    """One daemon. All methods raise khantui.errors.Failure and its kinds."""

    def __init__(self, address: Address, *, timeout: float = 60.0, patience: float = 20.0, reason: str = "") -> None:
        """`reason`: why things are done, for the journal."""
        self.address = address
        self.http = Http(address, timeout=timeout, patience=patience, reason=reason)

    def close(self) -> None:
        """Let go of the connection."""
        self.http.close()

    def daemon(self) -> DaemonView:
        """Who answers."""
        return self.http.get(self.http.address.base + API, DaemonView)  # "" would be given a slash at its end

    def health(self) -> dict[str, str]:
        """How it is, without asking its store: `store` is ok, full or away, and `message` says what that means."""
        return self.http.get(self.http.address.base + "/healthz", dict[str, str])

    def whoami(self) -> WhoView:
        """Who we are to the daemon, and what it would refuse us."""
        return self.http.get("/whoami", WhoView)

    # who may do what

    def bindings(self) -> list[BindingView]:
        """Who has which role on what."""
        return list(self._list("/auth/bindings", BindingView, 0, {}))

    def bind(self, body: Bind) -> BindingView:
        """Give somebody a role."""
        return self.http.send("POST", "/auth/bindings", BindingView, body)

    def unbind(self, identifier: str) -> None:
        """Take a role away."""
        self.http.request("DELETE", f"/auth/bindings/{_part(identifier)}")

    def tokens(self) -> list[TokenView]:
        """Tokens of machines."""
        return list(self._list("/auth/tokens", TokenView, 0, {}))

    def create_token(self, body: CreateToken) -> TokenMade:
        """Make a token for a machine."""
        return self.http.send("POST", "/auth/tokens", TokenMade, body)

    def revoke_token(self, name: str) -> None:
        """Have a token open nothing any more."""
        self.http.request("DELETE", f"/auth/tokens/{_part(name)}")

    def begin_session(self, headers: Mapping[str, str]) -> SessionMade:
        """Have what a proxy says in these headers hold for some hours."""
        return decode(self.http.request("POST", "/auth/session", headers=headers).content, SessionMade)

    def sessions(self) -> list[SessionView]:
        """Who is signed in: everybody to administrators, else oneself."""
        return list(self._list("/auth/sessions", SessionView, 0, {}))

    def end_session(self, identifier: str) -> None:
        """Have a session open nothing any more."""
        self.http.request("DELETE", f"/auth/sessions/{_part(identifier)}")

    def can_i(self, verb: str, **query: Any) -> CanView:
        """Whether somebody may do something."""
        return self.http.get("/auth/can-i", CanView, verb=verb, **query)

    def explain(self, **query: Any) -> ExplainView:
        """What somebody may do, and why."""
        return self.http.get("/auth/explain", ExplainView, **query)

    # pipelines

    def pipelines(self, *, limit: int = 0, **query: Any) -> Iterator[PipelineView]:
        """Pipelines by name; all of them unless `limit` says otherwise."""
        return self._list("/pipelines", PipelineView, limit, query)

    def pipeline(self, name: str) -> PipelineView:
        """One pipeline."""
        return self.http.get(f"/pipelines/{_part(name)}", PipelineView)

    def versions(self, name: str) -> Iterator[VersionView]:
        """A pipeline's versions, newest first."""
        return self._list(f"/pipelines/{_part(name)}/versions", VersionView, 0, {})

    def version(self, name: str, number: int) -> VersionView:
        """One version, with its document, plan and code."""
        return self.http.get(f"/pipelines/{_part(name)}/versions/{number}", VersionView)

    def apply(self, body: ApplyPipeline) -> Applied:
        """Store a document as the pipeline's new version, or say what storing it would do."""
        return self.http.send("POST", "/pipelines", Applied, body)

    def diff(self, name: str, old: int | None = None, new: int | None = None) -> VersionDiff:
        """What differs between two versions; by default the current one and the one before."""
        return self.http.get(f"/pipelines/{_part(name)}/diff", VersionDiff, **{"from": old, "to": new})

    def rollback(self, name: str, version: int) -> Applied:
        """Make a new version that is the old one again."""
        return self.http.send("POST", f"/pipelines/{_part(name)}/rollback", Applied, Rollback(version))

    def delete_pipeline(self, name: str) -> None:
        """Delete a pipeline."""
        self.http.request("DELETE", f"/pipelines/{_part(name)}")

    def has_bundle(self, address: str) -> bool:
        """Whether the daemon has that code already."""
        try:
            self.http.request("HEAD", f"/bundles/{address}")
        except Failure as failure:
            if failure.code in ("404", "not-found"):
                return False
            raise
        return True

    def put_bundle(self, address: str, content: bytes) -> None:
        """Hand over code, named by its content."""
        self.http.request("PUT", f"/bundles/{address}", content=content, media="application/octet-stream")

    # runs

    def runs(self, *, limit: int = 0, **query: Any) -> Iterator[RunView]:
        """Runs, newest first; all of them unless `limit` says otherwise."""
        return self._list("/runs", RunView, limit, query)

    def runs_page(self, **query: Any) -> Page:
        """One page of runs; its items are still to be converted."""
        return self.http.get("/runs", Page, **query)

    def run(self, identifier: str) -> RunView:
        """One run, with its stages."""
        return self.http.get(f"/runs/{_part(identifier)}", RunView)

    def find_run(self, named: str) -> RunView:
        """The run that a person means: an id, its last six characters, or a pipeline (its newest run)."""
        if _ID.fullmatch(named):
            return self.run(named)
        if _SHORT.fullmatch(named):
            try:
                return self.run(named)
            except Failure as failure:
                if failure.code != "not-found":
                    raise
        newest = next(self.runs(limit=1, pipeline=named), None)
        if newest is None:
            raise Failure(
                f"there is no run {named!r}, and no pipeline of that name that has run",
                "list them: khantui runs",
                code="not-found",
            )
        return self.run(newest.id)

    def start_run(self, pipeline: str, body: StartRun) -> RunView:
        """Start a run."""
        return self.http.send("POST", f"/pipelines/{_part(pipeline)}/runs", RunView, body)

    def results(self, pipeline: str, **query: Any) -> Iterator[ResultView]:
        """The results of a pipeline's stages that may stand for later ones."""
        return self._list(f"/pipelines/{_part(pipeline)}/cache", ResultView, 0, query)

    def clear_results(self, pipeline: str, stage: str = "") -> ResultsCleared:
        """Have them forgotten, so that the next run makes them anew."""
        return self.http.send("POST", f"/pipelines/{_part(pipeline)}/cache/clear", ResultsCleared, ClearResults(stage))

    def cancel(self, run: str) -> RunView:
        """Have a run end."""
        return self.http.send("POST", f"/runs/{_part(run)}/cancel", RunView)

    def retry(self, run: str, body: RetryRun) -> RunView:
        """Have what failed tried again; with `latest` the answer is a new run."""
        return self.http.send("POST", f"/runs/{_part(run)}/retry", RunView, body)

    # logs and artifacts

    def log(self, run: str, stage: str, **query: Any) -> LogPage:
        """Part of the log of an attempt of a stage."""
        return self.http.get(f"/runs/{_part(run)}/stages/{_part(stage)}/log", LogPage, **query)

    def search_log(self, run: str, stage: str, **query: Any) -> LogMatches:
        """Lines of a log that match, with their neighbours."""
        return self.http.get(f"/runs/{_part(run)}/stages/{_part(stage)}/log/search", LogMatches, **query)

    def follow_log(self, run: str, stage: str, **query: Any) -> Iterator[LogLineView]:
        """Lines of a log as they are written, until it ends; raises httpx errors where the connection breaks."""
        path = f"/runs/{_part(run)}/stages/{_part(stage)}/log/follow"
        with self.http.stream(path, query=query, silence=None) as response:
            for line in response.iter_lines():
                yield decode(line.encode(), LogLineView)

    def raw_log(self, run: str, stage: str, **query: Any) -> Iterator[bytes]:
        """A log's bytes."""
        path = f"/runs/{_part(run)}/stages/{_part(stage)}/log/raw"
        with self.http.stream(path, query=query) as response:
            yield from response.iter_raw()

    def run_log(self, run: str, **query: Any) -> MergedPage:
        """Part of several logs of a run, or of all, as one."""
        return self.http.get(f"/runs/{_part(run)}/log", MergedPage, **query)

    def follow_run_log(self, run: str, **query: Any) -> Iterator[MergedLineView]:
        """Lines of a run's logs as they are written, until it ends; raises httpx errors where the connection breaks."""
        with self.http.stream(f"/runs/{_part(run)}/log/follow", query=query, silence=None) as response:
            for line in response.iter_lines():
                yield decode(line.encode(), MergedLineView)

    def search_run(self, run: str, **query: Any) -> LogHits:
        """Lines of a run's logs that match."""
        return self.http.get(f"/runs/{_part(run)}/log/search", LogHits, **query)

    def search_pipeline(self, name: str, **query: Any) -> LogHits:
        """Lines of the logs of all runs of a pipeline that match, the newest run first."""
        return self.http.get(f"/pipelines/{_part(name)}/log/search", LogHits, **query)

    def artifact(self, run: str, view: ArtifactView, path: str = "") -> Iterator[bytes]:
        """The content of an artifact, of one instance's entry of it, or of what is at `path` in it.

        As it comes: a file's bytes, a folder as a tar.
        """
        where = f"/runs/{_part(run)}/artifacts/{_part(view.name)}/content"
        try:
            with self.http.stream(where, query={"entry": view.entry, "path": path}) as response:
                yield from response.iter_raw(1 << 16)
        except httpx.HTTPError as error:
            raise Failure(f"the content of {view.name} did not come whole: {error}", "try it again") from error

    def artifacts(self, run: str) -> list[ArtifactView]:
        """What a run reads and writes."""
        return list(self._list(f"/runs/{_part(run)}/artifacts", ArtifactView, 0, {}))

    # schedules

    def schedules(self, *, limit: int = 0, **query: Any) -> Iterator[ScheduleView]:
        """Schedules by name."""
        return self._list("/schedules", ScheduleView, limit, query)

    def schedule(self, name: str) -> ScheduleView:
        """One schedule."""
        return self.http.get(f"/schedules/{_part(name)}", ScheduleView)

    def put_schedule(self, name: str, body: PutSchedule) -> ScheduleView:
        """Make or change a schedule."""
        return self.http.send("PUT", f"/schedules/{_part(name)}", ScheduleView, body)

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule."""
        self.http.request("DELETE", f"/schedules/{_part(name)}")

    def pause(self, name: str, reason: str = "", until: datetime | None = None) -> ScheduleView:
        """Have a schedule start nothing until it is resumed, or until then."""
        return self.http.send("POST", f"/schedules/{_part(name)}/pause", ScheduleView, PauseSchedule(reason, until))

    def resume(self, name: str) -> ScheduleView:
        """Have a paused schedule start runs again."""
        return self.http.send("POST", f"/schedules/{_part(name)}/resume", ScheduleView)

    def foresight(self, name: str, count: int = 5, since: datetime | None = None) -> ForesightView:
        """What a schedule will do."""
        after = since.isoformat() if since else None
        return self.http.get(f"/schedules/{_part(name)}/foresight", ForesightView, n=count, since=after)

    def foresee(self, name: str, body: PutSchedule) -> ForesightView:
        """What a schedule would do if it were stored so."""
        return self.http.send("POST", f"/schedules/{_part(name)}/preview", ForesightView, body)

    def forecast(self, begin: datetime | None = None, hours: int = 24, slot: int = 15) -> ForecastView:
        """What all schedules will do, slot by slot (of so many minutes)."""
        after = begin.isoformat() if begin else None
        return self.http.get("/forecast", ForecastView, **{"from": after}, hours=hours, slot=slot)

    def run_schedule(self, name: str) -> RunView:
        """Start a run now, as the schedule would."""
        return self.http.send("POST", f"/schedules/{_part(name)}/run", RunView)

    # backfills

    def backfills(self, *, limit: int = 0, **query: Any) -> Iterator[BackfillView]:
        """Backfills, newest first."""
        return self._list("/backfills", BackfillView, limit, query)

    def backfill(self, identifier: str) -> BackfillView:
        """One backfill."""
        return self.http.get(f"/backfills/{_part(identifier)}", BackfillView)

    def start_backfill(self, pipeline: str, body: StartBackfill) -> BackfillView:
        """Start runs of a pipeline for all logical times of a range."""
        return self.http.send("POST", f"/pipelines/{_part(pipeline)}/backfills", BackfillView, body)

    def preview_backfill(self, pipeline: str, body: StartBackfill, count: int = 100) -> BackfillPreview:
        """What a backfill would do; the first `count` of its logical times."""
        path = f"/pipelines/{_part(pipeline)}/backfills/preview"
        return self.http.send("POST", path, BackfillPreview, body, n=count)

    def pause_backfill(self, identifier: str) -> BackfillView:
        """Have a backfill make no more runs until it is resumed."""
        return self.http.send("POST", f"/backfills/{_part(identifier)}/pause", BackfillView)

    def resume_backfill(self, identifier: str) -> BackfillView:
        """Have a paused backfill make runs again."""
        return self.http.send("POST", f"/backfills/{_part(identifier)}/resume", BackfillView)

    def cancel_backfill(self, identifier: str) -> BackfillView:
        """Have a backfill make no more runs, and end those that are active."""
        return self.http.send("POST", f"/backfills/{_part(identifier)}/cancel", BackfillView)

    # what the daemon knows

    def revision(self) -> int:
        """The store's revision now: events after it are news."""
        return self.http.get("/runs", Page, limit=1).revision

    def images(self) -> list[ImageView]:
        """Images that stages can name."""
        return list(self._list("/images", ImageView, 0, {}))

    def image(self, name: str) -> ImageView:
        """One image."""
        return self.http.get(f"/images/{_part(name)}", ImageView)

    def put_image(self, name: str, body: PutImage) -> ImageView:
        """Make an image known by a name, or change what the name stands for."""
        return self.http.send("PUT", f"/images/{_part(name)}", ImageView, body)

    def delete_image(self, name: str) -> None:
        """Forget an image that was registered."""
        self.http.request("DELETE", f"/images/{_part(name)}")

    def channels(self) -> list[ChannelView]:
        """Where notifications can go."""
        return list(self._list("/channels", ChannelView, 0, {}))

    def put_channel(self, name: str, body: PutChannel) -> ChannelView:
        """Make or change a channel."""
        return self.http.send("PUT", f"/channels/{_part(name)}", ChannelView, body)

    def delete_channel(self, name: str) -> None:
        """Forget a channel."""
        self.http.request("DELETE", f"/channels/{_part(name)}")

    def test_channel(self, name: str) -> ChannelTest:
        """Have a channel's services told something, now."""
        return self.http.send("POST", f"/channels/{_part(name)}/test", ChannelTest)

    # calendars

    def audit(self, *, limit: int = 0, **query: Any) -> Iterator[AuditView]:
        """The journal, newest first; all of it unless `limit` says otherwise."""
        return self._list("/audit", AuditView, limit, query)

    def calendars(self) -> list[CalendarView]:
        """All calendars."""
        return list(self._list("/calendars", CalendarView, 0, {}))

    def calendar(self, name: str) -> CalendarView:
        """One calendar."""
        return self.http.get(f"/calendars/{_part(name)}", CalendarView)

    def put_calendar(self, name: str, body: PutCalendar) -> CalendarView:
        """Make or change a calendar."""
        return self.http.send("PUT", f"/calendars/{_part(name)}", CalendarView, body)

    def delete_calendar(self, name: str) -> None:
        """Delete one that no schedule uses."""
        self.http.request("DELETE", f"/calendars/{_part(name)}")

    # service accounts and secrets

    def accounts(self) -> list[AccountView]:
        """Service accounts."""
        return list(self._list("/accounts", AccountView, 0, {}))

    def account(self, name: str) -> AccountView:
        """One service account."""
        return self.http.get(f"/accounts/{_part(name)}", AccountView)

    def put_account(self, name: str, body: PutAccount) -> AccountView:
        """Make or change a service account."""
        return self.http.send("PUT", f"/accounts/{_part(name)}", AccountView, body)

    def delete_account(self, name: str) -> None:
        """Delete a service account."""
        self.http.request("DELETE", f"/accounts/{_part(name)}")

    def secrets(self) -> list[SecretView]:
        """Secrets, without their values."""
        return list(self._list("/secrets", SecretView, 0, {}))

    def secret(self, name: str) -> SecretView:
        """One secret, with who was given it."""
        return self.http.get(f"/secrets/{_part(name)}", SecretView)

    def put_secret(self, name: str, body: PutSecret) -> SecretView:
        """Give a secret a value."""
        return self.http.send("PUT", f"/secrets/{_part(name)}", SecretView, body)

    def delete_secret(self, name: str) -> None:
        """Delete a secret."""
        self.http.request("DELETE", f"/secrets/{_part(name)}")

    def rewrap_secrets(self) -> Rewrapped:
        """Change the key that wraps all secrets."""
        return self.http.send("POST", "/secrets/rewrap", Rewrapped)

    def known_images(self) -> dict[str, Image]:
        """The daemon's images as lint takes them."""
        return {view.name: view.image() for view in self.images()}

    def _list(self, path: str, kind: type[T], limit: int, query: dict[str, Any]) -> Iterator[T]:
        """Items of a list, page after page, as they are asked for."""
        cursor: str | None = None
        left = limit
        while True:
            size = min(left, 200) if limit else 200
            page = self.http.get(path, Page, **query, limit=size, cursor=cursor)
            items = msgspec.convert(page.items, list[kind])  # type: ignore[valid-type]
            yield from items
            left -= len(items)
            cursor = page.cursor
            if cursor is None or (limit and left <= 0):
                return


def _part(text: str) -> str:
    return quote(text, safe="")


__all__ = ["Client", "decode"]
