"""What an attempt's objects are called and marked with. Names are derived, so that nothing can be made twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from backend.executors.base import AttemptKey

DOMAIN = "khantui.dev"
MANAGED_BY = "app.kubernetes.io/managed-by"
INSTANCE = f"{DOMAIN}/instance"  # which Khantui made it, where several share a namespace
PIPELINE = f"{DOMAIN}/pipeline"
RUN = f"{DOMAIN}/run"
STAGE = f"{DOMAIN}/stage"
ATTEMPT = f"{DOMAIN}/attempt"
NETWORK = f"{DOMAIN}/network"  # `none` or `declared`: for NetworkPolicies to select
ACCOUNT = f"{DOMAIN}/account"
SECRET = f"{DOMAIN}/secret"
SCRIPT = f"{DOMAIN}/script"
JOB_NAME = "batch.kubernetes.io/job-name"  # the Job controller's own label on its pods
LONGEST = 63  # characters of a label's value, and so of a Job's name


def job_name(key: AttemptKey) -> str:
    """`06f2k9x4qe-7f3k2a-clean-1`. Where the stage's name does not fit, a part of it and a hash."""
    room = LONGEST - len(f"{key.run}--{key.number}")
    slug = re.sub(r"[^a-z0-9]+", "-", key.stage.lower()).strip("-")
    if slug != key.stage or len(slug) > room:
        slug = f"{slug[: room - 9].rstrip('-')}-{_hash(key.stage)}".lstrip("-")
    return f"{key.run}-{slug}-{key.number}"


def label(value: str) -> str:
    """A value as a label can have it: itself if it can be one, else what is left of it and a hash."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", value).strip("-_.")
    if safe == value and len(safe) <= LONGEST:
        return safe
    return f"{safe[: LONGEST - 9].rstrip('-_.')}-{_hash(value)}".lstrip("-")


def selector(instance: str) -> str:
    """The label selector of everything that this Khantui made for attempts."""
    return f"{MANAGED_BY}=khantui,{INSTANCE}={instance},{ATTEMPT}"


def labels(key: AttemptKey, pipeline: str, instance: str) -> dict[str, str]:
    """What kubectl can select an attempt's objects by."""
    return {
        MANAGED_BY: "khantui",
        INSTANCE: instance,
        PIPELINE: label(pipeline),
        RUN: key.run,
        STAGE: label(key.stage),
        ATTEMPT: str(key.number),
    }


def exact(key: AttemptKey, pipeline: str) -> dict[str, str]:
    """Annotations: the names as they are."""
    return {PIPELINE: pipeline, RUN: key.run, STAGE: key.stage, ATTEMPT: str(key.number)}


def key_of(annotations: Mapping[str, str]) -> AttemptKey | None:
    """The attempt that an object belongs to."""
    try:
        return AttemptKey(annotations[RUN], annotations[STAGE], int(annotations[ATTEMPT]))
    except (KeyError, ValueError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
