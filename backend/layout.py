"""Where things lie below the daemon's data folder. The only module that joins these paths.

etcd/                                      the embedded etcd's folder (its data and its sockets)
api.sock                                   the API's unix socket
attempts/<run>/<stage>/<n>/                one attempt: status.json, log, log.idx, log.at, log.hides, out/<name>, tmp/
artifacts/inputs/<sha256>                  inputs that were brought in from outside, by content
code/<sha256>/                             code bundles, unpacked, read-only
secrets.key                                the keys that wrap those of secrets, unless another file is named
sandbox/etc-<digest>/                      the /etc that sandboxes see
logs/<run>/<stage>/<n>.log.zst             archived logs
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Layout(NamedTuple):
    """Paths below one data folder."""

    root: Path

    @property
    def etcd(self) -> Path:
        """The embedded etcd's own folder."""
        return self.root / "etcd"

    @property
    def socket(self) -> Path:
        """The API's unix socket."""
        return self.root / "api.sock"

    @property
    def attempts(self) -> Path:
        """All attempts' folders."""
        return self.root / "attempts"

    @property
    def inputs(self) -> Path:
        """Inputs brought in from outside, by content."""
        return self.root / "artifacts" / "inputs"

    @property
    def code(self) -> Path:
        """Unpacked code bundles, by content."""
        return self.root / "code"

    @property
    def secrets_key(self) -> Path:
        """The keys that wrap those of secrets."""
        return self.root / "secrets.key"

    @property
    def sandbox(self) -> Path:
        """What every sandbox has: its /etc."""
        return self.root / "sandbox"

    def artifact(self, location: str) -> Path:
        """An artifact, by its location: an ArtifactRecord's, or a mount's."""
        return self.root / location

    def location(self, path: Path) -> str:
        """The location of what lies at a path of this folder."""
        return path.relative_to(self.root).as_posix()

    def bundle(self, address: str) -> Path:
        """A code bundle's folder, by its content address."""
        return self.code / address

    @property
    def logs(self) -> Path:
        """Archived logs."""
        return self.root / "logs"

    def attempt(self, run: str, stage: str, number: int) -> Path:
        """One attempt's folder."""
        return self.attempts / run / stage / str(number)

    def output(self, run: str, stage: str, number: int, name: str) -> Path:
        """What an attempt wrote as its output `name`."""
        return self.attempt(run, stage, number) / "out" / name

    def live_log(self, run: str, stage: str, number: int) -> Path:
        """The log an attempt writes while it runs."""
        return self.attempt(run, stage, number) / "log"

    def log_position(self, run: str, stage: str, number: int) -> Path:
        """How far a log that is copied from elsewhere has come."""
        return self.attempt(run, stage, number) / "log.at"

    def hidden_in_log(self, run: str, stage: str, number: int) -> Path:
        """Names the secrets that the attempt was given, for as long as its log may show them."""
        return self.attempt(run, stage, number) / "log.hides"

    def archived_log(self, run: str, stage: str, number: int) -> Path:
        """Where its log is kept once it has ended."""
        return self.logs / run / stage / f"{number}.log.zst"
