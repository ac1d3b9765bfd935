"""A setting that, misread, would remove runs."""

from __future__ import annotations

import pytest

from backend.daemon import usual_retention
from backend.errors import KhanError
from backend.spec.model import Retention


def test_runs_stay_for_ever_unless_it_is_said() -> None:
    assert usual_retention("", "") == Retention()
    assert usual_retention("100", "90d") == Retention(100, 90 * 86_400)
    assert usual_retention("", "2d") == Retention(None, 2 * 86_400)


@pytest.mark.parametrize(("runs", "age"), [("0", ""), ("-1", ""), ("many", ""), ("", "90"), ("", "soon")])
def test_what_cannot_be_read_keeps_the_daemon_from_starting(runs: str, age: str) -> None:
    with pytest.raises(KhanError, match="--keep-for" if age else "--keep-runs"):
        usual_retention(runs, age)
