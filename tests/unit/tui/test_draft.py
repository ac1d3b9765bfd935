"""Inputs of a form: picked from what other pipelines have made, or written down."""

from __future__ import annotations

from khantui.state.draft import Draft
from khantui.state.form import Known, answer, questions

KNOWN = Known(outputs=("weather/months", "regions/table", "other/table"))


def inputs(draft: Draft) -> object:
    return draft.get(("inputs",))


def test_what_is_picked_gets_a_name_that_is_free() -> None:
    draft = Draft.new("sales")
    answer(draft, "inputs", "taken", ["regions/table", "other/table"], KNOWN)
    assert inputs(draft) == {"table": {"from": "regions/table"}, "other-table": {"from": "other/table"}}
    answer(draft, "inputs", "taken", ["other/table"], KNOWN)
    assert inputs(draft) == {"other-table": {"from": "other/table"}}
    answer(draft, "inputs", "taken", [], KNOWN)
    assert inputs(draft) is None


def test_what_was_written_down_stays_when_something_is_picked() -> None:
    draft = Draft.new("sales")
    answer(draft, "inputs", "inputs", "raw=file:///data/raw.csv\nmine=unknown/output", KNOWN)
    answer(draft, "inputs", "taken", ["weather/months"], KNOWN)
    answer(draft, "inputs", "taken", [], KNOWN)
    assert inputs(draft) == {"raw": {"uri": "file:///data/raw.csv"}, "mine": {"from": "unknown/output"}}


def test_the_form_shows_both() -> None:
    draft = Draft.new("sales")
    answer(draft, "inputs", "inputs", "rain=weather/months", KNOWN)
    picked, text = questions(draft, "inputs", KNOWN, "", "UTC", new=True)
    assert picked.value == ["weather/months"]
    assert text.value == "rain=weather/months"


def test_whether_earlier_results_may_stand() -> None:
    draft = Draft.new("sales")
    [stage] = draft.stages
    here = ("stages", stage, "cache")

    def shown(part: str) -> object:
        return next(q.value for q in questions(draft, part, KNOWN, "", "UTC", new=True) if q.key == "cache")

    assert (shown("pipeline"), shown(f"stage:{stage}")) == ("no", "usual")
    for said, kept in (("yes", True), ("no", None)):
        answer(draft, "pipeline", "cache", said, KNOWN)
        assert (draft.get(("cache",)), shown("pipeline")) == (kept, said)
    for said, kept in (("yes", True), ("no", False), ("usual", None)):
        answer(draft, f"stage:{stage}", "cache", said, KNOWN)
        assert (draft.get(here), shown(f"stage:{stage}")) == (kept, said)
