"""What a daemon and its etcd have used so far."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

_COUNTED = {
    "etcd_server_proposals_committed_total": "proposals",
    "etcd_disk_wal_fsync_duration_seconds_count": "fsyncs",
}


def spent(pid: int) -> float:
    """Seconds of CPU time that a process has spent; those of its children are not among them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def etcd_of(pid: int) -> int:
    """The etcd that a daemon has as a child."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if "etcd" in Path(f"/proc/{child}/comm").read_text():
            return int(child)
    raise SystemExit("the daemon has no etcd of its own")


def etcd_counts(folder: Path) -> dict[str, float]:
    """How many proposals the etcd of a data folder has committed, and how often it has called fsync for its log."""
    transport = httpx.HTTPTransport(uds=str(folder / "etcd" / "c.sock:0"))
    with httpx.Client(transport=transport, base_url="http://etcd") as http:
        lines = [line.rpartition(" ") for line in http.get("/metrics").text.splitlines()]
    return {_COUNTED[name]: float(value) for name, _, value in lines if name in _COUNTED}
