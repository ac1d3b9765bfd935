"""Keys: each thing has one place, what belongs together has a prefix, and the newest run comes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.run.ids import mirror, new_id
from backend.store import keys
from backend.store.etcd import SPACE

RUN = "06f2k9x4qe-7f3k2a"
TURNED = mirror(RUN)

EVERY = {
    keys.LEADER: "leader",
    keys.pipeline("weekly"): "pipelines/weekly",
    keys.version("weekly", 12): "versions/weekly/00000012",
    keys.latest("weekly"): "latest/weekly",
    keys.run(RUN): f"runs/{TURNED}",
    keys.active(RUN): f"active/{RUN}",
    keys.stage(RUN, "plot.2025"): f"stages/{RUN}/plot.2025",
    keys.external(RUN, "events"): f"inputs/{RUN}/events",
    keys.command(RUN, "c1"): f"commands/{RUN}/c1",
    keys.ended(RUN): f"ended/{RUN}",
    keys.by_pipeline("weekly", RUN): f"by-pipeline/weekly/{TURNED}",
    keys.by_state("running", RUN): f"by-state/running/{TURNED}",
    keys.by_short("7f3k2a", RUN): f"by-short/7f3k2a/{RUN}",
    keys.schedule("nightly"): "schedules/nightly",
    keys.request("0a1b"): "requests/0a1b",
    keys.audit(RUN): f"audit/{TURNED}",
}


@pytest.mark.parametrize(("made", "wanted"), EVERY.items(), ids=EVERY.values())
def test_every_key(made: str, wanted: str) -> None:
    """These are in people's etcd: to change one is to migrate it."""
    assert made == wanted


@pytest.mark.parametrize(
    ("prefix", "key", "foreign"),
    [
        (keys.versions("week"), keys.version("week", 1), keys.version("weekly", 1)),
        (keys.stages(RUN), keys.stage(RUN, "a"), keys.stage(RUN + "x", "a")),
        (keys.inputs(RUN), keys.external(RUN, "a"), keys.external(RUN + "x", "a")),
        (keys.commands(RUN), keys.command(RUN, "a"), keys.command(RUN + "x", "a")),
        (keys.by_pipeline("week"), keys.by_pipeline("week", RUN), keys.by_pipeline("weekly", RUN)),
        (keys.by_state("run"), keys.by_state("run", RUN), keys.by_state("running", RUN)),
        (keys.by_short("7f3k2"), keys.by_short("7f3k2", RUN), keys.by_short("7f3k2a", RUN)),
    ],
)
def test_a_prefix_has_what_belongs_to_it_and_nothing_else(prefix: str, key: str, foreign: str) -> None:
    assert prefix <= key < keys.after(prefix)
    assert key.startswith(prefix)
    assert not prefix <= foreign < keys.after(prefix)


def test_no_kind_of_key_is_among_another() -> None:
    kinds = [key.split("/")[0] for key in EVERY.values()]
    assert len(set(kinds)) == len(kinds)


texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6)


@given(prefix=texts, key=texts)
@example(prefix="", key="")
@example(prefix="", key="~~~")
@example(prefix="a~", key="a~~")
@example(prefix="a/", key="a0")
def test_the_range_up_to_after_is_all_that_starts_with_the_prefix(prefix: str, key: str) -> None:
    assert (prefix <= key < keys.after(prefix)) == key.startswith(prefix)


@given(st.integers(0, 99_999_998))
def test_versions_are_in_order(number: int) -> None:
    assert keys.version("a", number) < keys.version("a", number + 1)


moments = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moment=moments, later=st.integers(1, 10**12))
def test_the_newest_run_comes_first(moment: datetime, later: int) -> None:
    older, newer = new_id(moment), new_id(moment + timedelta(milliseconds=later))
    assert keys.run(newer) < keys.run(older)
    assert keys.by_state("failed", newer) < keys.by_state("failed", older)
    assert keys.by_pipeline("a", newer) < keys.by_pipeline("a", older)
    assert keys.audit(newer) < keys.audit(older)
    assert keys.active(older) < keys.active(newer)


@given(moments)
def test_the_run_can_be_read_off_its_keys(moment: datetime) -> None:
    run = new_id(moment)
    for key in (keys.run(run), keys.by_pipeline("a", run), keys.by_state("failed", run), keys.audit(run)):
        assert keys.run_of(key) == run


def test_no_key_is_where_the_store_keeps_its_own() -> None:
    assert max(EVERY) < SPACE == keys.after("")
