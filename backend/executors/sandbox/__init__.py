"""Attempts on this machine, each in a bubblewrap sandbox."""

from backend.executors.sandbox.check import check
from backend.executors.sandbox.executor import SandboxExecutor
from backend.executors.sandbox.limits import Limits, read_limits

__all__ = ["Limits", "SandboxExecutor", "check", "read_limits"]
