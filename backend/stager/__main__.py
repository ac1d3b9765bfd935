"""`python -m backend.stager fetch|publish`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from backend.errors import KhanError, said
from backend.objects.bucket import PATIENCE
from backend.objects.leave import leave
from backend.objects.plan import VARIABLE, Plan, read_plan
from backend.run.state import Reason
from backend.stager.fetch import fetch
from backend.stager.publish import publish

USAGE = "usage: python -m backend.stager fetch|publish|modules"


def main(argv: list[str]) -> int:
    """Do one of the two: the exit code."""
    if argv == ["modules"]:
        print("\n".join(sorted(name for name in sys.modules if name.split(".")[0] == "backend")))
        return 0
    if argv not in (["fetch"], ["publish"]):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        asyncio.run(_do(argv[0], read_plan(os.environ.get(VARIABLE, "")), Path(os.environ.get("KHAN_ROOT", "/khan"))))
    except (KhanError, OSError) as error:
        _explain(getattr(error, "reason", None) or _usual(argv[0]), said(error))
        return 1
    return 0


async def _do(what: str, plan: Plan, root: Path) -> None:
    patience = float(os.environ.get("KHAN_PATIENCE") or PATIENCE)
    await (fetch if what == "fetch" else publish)(plan, root, patience)


def _usual(what: str) -> Reason:
    return Reason.START if what == "fetch" else Reason.PUBLISH


def _explain(reason: Reason, message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    place = os.environ.get("KHAN_TERMINATION_LOG", "/dev/termination-log")
    shortened = message if len(message) <= MOST else message[:MOST] + "…"
    try:
        Path(place).write_text(json.dumps({"reason": reason, "message": shortened}, ensure_ascii=False))
    except OSError as error:
        print(f"{place}: {error.strerror}", file=sys.stderr)


MOST = 900  # characters of a message: Kubernetes keeps 4096 bytes of the file


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
