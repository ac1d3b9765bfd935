"""Every key there is. No other module joins them.

leader                                   who leads, leased
good-noted                               there is one once good/ has the runs from before it was kept
instance                                 a word that tells what this Khantui makes elsewhere from what others make
pipelines/<name>                         a pipeline's head: its current version and what lists show
versions/<name>/<00000012>               one version of it: the document as it was applied
latest/<name>                            its newest good run, and what that wrote
runs/<mirrored id>                       a run's summary: newest first
active/<id>                              marks a run that has not ended
stages/<id>/<instance>                   a stage instance of a run, once anything happened to it
inputs/<id>/<artifact>                   what a run reads from outside, once it was looked up
results/<pipeline>/<stage>/<hash>        what a stage has written, by the hash of all that it was made from
made/<pipeline>/<instance>               what the newest of an instance's results was made from
held/<id>/<other>                        content of a run that another has as its own; without <other>: the last time
commands/<id>/<command>                  what somebody asked of a run, until it is done
removing/<id>                            a run that was removed, whose files are still to go: runs whose content it had
ended/<id>                               a run that ended and whose followers have not been started yet
by-pipeline/<name>/<mirrored id>         indexes, values empty
by-state/<state>/<mirrored id>
by-short/<six characters>/<id>
by-backfill/<backfill>/<mirrored id>
late/<mirrored id>                       a run that was made long after what its id tells
good/<pipeline>/<logical time>/<id>      a run that has succeeded: its parameters
schedules/<name>
calendars/<name>                         days that have a name, of which schedules that use it have a copy
backfills/<id>
images/<name>                            an image that an administrator has registered
channels/<name>                          where notifications go: holds secrets
deliveries/<name>                        how far a channel has come in telling
notices/<notice>                         something that happened and is not given to its channels yet
outbox/<channel>/<notice>                what a channel is still to tell
bindings/<id>                            a role for somebody, on some pipelines or all
sessions/<hash>                          somebody who is signed in, leased
tokens/<name>                            a token for a machine: its hash, and what it may do
failing/<pipeline>                       a pipeline whose newest run to end has failed, and that tells of it
accounts/<name>                          a service account: what its stages may reach
secrets/<name>                           a secret, sealed
revoked/<secret>/<version>               a value that is given no more, until the executor has let go of it
retired/<account>                        an account that is no more, until the executor has let go of it
used/<secret>/<mirrored id>/<stage>/<n>  an attempt that was given a secret
requests/<hash>                          idempotency keys, leased
audit/<mirrored id>
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime

from backend.run.ids import mirror

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")  # of a pipeline, a schedule, and whatever else people name

LEADER = "leader"
INSTANCE = "instance"
GOOD_NOTED = "good-noted"
PIPELINES = "pipelines/"
RUNS = "runs/"
ACTIVE = "active/"
STAGES = "stages/"
COMMANDS = "commands/"
RESULTS = "results/"
INPUTS = "inputs/"
ENDED = "ended/"
REMOVING = "removing/"
SCHEDULES = "schedules/"
CALENDARS = "calendars/"
BACKFILLS = "backfills/"
IMAGES = "images/"
CHANNELS = "channels/"
DELIVERIES = "deliveries/"
NOTICES = "notices/"
OUTBOX = "outbox/"
BINDINGS = "bindings/"
TOKENS = "tokens/"
SESSIONS = "sessions/"
ACCOUNTS = "accounts/"
SECRETS = "secrets/"
USED = "used/"
REVOKED = "revoked/"
RETIRED = "retired/"
AUDIT = "audit/"
VERSIONS = "versions/"
BY_PIPELINE = "by-pipeline/"
BY_STATE = "by-state/"
BY_BACKFILL = "by-backfill/"
LATE = "late/"


def is_name(text: str) -> bool:
    """Whether something can be called so."""
    return NAME.fullmatch(text) is not None


def after(prefix: str) -> str:
    """The first key behind all that start with `prefix`: the end of its range."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\N{DELETE}"


def pipeline(name: str) -> str:
    """A pipeline's head."""
    return f"{PIPELINES}{name}"


def versions(name: str) -> str:
    """Prefix of all versions of a pipeline."""
    return f"{VERSIONS}{name}/"


def version(name: str, number: int) -> str:
    """One version of a pipeline."""
    return f"{VERSIONS}{name}/{number:08d}"


def latest(name: str) -> str:
    """A pipeline's newest good run."""
    return f"latest/{name}"


def run(identifier: str) -> str:
    """A run's summary."""
    return f"{RUNS}{mirror(identifier)}"


def run_of(key: str) -> str:
    """The run id that a `runs/`, `by-pipeline/`, `by-state/` or `audit/` key ends in."""
    return mirror(key.rsplit("/", 1)[1])


def active(identifier: str) -> str:
    """Marks a run that has not ended."""
    return f"{ACTIVE}{identifier}"


def stages(identifier: str) -> str:
    """Prefix of all stage records of a run."""
    return f"{STAGES}{identifier}/"


def stage(identifier: str, instance: str) -> str:
    """One stage's record."""
    return f"{STAGES}{identifier}/{instance}"


def inputs(identifier: str) -> str:
    """Prefix of what a run reads from outside."""
    return f"{INPUTS}{identifier}/"


def external(identifier: str, artifact: str) -> str:
    """What a run reads from outside as one of its inputs."""
    return f"{INPUTS}{identifier}/{artifact}"


