"""The structs that cross HTTP, shared by the daemon and its clients. JSON field names are the attribute names.

Times are RFC 3339 in UTC, but for `logical_time`, which keeps its zone's offset. Fields are always present (null
where there is nothing to say), unless a docstring says otherwise.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from backend.access.model import Given
from backend.run.state import ArtifactRecord, Reason, RunState, StageState, Trigger
from backend.schedule.backfill import Order, State
from backend.schedule.forecast import Crowd, Slot
from backend.schedule.model import CatchUp, Condition, Join, Kind, Match, Overlap
from backend.schedule.preview import Clash
from backend.spec.finding import Finding
from backend.spec.images import Image

API = "/api/v1"


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details (`application/problem+json`). `code` is stable; `hint` says what to do."""

    title: str
    status: int
    code: str
    detail: str = ""
    hint: str = ""
    instance: str = ""
    findings: tuple[Finding, ...] = ()


class AttemptView(Struct, frozen=True):
    """One try of a stage."""

    number: int
    state: str
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    reason: Reason
    message: str


class StageView(Struct, frozen=True):
    """One stage instance of a run, with what it waits for."""

    name: str
    stage: str
    state: StageState
    image: str
    each: dict[str, str]
    needs: tuple[str, ...]
    level: int
    ready: datetime | None
    started: datetime | None
    ended: datetime | None
    retry_at: datetime | None
    message: str
    attempts: tuple[AttemptView, ...]
    inputs: dict[str, str]
    outputs: dict[str, ArtifactRecord]
    reused_from: str
    reason: str = ""  # why it ran, or why an earlier result stands for it


class RunView(Struct, frozen=True):
    """A run. In lists `stages` is there only if asked for (`include=stages`); `progress` always is."""

    id: str
    pipeline: str
    version: int
    state: RunState
    logical_time: datetime
    zone: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    parameters: dict[str, str]
    trigger: Trigger
    message: str
    ending: str
    round: int
    progress: dict[str, int]  # "total", and how many stages are in each state
    revision: int  # the store's revision at which it last changed
    stages: tuple[StageView, ...] | UnsetType = UNSET
    environment: dict[str, str] | UnsetType = (
        UNSET  # resolved, without what differs by stage or attempt; in details only
    )
    asked: tuple[str, ...] | UnsetType = UNSET  # "cancel", "retry": asked for, not yet taken up; in details only
    due_by: datetime | None = None  # when it should have ended, by the deadline of its schedule
    late: bool = False  # it had not
    fresh: bool = False  # no earlier results stand for its stages


