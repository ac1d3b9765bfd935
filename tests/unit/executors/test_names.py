"""Names and labels of an attempt's objects: always such as Kubernetes takes, and never the same for two attempts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from backend.executors.base import AttemptKey
from backend.executors.kubernetes.names import exact, job_name, key_of, label, labels

RUN = "06f2k9x4qe-7f3k2a"
stage_names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=200)
keys = st.builds(AttemptKey, st.just(RUN), stage_names, st.integers(1, 99_999))


def test_a_plain_name_stays_readable() -> None:
    assert job_name(AttemptKey(RUN, "clean", 1)) == f"{RUN}-clean-1"
    assert job_name(AttemptKey(RUN, "plot.2025", 2)).startswith(f"{RUN}-plot-2025-")


@given(keys)
def test_a_jobs_name_can_be_one(key: AttemptKey) -> None:
    name = job_name(key)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 63


@given(keys, keys)
def test_two_attempts_have_two_names(one: AttemptKey, other: AttemptKey) -> None:
    assert (job_name(one) == job_name(other)) == (one == other)


@given(st.text(min_size=1, max_size=200))
def test_a_labels_value_can_be_one(value: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", label(value))
    assert len(label(value)) <= 63
    if re.fullmatch(r"[a-z0-9]{1,63}", value):
        assert label(value) == value


@given(keys)
def test_the_attempt_can_be_told_from_its_objects(key: AttemptKey) -> None:
    assert key_of(exact(key, "p")) == key
    assert labels(key, "p", "i")["khantui.dev/attempt"] == str(key.number)


def test_what_is_not_ours_belongs_to_no_attempt() -> None:
    assert key_of({}) is None
    assert key_of({"khantui.dev/run": RUN, "khantui.dev/stage": "a", "khantui.dev/attempt": "x"}) is None
