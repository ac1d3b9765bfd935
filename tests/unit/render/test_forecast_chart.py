"""A forecast as people see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from backend.api.wire import ForecastView
from backend.schedule.forecast import Crowd, Slot
from khantui.render.forecast import about, chart, text_of

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def view(**given: Any) -> ForecastView:
    slots = (
        Slot(NOON, 3, 3, 4, {"a": 3}),
        Slot(NOON + HOUR, 0, 1, 1, {}),
        Slot(NOON + 2 * HOUR, 0, 0, 0, {}),
        Slot(NOON + 12 * HOUR, 1, 1, 8, {"b": 1}),
    )
    plain: dict[str, Any] = {
        "begin": NOON, "end": NOON + 13 * HOUR, "slot": 3600, "slots": slots, "busiest": (), "starts": 4,
        "estimated": 0, "schedules": 2,
    }  # fmt: skip
    return ForecastView(**(plain | given))


def shown(found: ForecastView, columns: int = 54) -> list[str]:
    return [text_of(line, columns) for line in chart(found, ZoneInfo("Asia/Tokyo"), columns)]


def test_a_line_a_slot_with_a_bar_of_stages() -> None:
    assert shown(view()) == [
        "           starts   runs  stages  at once",
        "Wed 21:00       3      3       4  ██████████",
        "    22:00              1       1  ██▌",
        "    23:00",
        "Thu 09:00       1      1       8  ████████████████████",
    ]


def test_slots_in_which_stages_wait_for_places_are_marked() -> None:
    roles = [line[-1][1] for line in chart(view(places=4), UTC, 80)]
    assert roles == ["title", "info", "info", "info", "warning"]
    said = [text_of(line, None) for line in about(view(places=4), UTC)]
    assert said == ["~ at Thu 00:00 up to 8 stages for 4 places: some wait"]


def test_crowded_minutes_and_what_is_assumed_are_said() -> None:
    room = tuple(NOON + timedelta(minutes=n) for n in range(1, 9))
    crowd = Crowd(NOON, 40, ("a", "b\x1b[2J", "c", "d", "e"), room)
    found = view(busiest=(crowd,), estimated=2, unknown=("x",), cut=("y",))
    said = [text_of(line, None) for line in about(found, UTC)]
    assert said[0].startswith("! Wed 12:00 40 runs start: a, b")
    assert "\x1b" not in said[0]
    assert said[0].endswith("and 36 more")
    assert said[1] == "  room at 12:01, 12:02, 12:03, 12:04, 12:05, 12:06; or give them a jitter"
    assert said[2:] == [
        "~ 2 of 4 starts follow other pipelines: their times are estimated",
        "~ no good run is known of x: a minute each is assumed",
        "~ too often to count all of it: y",
    ]


def test_no_line_is_wider_than_the_terminal() -> None:
    assert all(len(line) <= 40 for line in shown(view(), 40))
