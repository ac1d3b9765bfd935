"""Stages' pods as folders, with the real stager between them and a real S3 server."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.objects.plan import VARIABLE, Plan
from tests.s3_fixture import S3Server, pytest_collection_finish, pytest_sessionfinish, s3, s3_binary, s3_session

__all__ = ["pytest_collection_finish", "pytest_sessionfinish", "s3", "s3_binary", "s3_session"]

RUN = "01m85n6fsm-k8mv3h"


def attempt_of(number: int, stage: str = "s") -> str:
    return f"attempts/{RUN}/{stage}/{number}"


class Pod:
    """A pod's folders: `/khan` as `root`."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self.root = root
        self.said = root / "termination-log"
        self._environment = environment
        (root / "out").mkdir(parents=True)
        self.said.touch()

    def write(self, files: dict[str, bytes | str]) -> None:
        """What the stage wrote, below /khan/out."""
        for name, content in files.items():
            path = self.root / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def start(self, what: str, plan: Plan, **environment: str) -> subprocess.Popen[str]:
        """The stager, as its container starts it."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        given = {
            **clean, **self._environment, VARIABLE: plan.pack(),
            "KHAN_ROOT": str(self.root), "KHAN_TERMINATION_LOG": str(self.said), **environment,
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "backend.stager", what], env=given, stderr=subprocess.PIPE, text=True
        )

    def run(self, what: str, plan: Plan, **environment: str) -> dict[str, Any] | None:
        """None, or why it could not: what is in the termination log."""
        process = self.start(what, plan, **environment)
        _, errors = process.communicate(timeout=100)
        if process.returncode == 0:
            assert not self.said.read_text()
            return None
        assert process.returncode == 1, errors
        reason: dict[str, Any] = json.loads(self.said.read_text())
        assert "Traceback" not in errors
        return reason


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The URL of a new bucket, with a prefix."""
    return s3.bucket(f"khan-{secrets.token_hex(4)}") + "/a/prefix"


@pytest.fixture
def pod(tmp_path: Path, s3: S3Server) -> Pod:
    return Pod(tmp_path / "pod", s3.environment)


@pytest.fixture
def other_pod(tmp_path: Path, s3: S3Server) -> Pod:
    return Pod(tmp_path / "other", s3.environment)
