"""A run that has not ended by its deadline is late, whatever it is doing, and stays so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from backend.run.machine import Machine
from backend.run.state import RunState
from tests.unit.run.test_machine import START, Driver, pipeline_of

DUE = 60  # seconds after the start


def driver(due: float | None = DUE) -> Driver:
    """A run of one stage, due then."""
    made = Driver(pipeline_of(["stage a"]))
    due_by = START + timedelta(seconds=due) if due is not None else None
    made.stored = replace(made.stored, due_by=due_by)
    made.machine = Machine(made.stored, (), made.pipeline, made.plan)
    return made


@pytest.mark.parametrize(
    ("story", "late"),
    [
        (["0 admit", "0 start", "59 tick"], False),
        (["0 admit", "0 start", "60 tick"], True),
        (["0 admit", "0 start", "59 ok a"], False),
        (["0 admit", "0 start", "61 ok a"], True),  # nobody looked in between
        (["0 admit", "0 start", "61 exit a"], True),
        (["60 tick"], True),  # it still waits to begin
        (["0 admit", "0 start", "60 tick", "70 ok a"], True),
        (["0 admit", "0 start", "50 ok a", "70 tick"], False),
    ],
)
def test_when_it_is_late(story: list[str], late: bool) -> None:
    run = driver()
    for line in story:
        run.do(line)
    assert run.stored.late is late


def test_it_wakes_up_for_it_once() -> None:
    run = driver()
    assert run.machine.next_wake() == START + timedelta(seconds=DUE)
    run.do("60 tick")
    assert run.machine.next_wake() is None
    assert run.stored.state is RunState.QUEUED


def test_what_has_no_deadline_is_never_late() -> None:
    run = driver(None)
    run.do("0 admit")
    run.do("999999 tick")
    assert not run.stored.late
