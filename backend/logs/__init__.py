"""One place for all logs: written by the stages themselves, indexed as they grow, archived when they are whole."""

from backend.logs.reader import LogReader
from backend.logs.store import LogStore

__all__ = ["LogReader", "LogStore"]