class StartRun(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /pipelines/{name}/runs. `date` is a date or date-time, in `zone` where it has no offset."""

    parameters: dict[str, str] = {}
    date: str = ""
    zone: str = ""
    version: int = 0  # 0: the current one
    fresh: bool = False  # run every stage, also those for which an earlier result could stand


class RetryRun(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /runs/{id}/retry. Without `from_stage` what failed is retried, with what was skipped for it."""

    from_stage: str = ""  # this stage and all that follows it, whatever became of them
    only: bool = False  # with from_stage: that stage, without what follows
    latest: bool = False  # a new run with the pipeline's current version, keeping what is still good


class PipelineView(Struct, frozen=True):
    """A pipeline, as lists show it. `last` are its newest runs, newest first."""

    name: str
    version: int
    description: str
    owner: str
    labels: dict[str, str]
    stages: int
    width: int
    schedules: tuple[str, ...]
    updated: datetime | None
    updated_by: str
    last: tuple[RunView, ...]
    revision: int


class VersionView(Struct, frozen=True):
    """One version of a pipeline. `document` (the text as it was applied) and `plan` are in details only."""

    pipeline: str
    version: int
    current: bool
    created: datetime | None
    created_by: str
    message: str
    bundle: str  # content address of its code, empty if it has none
    pins: dict[str, str]  # stage -> "pipeline/stage@version" for those that use another pipeline's
    document: str | UnsetType = UNSET
    plan: dict[str, Any] | UnsetType = UNSET  # levels, width, critical_path
    code: dict[str, int] | UnsetType = UNSET  # file -> bytes


class ResultView(Struct, frozen=True):
    """A result that may stand for a later one: what a stage instance has written in `run`."""

    stage: str
    instance: str
    fingerprint: str  # of what it was made from
    run: str
    at: datetime
    bytes: int


class ClearResults(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /pipelines/{name}/cache/clear."""

    stage: str = ""  # only this one's


class ResultsCleared(Struct, frozen=True):
    """How many results were forgotten."""

    results: int


class VersionDiff(Struct, frozen=True):
    """What differs between two versions: a unified diff of the document and then of each code file."""

    pipeline: str
    old: int
    new: int
    lines: tuple[str, ...]


class ApplyPipeline(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /pipelines. `bundle` names code that was put before (PUT /bundles/{sha256})."""

    document: str
    bundle: str = ""
    message: str = ""
    dry_run: bool = False
    expect: int | None = None  # the version that must be current (0: none yet); None: whatever it is


class Applied(Struct, frozen=True):
    """What became of an applied document."""

    name: str
    version: int
    outcome: Literal["created", "updated", "unchanged"]
    findings: tuple[Finding, ...]  # warnings


class LintRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /lint."""

    document: str
    code: dict[str, int] | None = None


class LintResult(Struct, frozen=True):
    """Findings, and the plan where there is one."""

    ok: bool
    findings: tuple[Finding, ...]
    plan: dict[str, Any] | None


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /pipelines/{name}/rollback: a new version that is the old one again."""

    version: int


class ScheduleView(Struct, frozen=True):
    """A schedule, with what it did last and will do next. `when` is for people: every Monday at 06:00."""

    name: str
    pipeline: str
    kind: Kind
    cron: tuple[str, ...]
    zone: str
    at: datetime | None
    after: tuple[str, ...]
    parameters: dict[str, str]
    catch_up: CatchUp
    paused: bool
    paused_by: str
    paused_reason: str
    created: datetime | None
    created_by: str
    last_tick: datetime | None
    last_run: str
    last_state: str
    next: tuple[datetime, ...]
    done: bool
    message: str
    revision: int
    when: str
    every: int = 0
    condition: Condition = "succeeded"
    join: Join = "any"
    match: Match = "date"
    window: int = 0
    overlap: Overlap = ""
    jitter: int = 0
    start: datetime | None = None
    end: datetime | None = None
    skip: tuple[str, ...] = ()
    calendars: tuple[str, ...] = ()  # on whose days it does not fire either
    deadline: str = ""
    paused_until: datetime | None = None
    due_by: datetime | None = None  # when the last run should have ended
    late: bool = False  # the last run has not ended, or had not, by then
    met: dict[str, tuple[str, ...]] = {}  # of those that must all end: date or time -> which have
    warnings: tuple[str, ...] = ()  # what may surprise: in the answer to PUT and for one schedule, not in lists


class PutSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /schedules/{name}. What is left out stays as it is, but for when it fires: one of `cron`, `at`,
    `every` (seconds) and `after` (pipelines, or outputs: pipeline/output). Spans are whole seconds.
    """

    pipeline: str
    kind: Kind
    cron: tuple[str, ...] = ()
    zone: str | UnsetType = UNSET  # UTC, unless it has one
    at: datetime | None = None
    after: tuple[str, ...] = ()
    parameters: dict[str, str] | UnsetType = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    every: int = 0
    condition: Condition | UnsetType = UNSET
    join: Join | UnsetType = UNSET
    match: Match | UnsetType = UNSET
    window: int | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    jitter: int | UnsetType = UNSET
    start: datetime | UnsetType | None = UNSET
    end: datetime | UnsetType | None = UNSET
    skip: tuple[str, ...] | UnsetType = UNSET
    calendars: tuple[str, ...] | UnsetType = UNSET  # names
    deadline: str | UnsetType = UNSET


class CalendarView(Struct, frozen=True):
    """Days that have a name. `schedules` are those that use it, and that the caller may see."""

    name: str
    days: tuple[str, ...]
    description: str
    schedules: tuple[str, ...]
    created: datetime | None
    created_by: str
    updated: datetime | None
    updated_by: str
    revision: int


class PutCalendar(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /calendars/{name}: 2026-12-25, 2026-12-24..2027-01-02, 12-25 (every year)."""

    days: tuple[str, ...]
    description: str | UnsetType = UNSET  # it stays as it is


class FiringView(Struct, frozen=True):
    """A moment at which a schedule would fire; `beside` are other pipelines that start in the same minute.

    `clash` is with a run of the same schedule that will still be active then, as far as past runs tell.
    """

    at: datetime
    beside: tuple[str, ...]
    run: str = ""  # the id that its run will have
    logical_time: datetime | None = None
    starts: datetime | None = None  # with its jitter, and after what it waits for
    ends: datetime | None = None
    due_by: datetime | None = None
    late: bool = False  # it will not have ended by then
    clash: Clash = ""
    environment: dict[str, str] = {}  # resolved; of the first 20 firings only


class ForesightView(Struct, frozen=True):
    """What a schedule does, or would do if it were stored so. `when` is for people: every Monday at 06:00.

    Of an edit, `old` is when the schedule fires as it is stored; null if there is none of that name.
    """

    when: str
    firings: tuple[FiringView, ...]
    turned: datetime | None = None  # the first firing after the zone's clocks are changed, if that is not far
    name: str = ""
    pipeline: str = ""
    zone: str = "UTC"
    typical: float | None = None  # seconds that a good run takes, the median of the newest ones
    warnings: tuple[str, ...] = ()
    message: str = ""  # why nothing, or nothing by the clock, is ahead
    old: tuple[datetime, ...] | None = None
    old_when: str = ""
    old_zone: str = ""


class ForecastView(Struct, frozen=True):
    """What all schedules will do from `begin` to `end`. `slots` are of equal length, in seconds.

    What follows other pipelines is estimated: as if their runs succeeded, and took as long as the last ones.
    """

    begin: datetime
    end: datetime
    slot: int
    slots: tuple[Slot, ...]
    busiest: tuple[Crowd, ...]  # the most crowded first
    starts: int
    estimated: int  # of these: starts that follow others
    schedules: int  # that start something
    unknown: tuple[str, ...] = ()  # pipelines of which no good run is known: a minute is assumed; a hundred at most
    cut: tuple[str, ...] = ()  # schedules that fire too often to count it all; a hundred at most
    places: int = 0  # stages that the daemon runs at once; 0: not known


class PauseSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /schedules/{name}/pause. With `until` it goes on by itself then."""

    reason: str = ""
    until: datetime | None = None


class StartBackfill(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /pipelines/{name}/backfills. `start` and `end` are dates (the end's whole day) or date-times.

    `step` is a span (1d, 6h), a cron expression or the name of a schedule; "": the one schedule by the clock that the
    pipeline has, or a day. `zone` is that of the dates and of a step that is no schedule.
    """

    start: str
    end: str
    step: str = ""
    zone: str = ""
    parallel: int = 1
    order: Order = "oldest"
    rerun: bool = False  # also what is good already
    parameters: dict[str, str] = {}
    fresh: bool = False  # run every stage, also those for which an earlier result could stand


class BackfillView(Struct, frozen=True):
    """A backfill, and how far it is. Its runs are those of the filter `backfill=ID`."""

    id: str
    pipeline: str
    start: datetime
    end: datetime
    step: str
    zone: str
    schedule: str
    parameters: dict[str, str]
    parallel: int
    order: Order
    rerun: bool
    state: State
    message: str  # what keeps it from going on
    created: datetime | None
    created_by: str
    paused_by: str
    ended: datetime | None
    cursor: datetime | None  # the last logical time that was dealt with
    active: tuple[str, ...]  # runs that have not ended
    progress: dict[str, int]  # "total" logical times: waiting, running, skipped, succeeded, failed, cancelled
    revision: int
    fresh: bool = False  # no earlier results stand for stages of its runs


class BackfillMoment(Struct, frozen=True):
    """A logical time of a backfill that is not yet made: what its run would have, or the run that is good already."""

    logical_time: datetime
    good: str
    environment: dict[str, str]


class BackfillPreview(Struct, frozen=True):
    """What a backfill would do. `moments` are the first of them, in its order; `good` of all need no run."""

    pipeline: str
    version: int
    start: datetime
    end: datetime
    step: str
    zone: str
    parameters: dict[str, str]
    total: int
    good: int
    moments: tuple[BackfillMoment, ...]


class LogLineView(Struct, frozen=True):
    """A line of a log. `number` counts from 1, `offset` in bytes; `time` is about when it was written."""

    number: int
    offset: int
    text: str
    time: datetime | None
    length: int  # bytes of the whole line, where `text` is cut
    error: bool = False  # it speaks of an error


class LogPage(Struct, frozen=True):
    """Part of a log."""

    run: str
    stage: str
    attempt: int
    lines: tuple[LogLineView, ...]
    total_lines: int
    total_bytes: int
    complete: bool  # nothing more will come
    archived: bool
    first_error: int | None  # line number


class LogMatch(Struct, frozen=True):
    """A line that matches a search, with its neighbours."""

    line: LogLineView
    before: tuple[LogLineView, ...]
    after: tuple[LogLineView, ...]


class LogMatches(Struct, frozen=True):
    """Matches of a search; `next_line` is where to go on, null at the end."""

    matches: tuple[LogMatch, ...]
    next_line: int | None


class MergedLineView(Struct, frozen=True):
    """A line of one of a run's logs. `number` counts in all of them together, `line` and `offset` in its own."""

    number: int
    stage: str
    attempt: int
    line: int
    offset: int
    text: str
    time: datetime | None
    length: int
    error: bool


class MergedPage(Struct, frozen=True):
    """Part of several logs of a run, in the order of time."""

    run: str
    logs: int
    lines: tuple[MergedLineView, ...]
    total_lines: int
    total_bytes: int
    complete: bool  # nothing more will come
    archived: bool
    first_error: int | None  # number of the first line known to speak of an error


class LogHit(Struct, frozen=True):
    """A line that was found in the logs of a run, with its neighbours. `number` is its place in all of them."""

    run: str
    pipeline: str
    state: RunState
    logical_time: datetime
    started: datetime | None
    stage: str
    attempt: int
    number: int
    line: LogLineView
    before: tuple[LogLineView, ...]
    after: tuple[LogLineView, ...]


class LogHits(Struct, frozen=True):
    """What was found in the logs of a run, or of runs, the newest first.

    `cursor` is where to go on, null at the end; this answer is of so many runs, logs and bytes.
    """

    hits: tuple[LogHit, ...]
    cursor: str | None
    runs: int
    logs: int
    bytes: int
    at: datetime | None  # when the run was made that was looked at last
    damaged: tuple[str, ...] = ()  # what is to be said of archived logs that cannot be read


class ArtifactView(Struct, frozen=True):
    """An artifact of a run, or one instance's entry of it."""

    name: str
    entry: str
    role: Literal["input", "intermediate", "output"]
    stage: str  # the instance that wrote it
    attempt: int
    record: ArtifactRecord


class Page(Struct, frozen=True):
    """A page of a list. `items` are of one kind; `cursor` is null on the last page."""

    items: list[Any]
    cursor: str | None
    total: int | None  # how many match in all, where that is known cheaply
    revision: int  # events from revision + 1 on bring it up to date


class EventView(Struct, frozen=True):
    """One change. `object` is null where the thing was deleted."""

    revision: int
    kind: Literal["run", "stage", "pipeline", "schedule", "backfill", "command", "relist"]
    id: str  # of a stage "run/stage", of a command "run/command"
    object: dict[str, Any] | None


class ImageView(Struct, frozen=True):
    """An image that stages can name."""

    name: str
    description: str
    available: bool
    reason: str  # why it is not available here
    interpreter: tuple[str, ...] = ()  # what a stage's script is handed to
    suffix: str = ""  # of a script's file
    container: str = ""  # what Kubernetes runs; empty if only the sandbox can
    tools: tuple[str, ...] = ()  # programs of the daemon's machine, of which the sandbox needs one
    holds: dict[str, str] = {}  # what is in the container image, with versions
    executors: tuple[str, ...] = ()  # those that could run it
    digest: str = ""  # of the container image, where it is known
    size: int | None = None  # bytes, where they are known
    registered: datetime | None = None  # null for one that comes along
    registered_by: str = ""

    def image(self) -> Image:
        """What lint and executors take."""
        return Image(self.name, self.description, self.interpreter, self.suffix, self.tools, self.container, self.holds)


class PutImage(Struct, frozen=True, forbid_unknown_fields=True):
    """An image that is to be known by a name. It runs on Kubernetes with a container, in the sandbox with tools."""

    container: str = ""
    interpreter: tuple[str, ...] = ("sh", "-eu")
    suffix: str = ""
    tools: tuple[str, ...] = ()
    holds: dict[str, str] = {}
    description: str = ""


class ChannelView(Struct, frozen=True):
    """Where notifications go, and how telling goes. Its URLs are secrets: `services` is what may be shown of them."""

    name: str
    services: tuple[str, ...]
    every: int  # seconds between two messages; what happens meanwhile becomes one
    title: str  # templates; empty: our own words
    body: str
    created: datetime | None
    created_by: str
    state: Literal["idle", "waiting", "failing"]
    waiting: int  # things still to be told
    sent: int  # messages
    dropped: int  # things that were given up, and never told
    last_sent: datetime | None
    error: str  # what the service said when it last failed, until it works again
    error_at: datetime | None
    next_try: datetime | None
    revision: int


class PutChannel(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /channels/{name}. What is left out stays as it is; a new channel needs URLs."""

    urls: tuple[str, ...] | UnsetType = UNSET
    every: int | UnsetType = UNSET
    title: str | UnsetType = UNSET
    body: str | UnsetType = UNSET


class ServiceAnswer(Struct, frozen=True):
    """What a service made of a message; `said` is what it said if it went wrong."""

    service: str
    good: bool
    said: str


class ChannelTest(Struct, frozen=True):
    """What became of a test message."""

    channel: str
    good: bool
    answers: tuple[ServiceAnswer, ...]


class DaemonView(Struct, frozen=True):
    """What answers `GET /api/v1`."""

    version: str
    executor: str
    sandboxed: bool
    leader: bool
    data: str
    pid: int
    slots: int
    store: dict[str, Any]
    clock: str = ""  # that it was set within a day: "went back by 5:00:00 to …"


class RoleView(Struct, frozen=True):
    """A role that somebody has: on all pipelines, or on those of such names (with * and ?) and labels."""

    role: str
    pipelines: str
    labels: dict[str, str]
    through: str  # by which subject it holds
    binding: str = ""  # its id; "" for an owner, and for what a token was made for


class WhoView(Struct, frozen=True):
    """What answers `GET /whoami`: the caller as the daemon knows them. `role` is the highest they have on anything."""

    name: str
    origin: str  # "unix", or an address
    role: str
    refused: dict[str, str]  # operations that they may not ask for, whatever it be on -> the role that may
    roles: tuple[RoleView, ...] = ()  # the highest first
    partly: dict[str, str] = {}  # operations that they may ask for on some pipelines -> the role that it takes there


class BindingView(Struct, frozen=True):
    """A role for a subject: on all pipelines, or on those of such names (with * and ?) and labels.

    A subject is user:ADDRESS, user:unix:LOGIN, group:NAME, token:NAME or everyone.
    """

    id: str
    subject: str
    role: str
    pipelines: str
    labels: dict[str, str]
    created: datetime | None
    created_by: str
    fixed: bool = False  # the daemon's settings make it: it cannot be removed


class Bind(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /auth/bindings. Without pipelines and labels it is for all pipelines, and for what is no one's."""

    subject: str
    role: Given
    pipelines: str = ""
    labels: dict[str, str] = {}


class TokenView(Struct, frozen=True):
    """A token for a machine, without its text: of that only a hash is kept."""

    name: str
    role: str
    pipelines: str
    labels: dict[str, str]
    created: datetime | None
    created_by: str
    expires: datetime | None
    expired: bool


class SessionView(Struct, frozen=True):
    """Somebody who is signed in: what a proxy or an issuer has said of them holds until then."""

    id: str
    user: str
    groups: tuple[str, ...]
    expires: datetime | None


class CreateToken(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /auth/tokens. `seconds` is how long it holds: 90 days, unless said otherwise; 366 at most."""

    name: str
    role: Given
    pipelines: str = ""
    labels: dict[str, str] = {}
    seconds: int = 90 * 86400


class TokenMade(Struct, frozen=True):
    """A token that was made, with its text, which is not shown again; "" where the request was sent once more."""

    view: TokenView
    token: str


class SessionMade(Struct, frozen=True):
    """A session that has begun: whose it is, until when, and the token that shows it."""

    user: str
    expires: datetime | None
    token: str


class CanView(Struct, frozen=True):
    """Whether somebody may do something. `reason` is a sentence; `because` what allows it, or comes nearest."""

    who: str
    verb: str
    pipeline: str  # "": all of them
    allowed: bool
    role: str  # that they have there; "anyone": none
    needed: str
    reason: str
    because: RoleView | None


class ExplainView(Struct, frozen=True):
    """What somebody may do, and why. `verbs` are of the pipeline, or of all pipelines where none is named."""

    subject: str
    groups: tuple[str, ...]
    pipeline: str
    labels: dict[str, str]
    role: str
    roles: tuple[RoleView, ...]  # all that hold, the highest first
    verbs: dict[str, bool]
    reasons: tuple[str, ...]


class ChangedView(Struct, frozen=True):
    """What an object was before and after; null where there was or is none."""

    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditView(Struct, frozen=True):
    """An entry of the journal: who did what to what, when, from where, why, and what became of it."""

    id: str
    at: datetime
    who: str  # "" where nobody could be made out; "khantui" where it did something by itself
    what: str  # the operation's id: "cancel_run"
    target: str
    origin: str  # "unix", or an address
    detail: dict[str, Any]
    proof: str = ""  # how it was proven who asks: socket, loopback, token, iap, oidc
    client: str = ""  # what the client calls itself
    reason: str = ""
    request: str = ""  # the request's id
    outcome: str = "done"  # or "denied"
    changes: tuple[ChangedView, ...] = ()
