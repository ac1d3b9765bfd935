"""What a filter asks for, put so that the roster can name candidates without any run being read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from backend.api import filter
from backend.api.filter import Test
from backend.store.roster import FIELDS, SEPARATOR, Search, Verdict

_PLACES = {field: place for place, field in enumerate(FIELDS)}
_MADE_LATE = _PLACES["made_late"]
_POSITIVE = ("=", "~")


def search_of(tests: list[Test], labels: Mapping[str, Mapping[str, str]], seen: Callable[[str], bool] | None) -> Search:
    """The runs that may fulfil the tests, and of pipelines that may be seen; `labels`: of pipelines, if asked for."""
    words = [test.value.lower() for test in tests if not test.field and test.sign == "~"]
    ids = [test.value for test in tests if test.field == "id" and test.sign in _POSITIVE and "," not in test.value]
    fields = [test for test in tests if test.field in _PLACES]
    labelled = [test for test in tests if test.field.startswith("label.")]

    exactly = [t.value.split(",") for t in fields if t.sign == "=" and t.field not in ("version", "round", "stages")]

    def judge(outline: str) -> Verdict:
        for values in exactly:  # most are told apart by this alone
            if not any(value in outline for value in values):
                return Verdict.NO
        lowered = outline.lower()
        for test in fields:
            if test.sign == "~" and test.value.lower() not in lowered:
                return Verdict.NO
        parts = outline.split(SEPARATOR, len(FIELDS) - 1)
        if not all(filter.matches([test], {test.field: parts[_PLACES[test.field]]}) for test in fields):
            return Verdict.NO
        if labelled:
            of_pipeline = {f"label.{name}": value for name, value in labels.get(parts[0], {}).items()}
            if not filter.matches(labelled, of_pipeline):
                return Verdict.NO
            lowered = SEPARATOR.join([lowered, *map(str.lower, of_pipeline.values())])
        if seen is not None and not seen(parts[0]):
            return Verdict.NO
        if ids:
            return Verdict.BY_ID
        return Verdict.YES if all(word in lowered for word in words) else Verdict.BY_ID

    every = not (words or ids or fields or labelled or seen)
    return Search(judge, tuple(ids or words), every=every)


def only_late(search: Search) -> Search:
    """Of these the runs that were made long after what their ids tell."""

    def judge(outline: str) -> Verdict:
        made_late = outline.split(SEPARATOR, len(FIELDS) - 1)[_MADE_LATE]
        return search.judge(outline) if made_late else Verdict.NO

    return Search(judge, search.words)
