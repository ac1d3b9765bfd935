"""The cluster that the tests run on: a namespace of their own, and faults where its parts can be reached."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# a program that kills a part of the cluster (`kill kube-apiserver`) and starts what is not running (`up`)
CONTROL = Path(os.environ.get("KHANTUI_TEST_CLUSTER") or "/nowhere")


def kubectl(*words: str, stdin: str = "", check: bool = True) -> str:
    """What kubectl says; asked again while the API server is away, which other tests may have killed."""
    end = time.monotonic() + 90
    while True:
        done = subprocess.run(["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=90)
        away = any(sign in done.stderr for sign in ("refused", "EOF", "connection reset", "TLS handshake timeout"))
        if done.returncode == 0 or not away or time.monotonic() > end:
            break
        time.sleep(0.5)
    assert not check or done.returncode == 0, (words, done.stderr)
    return done.stdout


def version() -> str:
    """The tag of the project's own images."""
    return importlib.metadata.version("khantui")


class Cluster:
    """One namespace of the cluster."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> str:
        return kubectl("-n", self.namespace, *words, stdin=stdin, check=check)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Make objects, or change them."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": manifests}))

    def items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """All objects of a kind, whole."""
        return list(json.loads(self.kubectl("get", kind, "-o", "json", *words))["items"])

    @contextmanager
    def faults(self) -> Iterator[Faults]:
        """Leave to kill parts of the cluster, which nobody else then has; afterwards all of it is up again."""
        if not CONTROL.exists():
            pytest.skip("killing the cluster's parts needs KHANTUI_TEST_CLUSTER: a program with `kill PART` and `up`")
        with _held(fcntl.LOCK_EX):
            faults = Faults()
            try:
                yield faults
            finally:
                faults.up()

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Nothing is killed meanwhile: for what counts requests. Be quick, others wait."""
        with _held(fcntl.LOCK_SH):
            yield


@contextmanager
def _held(how: int) -> Iterator[None]:
    """Hold the lock of those who kill parts of the cluster, alone or with others."""
    lock = Path(tempfile.gettempdir()) / "khan" / "cluster-faults"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, how)
        yield


class Faults:
    """Kills parts of the cluster."""

    def kill(self, part: str) -> None:
        """`kill -9`."""
        subprocess.run([CONTROL, "kill", part], check=True, capture_output=True, timeout=60)

    def up(self) -> None:
        """Start what does not run, and wait until it is well."""
        subprocess.run([CONTROL, "up"], check=True, capture_output=True, timeout=180)


@contextmanager
def namespace(name: str, labels: dict[str, str] | None = None) -> Iterator[Cluster]:
    """A namespace for as long as this lasts."""
    try:
        with _held(fcntl.LOCK_SH):
            kubectl("create", "namespace", name)
            for key, value in (labels or {}).items():
                kubectl("label", "namespace", name, f"{key}={value}")
            end = time.monotonic() + 60
            while not kubectl("-n", name, "get", "serviceaccount", "default", "--ignore-not-found"):
                assert time.monotonic() < end, "the namespace has no default service account"
                time.sleep(0.1)
        yield Cluster(name)
    finally:
        with _held(fcntl.LOCK_SH):
            kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
