"""Durations and quantities, read and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.spec.quantity import cpu, duration, memory, show_cpu, show_duration, show_memory


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800), ("250ms", 0.25), ("1.5h", 5400), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-5s", "1x", "1h 30m", "1e3s", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 << 20),
        ("2G", 2_000_000_000),
        ("1Gi", 1 << 30),
        ("1000", 1000),
        ("1.5Ki", 1536),
        ("2GB", 2 * 10**9),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert memory(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "5Zi", "1 Gi"])
def test_what_is_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount of memory"):
        memory(text)


@pytest.mark.parametrize(("text", "cores"), [("500m", 0.5), ("2", 2), ("0.25", 0.25)])
def test_cpu(text: str, cores: float) -> None:
    assert cpu(text) == cores
    assert cpu(show_cpu(cores)) == cores


@given(st.integers(0, 10**8))
def test_what_is_shown_reads_the_same(number: int) -> None:
    assert duration(show_duration(number)) == number
    assert memory(show_memory(number)) == number