def results(pipeline_name: str, stage_name: str = "") -> str:
    """Prefix of the results of a pipeline, or of one of its stages."""
    return f"{RESULTS}{pipeline_name}/{stage_name}/" if stage_name else f"{RESULTS}{pipeline_name}/"


def result(pipeline_name: str, stage_name: str, digest: str) -> str:
    """What a stage has written, by the hash of all that it was made from."""
    return f"{RESULTS}{pipeline_name}/{stage_name}/{digest}"


def made(pipeline_name: str, instance: str = "") -> str:
    """What the newest result of an instance was made from; without one the prefix of a pipeline's."""
    return f"made/{pipeline_name}/{instance}"


def held(identifier: str, holder: str = "") -> str:
    """Marks that a run's content is another's too; without that one, the prefix, and a key that each mark writes."""
    return f"held/{identifier}/{holder}"


def commands(identifier: str) -> str:
    """Prefix of what was asked of a run."""
    return f"{COMMANDS}{identifier}/"


def command(identifier: str, command_id: str) -> str:
    """One thing asked of a run."""
    return f"{COMMANDS}{identifier}/{command_id}"


def removing(identifier: str) -> str:
    """A run that was removed, whose files are still to go."""
    return f"{REMOVING}{identifier}"


def ended(identifier: str) -> str:
    """A run whose followers have not been started."""
    return f"{ENDED}{identifier}"


def by_pipeline(name: str, identifier: str = "") -> str:
    """Index of a pipeline's runs; without an id its prefix."""
    return f"{BY_PIPELINE}{name}/{mirror(identifier)}"


def by_state(state: str, identifier: str = "") -> str:
    """Index of runs in a state; without an id its prefix."""
    return f"{BY_STATE}{state}/{mirror(identifier)}"


def by_short(short_id: str, identifier: str = "") -> str:
    """Index by the characters that people use; without an id its prefix."""
    return f"by-short/{short_id}/{identifier}"


def by_backfill(backfill_id: str, identifier: str = "") -> str:
    """Index of a backfill's runs; without an id its prefix."""
    return f"{BY_BACKFILL}{backfill_id}/{mirror(identifier)}"


def late(identifier: str) -> str:
    """Index of the runs that were made long after what their ids tell."""
    return f"{LATE}{mirror(identifier)}"


def good(pipeline: str, moment: datetime, identifier: str = "") -> str:
    """Index of the runs of a pipeline that have succeeded, by logical time (aware); without an id a time's prefix."""
    with suppress(OverflowError):  # the calendar has an end, and near it every zone is UTC
        moment = moment.astimezone(UTC)
    return f"good/{pipeline}/{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}/{identifier}"


def good_of(key: str) -> tuple[datetime, str]:
    """The logical time, in UTC, and the run that a `good/` key ends in."""
    _, moment, identifier = key.rsplit("/", 2)
    return datetime.fromisoformat(moment).replace(tzinfo=UTC), identifier


def backfill(identifier: str) -> str:
    """A backfill."""
    return f"{BACKFILLS}{identifier}"


def schedule(name: str) -> str:
    """A schedule."""
    return f"{SCHEDULES}{name}"


def calendar(name: str) -> str:
    """Days that have a name."""
    return f"{CALENDARS}{name}"


def image(name: str) -> str:
    """An image that was registered."""
    return f"{IMAGES}{name}"


def channel(name: str) -> str:
    """Where notifications go."""
    return f"{CHANNELS}{name}"


def delivery(name: str) -> str:
    """How far a channel has come in telling."""
    return f"{DELIVERIES}{name}"


def notice(identifier: str) -> str:
    """Something that happened and is not given to its channels yet."""
    return f"{NOTICES}{identifier}"


def outbox(channel_name: str, identifier: str = "") -> str:
    """What a channel is still to tell; without an id the prefix of all of it."""
    return f"{OUTBOX}{channel_name}/{identifier}"


def binding(identifier: str) -> str:
    """A role for somebody."""
    return f"{BINDINGS}{identifier}"


def session(digest: str) -> str:
    """Somebody who is signed in, by the hash of what they show."""
    return f"{SESSIONS}{digest}"


def token(name: str) -> str:
    """A token for a machine."""
    return f"{TOKENS}{name}"


def failing(name: str) -> str:
    """A pipeline whose newest run to end has failed."""
    return f"failing/{name}"


def account(name: str) -> str:
    """A service account."""
    return f"{ACCOUNTS}{name}"


def secret(name: str) -> str:
    """A secret."""
    return f"{SECRETS}{name}"


def revoked(secret_name: str, version: str) -> str:
    """A value of a secret that is given no more."""
    return f"{REVOKED}{secret_name}/{version}"


def retired(account_name: str) -> str:
    """A service account that is no more."""
    return f"{RETIRED}{account_name}"


def used(secret_name: str, identifier: str = "", stage: str = "", number: int = 0) -> str:
    """An attempt that was given a secret; without a run the prefix of all, newest run first."""
    return f"{USED}{secret_name}/" + (f"{mirror(identifier)}/{stage}/{number}" if identifier else "")


def used_by(key: str) -> tuple[str, str, int]:
    """The run, stage and attempt that a `used/` key ends in."""
    _, _, mirrored, stage, number = key.split("/")
    return mirror(mirrored), stage, int(number)


def request(digest: str) -> str:
    """What an idempotency key has brought about."""
    return f"requests/{digest}"


def audit(identifier: str) -> str:
    """One mutation."""
    return f"{AUDIT}{mirror(identifier)}"
