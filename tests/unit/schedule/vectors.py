"""What Kubernetes' controller was asked, and what it answered: `kubernetes_times.jsonl`, one case a line.

`python -m tests.unit.schedule.vectors` asks it anew (Go is needed) and writes the file.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backend.zones import changes
from tests.unit.schedule.documented import clock_rows

HERE = Path(__file__).parent
FILE = HERE / "kubernetes_times.jsonl"
Case = dict[str, Any]  # expression, zone, from, count
# rules that are history, or have not changed for long: zone data of any age must agree
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Lisbon", "America/New_York", "America/Santiago"),
    *("America/St_Johns", "America/Havana", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Pacific/Chatham", "Antarctica/Troll", "Asia/Kathmandu", "Asia/Tehran", "Africa/Cairo", "America/Sao_Paulo"),
    *("America/Asuncion", "Asia/Amman", "Asia/Pyongyang", "America/Caracas", "Pacific/Kwajalein"),
)
FIRST, LAST = datetime(1995, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)


def field(dice: random.Random, low: int, high: int, open_: float) -> str:
    """One field of an expression."""
    kind = dice.random()
    if kind < open_:
        return "*"
    if kind < open_ + 0.15:
        return f"*/{dice.choice((1, 2, 3, 5, 7, 10, 15))}"
    if kind < open_ + 0.3:
        first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
        return f"{first}-{last}{dice.choice(('', '/2', '/3'))}"
    return ",".join(str(v) for v in sorted({dice.randint(low, high) for _ in range(dice.choice((1, 1, 1, 2, 3)))}))


def case(dice: random.Random) -> Case:
    """A question, most often near a change of the clocks."""
    expression = " ".join(
        (
            dice.choice((field(dice, 0, 59, 0.1), "0", "30")),
            dice.choice((field(dice, 0, 23, 0.15), "0", "1", "2", "3", "23")),
            field(dice, 1, 31, 0.55),
            field(dice, 1, 12, 0.75),
            field(dice, 0, 6, 0.55),
        )
    )
    if dice.random() < 0.1:
        expression += " " + field(dice, 0, 59, 0.05)
    zone = dice.choice(ZONES)
    begin = FIRST + timedelta(seconds=dice.randint(0, int((LAST - FIRST).total_seconds())))
    near = changes(ZoneInfo(zone), begin.year)
    if near and dice.random() < 0.7:
        begin = dice.choice(near) + timedelta(hours=dice.randint(-60, 30), seconds=dice.choice((0, 0, 1, -1, 1799)))
    return _case(expression, zone, begin, dice.choice((3, 6)))


def _case(expression: str, zone: str, begin: datetime, count: int) -> Case:
    moment = begin.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"expression": expression, "zone": zone, "from": moment, "count": count}


def documented() -> list[Case]:
    """The rows of the documentation's table that are cron expressions."""
    found = [(row, row.schedule) for row in clock_rows() if row.schedule.kind == "cron"]
    return [_case(schedule.cron[0], schedule.zone, row.begin, len(row.times)) for row, schedule in found]


def ask(cases: list[Case], folder: Path) -> Iterator[dict[str, Any]]:
    """Kubernetes' answers, built in `folder`. Raises CalledProcessError where that cannot be."""
    program = folder / "times"
    build = ["go", "build", "-o", str(program), "."]
    subprocess.run(build, cwd=HERE / "controller", check=True, capture_output=True, timeout=300)
    left = cases
    while left:
        questions = "\n".join(map(json.dumps, left))
        done = subprocess.run([str(program)], input=questions, text=True, check=True, capture_output=True, timeout=300)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        yield from answers
        left = left[len(answers) :]


def go() -> str | None:
    """Go, where this machine has it."""
    return shutil.which("go")


def main() -> None:
    """Ask, and write down."""
    import tempfile

    dice = random.Random(6)
    cases = [*documented(), *(case(dice) for _ in range(900))]
    with tempfile.TemporaryDirectory() as folder:
        answers = list(ask(cases, Path(folder)))
    lines = (json.dumps(each | {"times": given.get("times") or [], **{k: v for k, v in given.items() if k == "error"}})
             for each, given in zip(cases, answers, strict=True))  # fmt: skip
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
