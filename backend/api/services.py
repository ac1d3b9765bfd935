"""What the handlers of requests work with."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from backend import __version__
from backend.api.identity import Login
from backend.api.journal import Refusals
from backend.api.rates import Rates, Streams
from backend.artifacts import ArtifactStore, CodeStore
from backend.clock import Clock
from backend.cluster_access import REGISTRY
from backend.executors.base import HeldImage
from backend.layout import Layout
from backend.logs import LogStore
from backend.safeguards import Safeguards
from backend.store.access import AccessBook
from backend.store.base import Store
from backend.store.catalogue import Catalogue
from backend.store.feed import Feed
from backend.store.images import Images
from backend.store.roster import Roster
from backend.store.secrets import Secrets
from backend.store.standing import Standing
from backend.store.tally import Tally
from backend.telemetry import Metrics


@dataclass
class Lease:
    """The lease of idempotency keys: one for all that are made within an hour."""

    id: int = 0
    until: float = 0.0


async def _none_held() -> Mapping[str, HeldImage]:
    return {}


@dataclass(frozen=True)
class Services:
    """The parts of the daemon that answer requests. The controller is not among them: it is told through the store."""

    store: Store
    feed: Feed
    tally: Tally  # how many runs there are of each kind
    roster: Roster  # what runs are looked for by
    catalogue: Catalogue
    logs: LogStore
    artifacts: ArtifactStore
    code: CodeStore
    clock: Clock
    layout: Layout
    executor: str
    sandboxed: bool
    images: Images
    secrets: Secrets
    missing: Callable[[], Mapping[str, str]]  # the images that cannot run here, and why
    slots: int
    leader: Callable[[], bool]
    access: AccessBook  # who may do what
    standing: Standing  # how the store is
    login: Login  # who asks
    registry: str = REGISTRY  # where the project's own container images are
    image_version: str = __version__  # their tag
    held_images: Callable[[], Awaitable[Mapping[str, HeldImage]]] = _none_held  # what the cluster's nodes have
    accounts: tuple[str, ...] = ()  # service accounts that pipelines can name
    cluster_requests: Callable[[], Mapping[tuple[str, str], int]] = dict  # by verb and kind, since the start
    clock_warning: Callable[[], str] = str  # that it was set, and by how much
    metrics: Metrics = field(default_factory=Metrics)
    lease: Lease = field(default_factory=Lease)
    safeguards: Safeguards = field(default_factory=Safeguards)
    rates: Rates = field(default_factory=lambda: Rates(0, 1))
    streams: Streams = field(default_factory=Streams)
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusals", Refusals(self.store))

    async def remembering(self) -> int:
        """A lease of at least a day, for what an idempotency key has brought about."""
        if time.monotonic() > self.lease.until:
            self.lease.id = await self.store.grant(25 * 3600)
            self.lease.until = time.monotonic() + 3600
        return self.lease.id
