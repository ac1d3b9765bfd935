"""A backfill that is being written: what a form holds, and what that asks the daemon for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backend.api.wire import StartBackfill
from khantui.errors import Misuse

Order = Literal["oldest", "newest"]
ORDERS: tuple[tuple[str, Order], ...] = (("the oldest first", "oldest"), ("the newest first", "newest"))
AGAIN = (("only where no run has succeeded", ""), ("everywhere, once more", "yes"))
FRESH = (("may stand for cached stages", ""), ("are not used: every stage is run", "yes"))


@dataclass(frozen=True)
class Filling:
    """The answers of the form, as they were typed."""

    pipeline: str
    start: str = ""
    end: str = ""
    step: str = ""
    zone: str = ""
    parallel: str = "1"
    order: Order = "oldest"
    again: str = ""  # also what is good already, if it is anything
    fresh: str = ""  # without the cache, if it is anything
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: str, pipeline: str) -> Filling:
        """What was said already: `[PIPELINE [FROM [TO [STEP]]]]`; a step may have spaces."""
        name, start, end, step = [*words.split(maxsplit=3), *[""] * 4][:4]
        return cls(name or pipeline, start, end, step)

    def body(self) -> StartBackfill:
        """What is asked for. Raises Misuse for what the daemon could not read; it checks the rest."""
        if not self.pipeline:
            raise Misuse("choose a pipeline")
        if not self.start.strip() or not self.end.strip():
            raise Misuse("say from when to when", "2026-03-01 and 2026-03-31: both days are in it")
        if not self.parallel.strip().isdecimal():
            raise Misuse(f"{self.parallel!r} is no number of runs", "write 1, or up to 50")
        return StartBackfill(
            start=self.start.strip(),
            end=self.end.strip(),
            step=self.step.strip(),
            zone=self.zone.strip(),
            parallel=int(self.parallel),
            order=self.order,
            rerun=bool(self.again),
            fresh=bool(self.fresh),
            parameters={k: v for k, v in self.parameters.items() if v},
        )
