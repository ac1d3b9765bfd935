"""A candidate is named for every run that a filter asks for, and hardly one for another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backend.api import filter
from backend.api.run_search import only_late, search_of
from backend.run.ids import moment_of, new_id
from backend.run.state import Run, RunState, Trigger
from backend.store.codec import decode, encode
from backend.store.roster import SEPARATOR, Brief, Verdict, outline

NOW = datetime(2026, 11, 25, tzinfo=UTC)
TEXTS = st.sampled_from(["", "s: exit 1", "S: Exit 2", f"a{SEPARATOR}b", "analytics", "yes", "failed", "1"])
RUNS = st.builds(
    lambda n, pipeline, state, version, trigger, message, late, waited: Run(
        new_id(NOW + timedelta(seconds=n), "seed"), pipeline, version, NOW, state=state, trigger=trigger,
        message=message, late=late, created=NOW + timedelta(seconds=n + waited), stages=version,
    ),
    st.integers(-500, 0), st.sampled_from(["learn", "clean", "p7"]), st.sampled_from(RunState), st.integers(1, 12),
    st.builds(
        lambda kind, by, backfill: Trigger(kind, by=by, backfill=backfill),
        st.sampled_from(["manual", "schedule", "backfill"]), TEXTS, TEXTS,
    ),
    TEXTS, st.booleans(), st.sampled_from([0, 3600]),
)  # fmt: skip
TESTS = st.lists(
    st.one_of(
        st.builds(
            lambda sign, word: filter.Test("", sign, word),
            st.sampled_from(["~", "!~"]), st.sampled_from(["exit", "LEARN", "7", "0", "yes", "", "a\x1fb"]),
        ),
        st.builds(
            filter.Test,
            st.sampled_from(["pipeline", "state", "message", "by", "backfill", "late", "trigger", "id", "label.team"]),
            st.sampled_from(["=", "!=", "~", "!~"]),
            st.sampled_from(["learn", "failed,cancelled", "Exit", "s: exit 1", "yes", "", "analytics", "0", "a,b"]),
        ),
        st.builds(
            filter.Test, st.sampled_from(["version", "stages", "round"]), st.sampled_from(["=", "!=", "<", ">=", "~"]),
            st.sampled_from(["1", "7"]),
        ),
        st.builds(filter.Test, st.just("age"), st.sampled_from(["<", ">"]), st.just("2m")),
    ),
    max_size=3,
)  # fmt: skip
LABELS = {"learn": {"team": "analytics"}, "p7": {"team": "Loads"}}


@given(RUNS, TESTS, st.sampled_from([None, {"learn"}]))
def test_no_run_that_is_asked_for_is_left_out(run: Run, tests: list[filter.Test], seen: set[str] | None) -> None:
    labels = LABELS if any(test.field.startswith("label.") for test in tests) else {}
    sees = seen.__contains__ if seen is not None else None
    search = search_of(tests, labels, sees)
    text = outline(decode(encode(run), Brief))
    subject = filter.run_subject(run, run.stages, NOW)
    fits = filter.matches(tests, subject | {f"label.{k}": v for k, v in labels.get(run.pipeline, {}).items()})
    if text == "" or not (fits and (sees is None or sees(run.pipeline))):
        return
    assert run.created is not None
    late = run.created - moment_of(run.id) > timedelta(minutes=1)
    for each, concerned in ((search, True), (only_late(search), late)):
        verdict = each.judge(text)
        named = verdict is Verdict.BY_ID and any(word.lower() in run.id for word in each.words)
        assert each.every or not concerned or verdict is Verdict.YES or named


def test_others_are_no_candidates() -> None:
    run = Run(new_id(NOW, "seed"), "learn", 3, NOW, state=RunState.FAILED, message="s: exit 1", created=NOW)
    text = outline(decode(encode(run), Brief))
    for asked in ("nowhere", "message~nowhere", "version<3", "pipeline=clean", "state!=failed", "id~zzzzzzz"):
        search = search_of(filter.parse(asked, filter.RUN_FIELDS), {}, None)
        verdict = search.judge(text)
        assert verdict is Verdict.NO or (verdict is Verdict.BY_ID and not any(w in run.id for w in search.words)), asked
    assert only_late(search_of(filter.parse("learn", filter.RUN_FIELDS), {}, None)).judge(text) is Verdict.NO
