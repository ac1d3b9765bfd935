"""What the daemon is told when it starts. The command line's flags and KHANTUI_… variables, nothing else."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

import platformdirs
from msgspec import Struct

from backend import cluster_access, etcd_access, listening, safeguards, trust
from backend.cluster_access import ClusterAccess
from backend.etcd_access import EtcdAccess
from backend.listening import Listening
from backend.safeguards import Safeguards
from backend.trust import Trust


class Role(StrEnum):
    """What a daemon does, where several share an etcd."""

    ALL = "all"
    API = "api"
    CONTROLLER = "controller"


ON_CLUSTER = 100  # stages at once on Kubernetes, where it is not said: the cluster has its own limits


class Config(Struct, frozen=True):
    """Settings of one daemon."""

    data: Path
    role: Role
    listening: Listening
    trust: Trust
    executor: Literal["sandbox", "kubernetes"]
    cluster: ClusterAccess  # for the executor `kubernetes`
    sandboxed: bool
    slots: int  # how many attempts may run at once
    limits: tuple[str, ...]  # NAME=VALUE, of what every attempt is held to
    etcd: EtcdAccess  # an etcd that others run; without endpoints: one of our own
    etcd_binary: Path | None
    etcd_quota: str  # how large the database of our own may grow, e.g. 4Gi
    otlp: str  # where traces of runs go; empty: nowhere
    secrets_key: Path | None  # the keys that wrap those of secrets; None: a file of our own in the data folder
    keep_runs: str  # of a pipeline whose document does not say it; empty: all
    keep_for: str  # how long they stay then, e.g. 90d; empty: for ever
    safeguards: Safeguards
    artifacts: str  # the URL of an object store for artifacts, code and archived logs; empty: the data folder


def default_data() -> Path:
    """The data folder where none is named."""
    return Path(os.environ.get("KHANTUI_DATA") or platformdirs.user_data_dir("khantui"))


def parse(argv: Sequence[str] | None = None) -> Config:
    """Settings from the command line `argv`, and from the environment where it is silent."""
    parser = argparse.ArgumentParser(prog="python -m backend", description="The Khantui daemon.")
    parser.add_argument("--data", type=Path, default=default_data(), help="the data folder (%(default)s)")
    parser.add_argument(
        "--role",
        choices=[r.value for r in Role],
        default=os.environ.get("KHANTUI_ROLE", Role.ALL.value),
        help="api: serve, and never lead; controller: lead, and serve the unix socket alone (%(default)s)",
    )
    listening.add_arguments(parser)
    trust.add_arguments(parser)
    parser.add_argument("--no-sandbox", action="store_true", help="run stages as bare processes, unconfined")
    parser.add_argument(
        "--executor",
        choices=["sandbox", "kubernetes"],
        default=os.environ.get("KHANTUI_EXECUTOR", "sandbox"),
        help="where stages run: in sandboxes on this machine, or as Jobs of a cluster (%(default)s)",
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=_slots(),
        help=f"stages that run at once ({_here()} here, {ON_CLUSTER} on Kubernetes)",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=os.environ.get("KHANTUI_LIMITS", "").split(),
        metavar="NAME=VALUE",
        help="what every stage is held to: processes=512, cpu-time=2h, file-size=10Gi",
    )
    parser.add_argument(
        "--artifacts",
        default=os.environ.get("KHANTUI_ARTIFACTS", ""),
        metavar="URL",
        help="keep artifacts, code and archived logs in an object store: s3://BUCKET/PREFIX, gs://…, az://…",
    )
    parser.add_argument(
        "--otlp",
        default=os.environ.get("KHANTUI_OTLP", ""),
        metavar="URL",
        help="send traces of runs to a collector, by OTLP over HTTP: http://localhost:4318",
    )
    parser.add_argument(
        "--secrets-key",
        type=Path,
        default=os.environ.get("KHANTUI_SECRETS_KEY") or None,
        metavar="FILE",
        help="the keys that wrap secrets, instead of DATA/secrets.key: base64 of 32 bytes, the newest first",
    )
    parser.add_argument(
        "--etcd-quota",
        default=os.environ.get("KHANTUI_ETCD_QUOTA", "4Gi"),
        metavar="SIZE",
        help="how large the database of the etcd that is brought along may grow (%(default)s)",
    )
    parser.add_argument(
        "--keep-runs",
        default=os.environ.get("KHANTUI_KEEP_RUNS", ""),
        metavar="N",
        help="of pipelines whose document has no retention the newest N runs stay (all)",
    )
    parser.add_argument(
        "--keep-for",
        default=os.environ.get("KHANTUI_KEEP_FOR", ""),
        metavar="AGE",
        help="of pipelines whose document has no retention runs stay so long after their end: 90d (for ever)",
    )
    etcd_access.add_arguments(parser)
    cluster_access.add_arguments(parser)
    safeguards.add_arguments(parser)
    given = parser.parse_args(argv)
    if given.executor not in ("sandbox", "kubernetes"):
        parser.error(f"KHANTUI_EXECUTOR is {given.executor!r}, and must be sandbox or kubernetes")
    slots = given.slots if given.slots is not None else ON_CLUSTER if given.executor == "kubernetes" else _here()
    if slots < 1:
        parser.error("--slots must be 1 or more")
    if given.role not in set(Role):
        parser.error(f"KHANTUI_ROLE is {given.role!r}, and must be {', '.join(Role)}")
    access = etcd_access.read(parser, given)
    if given.role == Role.API and not access.endpoints:
        parser.error("--role api needs --etcd: somewhere another daemon must lead")
    trusted = trust.read(parser, given)
    binary = os.environ.get("KHANTUI_ETCD")
    return Config(
        data=given.data.expanduser().absolute(),
        role=Role(given.role),
        listening=listening.read(parser, given, trusted),
        trust=trusted,
        executor=given.executor,
        cluster=cluster_access.read(parser, given),
        sandboxed=not given.no_sandbox,
        slots=slots,
        limits=tuple(given.limit),
        etcd=access,
        etcd_binary=Path(binary) if binary else None,
        etcd_quota=given.etcd_quota,
        otlp=given.otlp,
        keep_runs=given.keep_runs,
        keep_for=given.keep_for,
        safeguards=safeguards.read(parser, given),
        artifacts=given.artifacts,
        secrets_key=Path(given.secrets_key).expanduser().absolute() if given.secrets_key else None,
    )


def _slots() -> int | None:
    configured = os.environ.get("KHANTUI_SLOTS", "")
    return int(configured) if configured.isdigit() and int(configured) else None


def _here() -> int:
    return max(4, 2 * (os.cpu_count() or 2))
