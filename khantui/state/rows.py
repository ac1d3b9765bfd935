"""Rows that are all known: pipelines, schedules, the stages of a run. Filtered and sorted here. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from backend.api import filter as conditions

T = TypeVar("T")


class ListRows(Generic[T]):
    """A list; `subject` says what its filter can ask about an item, whose fields are `fields`."""

    def __init__(
        self,
        items: Iterable[T] = (),
        *,
        subject: Callable[[T], Mapping[str, Any]] | None = None,
        fields: frozenset[str] = frozenset(),
    ) -> None:
        self._all: list[T] = list(items)
        self._subject = subject
        self._fields = fields
        self._filter = ""
        self._key: Callable[[T], Any] | None = None
        self._backwards = False
        self.items: list[T] = list(self._all)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.items)

    @property
    def total(self) -> int:
        """How many there would be without the filter."""
        return len(self._all)

    def row(self, index: int) -> T | None:
        """One of them."""
        return self.items[index] if 0 <= index < len(self.items) else None

    def put(self, items: Iterable[T]) -> None:
        """Other items, under the same conditions."""
        self._all = list(items)
        self._arrange()

    def narrow(self, filter: str) -> None:
        """Only what the filter lets through. Raises InvalidRequest."""
        conditions.parse(filter, self._fields)
        self._filter = filter
        self._arrange()

    def sort(self, key: Callable[[T], Any] | None, backwards: bool = False) -> None:
        """In the order of `key`; None: as they were given."""
        self._key, self._backwards = key, backwards
        self._arrange()

    def _arrange(self) -> None:
        found = self._all
        if self._filter and self._subject is not None:
            tests = conditions.parse(self._filter, self._fields)
            found = [item for item in found if conditions.matches(tests, self._subject(item))]
        self.items = sorted(found, key=self._key, reverse=self._backwards) if self._key else list(found)
