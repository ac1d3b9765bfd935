"""What lists have in common of things that the overview does not know: they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import work

from khantui.screens.listing import Listing
from khantui.screens.table_view import T


class Asked(Listing[T]):
    """A table of things that the daemon is asked for: at first, when something was changed here, and on demand."""

    def __init__(self, command: str, filter: str = "") -> None:
        self._found: Sequence[T] = ()
        self._answered = False
        super().__init__(command, filter)

    async def ask(self) -> Sequence[T] | None:
        """What there is; None where that is not to be had: then what was there stays, and why has been said."""
        raise NotImplementedError

    @property
    def known(self) -> bool:
        return self._answered

    def items(self) -> Iterable[T]:
        return self._found

    def begin(self) -> None:
        super().begin()
        self.look()

    @work(group="look", exclusive=True)
    async def look(self) -> None:
        """Ask, and show the answer."""
        found = await self.ask()
        if found is not None:
            self._found, self._answered = found, True
            self.renew()

    def action_refresh(self) -> None:
        """Ask again."""
        self.look()
