"""Files of gigabytes and folders of thousands, through memory of a fixed size."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from backend.objects.plan import Fetched, Plan
from tests.objects.conftest import Pod, attempt_of

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(600)]

MOST = 160 << 20  # bytes of memory of a stager at work


def run(pod: Pod, what: str, plan: Plan) -> int:
    """Run the stager to a good end: the most memory it had, in bytes."""
    process, most = pod.start(what, plan), 0
    while process.poll() is None:  # its `ru_maxrss` would be at least that of the process that started it
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        time.sleep(0.01)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert most > 0
    return most << 10


def test_two_gigabytes_go_through_little_memory(bucket: str, pod: Pod, other_pod: Pod) -> None:
    piece = os.urandom(16 << 20)
    source = pod.root / "out" / "large"
    with source.open("wb") as file:
        for _ in range(128):
            file.write(piece)
    assert run(pod, "publish", Plan(bucket, attempt_of(1), outputs=("large",))) < MOST
    inputs = (Fetched("raw", f"{attempt_of(1)}/out/large", "file"),)
    assert run(other_pod, "fetch", Plan(bucket, attempt_of(2), inputs=inputs)) < MOST
    with (other_pod.root / "in" / "raw").open("rb") as file:
        assert all(file.read(16 << 20) == piece for _ in range(128))
        assert not file.read(1)


def test_a_folder_of_thousands_of_files(bucket: str, pod: Pod, other_pod: Pod, tmp_path: Path) -> None:
    for i in range(5000):
        pod.write({f"tree/{i % 50}/{i}": os.urandom(100 + i)})
    for i in range(64):
        pod.write({f"tree/some/{i}": os.urandom(4 << 20)})
    assert run(pod, "publish", Plan(bucket, attempt_of(1), outputs=("tree",))) < MOST
    inputs = (Fetched("tree", f"{attempt_of(1)}/out/tree", "folder"),)
    assert run(other_pod, "fetch", Plan(bucket, attempt_of(2), inputs=inputs)) < MOST
    there, here = pod.root / "out" / "tree", other_pod.root / "in" / "tree"
    for path in there.rglob("*"):
        if path.is_file():
            assert (here / path.relative_to(there)).read_bytes() == path.read_bytes()
