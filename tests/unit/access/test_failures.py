"""Who is held up for what did not open the door, and for how long."""

from __future__ import annotations

import pytest

from backend.api import failures
from backend.api.failures import Failures, network
from backend.errors import TooMany

pytestmark = pytest.mark.attack
NOW = [0.0]


@pytest.fixture
def doors() -> Failures:
    NOW[0] = 0.0
    return Failures(3, lambda: NOW[0])


def wait(doors: Failures, place: str = "a", shown: bytes = b"x") -> int:
    """Seconds that one has to wait there."""
    try:
        doors.check(place, shown)
    except TooMany as error:
        return error.wait
    return 0


def test_the_wait_doubles_and_has_an_end(doors: Failures) -> None:
    waits = []
    for number in range(14):
        doors.failed("a", b"%d" % number)
        waits.append(wait(doors))
        NOW[0] += waits[-1]
        assert not wait(doors)
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert not wait(doors, "b")
    NOW[0] += failures.FORGOTTEN + 1
    doors.failed("a", b"once more")
    assert not wait(doors)


def test_who_was_let_in_before_is_not_held_up_and_not_counted_once_that_has_ended(doors: Failures) -> None:
    doors.succeeded("a", b"good")
    for number in range(5):
        doors.failed("a", b"%d" % number)
        doors.failed("a", b"good")
    assert (wait(doors, shown=b"good"), wait(doors, shown=b"other")) == (0, 4)


def test_the_same_wrong_token_is_one_guess(doors: Failures) -> None:
    for _ in range(100):
        doors.failed("a", b"x")
        doors.failed("a", b"y")
    assert not wait(doors)


def test_none_is_held_up_where_that_is_not_wanted() -> None:
    doors = Failures(0)
    for number in range(100):
        doors.failed("a", b"%d" % number)
    doors.check("a", b"x")


def test_what_is_remembered_has_an_end(doors: Failures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_MOST", 10)
    for number in range(50):
        for shown in (b"x", b"y", b"z"):
            doors.failed(str(number), shown)
        doors.succeeded(str(number), b"good")
    assert [wait(doors, str(n)) for n in (0, 39, 40, 49)] == [0, 0, 1, 1]
    assert len(doors._good) == len(doors._places) == 10


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_a_host_with_a_whole_network_of_addresses_is_one_place(address: str, place: str) -> None:
    assert network(address) == place
