"""What a stage's outputs depend on, and what is said of a change."""

from __future__ import annotations

from typing import Any

import pytest

from backend.run.fingerprint import changes, fingerprint

SAME: dict[str, Any] = {
    "image": "python 1a2b",
    "argv": ["python3", "clean.py"],
    "script": "",
    "code": "c0de" * 16,
    "account": "none",
    "environment": {"DAY": "2026-03-01", "REGION": "all"},
    "inputs": {"events": "a" * 64, "part/2025": "b" * 64},
    "outputs": ["clean"],
}


def test_the_order_in_which_things_are_named_says_nothing() -> None:
    turned = {**SAME, "environment": dict(reversed(SAME["environment"].items()))}
    assert fingerprint(**turned).digest == fingerprint(**SAME).digest


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": "python 3c4d"}, "the image changed (python 1a2b → python 3c4d)"),
        ({"argv": ["python3", "other.py"]}, "the command changed"),
        ({"argv": ["python3 clean.py"]}, "the command changed"),
        ({"argv": [], "script": "true"}, "the command changed"),
        ({"code": ""}, "the code changed (c0dec0dec0de → none)"),
        ({"account": "analytics"}, "the account changed (none → analytics)"),
        ({"environment": {"DAY": "2026-03-02", "REGION": "all"}}, "DAY changed (2026-03-01 → 2026-03-02)"),
        ({"environment": {"DAY": "2026-03-01"}}, "REGION is gone"),
        ({"environment": SAME["environment"] | {"X": ""}}, "X is new"),
        ({"inputs": SAME["inputs"] | {"events": "f" * 64}}, "input events changed (aaaaaaaaaaaa → ffffffffffff)"),
        ({"outputs": ["clean", "log"]}, "the outputs changed (clean → clean, log)"),
        (
            {"image": "r", "code": "", "account": "x", "argv": []},
            "the image changed (python 1a2b → r), the command changed and 2 more",
        ),
    ],
)
def test_whatever_changes_is_told(changed: dict[str, Any], said: str) -> None:
    old, new = fingerprint(**SAME), fingerprint(**{**SAME, **changed})
    assert old.digest != new.digest
    assert changes(old.parts, new.parts) == said


def test_long_values_are_kept_as_hashes_and_still_told_apart() -> None:
    long = {**SAME, "environment": {"QUERY": "select " * 5000}}
    other = {**SAME, "environment": {"QUERY": "select " * 5000 + "1"}}
    old, new = fingerprint(**long), fingerprint(**other)
    assert old.digest != new.digest
    assert changes(old.parts, new.parts).startswith("QUERY changed (sha256 ")
    assert len(new.parts["environment.QUERY"]) < 30


def test_where_nothing_differs_nothing_is_said() -> None:
    assert changes(fingerprint(**SAME).parts, fingerprint(**SAME).parts) == ""
