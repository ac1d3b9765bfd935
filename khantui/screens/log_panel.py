"""A log with what it takes to read it: pages are fetched, new lines followed, searches run at the daemon."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, cast

import httpx
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from backend.api.wire import LogLineView, LogPage
from khantui.api.client import Client
from khantui.errors import Failure
from khantui.render.logline import ERRORS
from khantui.render.moments import size
from khantui.render.text import visible
from khantui.screens.ask import Line
from khantui.screens.host import Host, title
from khantui.state.log import PAGE, LogLines, LogName
from khantui.widgets.log_view import LogView

MOST_ONLY = 5_000  # lines that `&` shows


class LogPanel(Vertical):
    """One attempt's log."""

    ALLOW_MAXIMIZE = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next(1)", "next error or match"),
        Binding("N", "next(-1)", "the one before", show=False),
        Binding("ampersand", "only", "only matches", show=False),
        Binding("f", "full", "full screen"),
        Binding("p", "attempt(-1)", "attempt before", show=False),
        Binding("P", "attempt(1)", "attempt after", show=False),
        Binding("ctrl+s", "save", "save", show=False),
        Binding("c", "copy", "copy the line", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.lines: LogLines | None = None
        self._attempts: list[int] = []
        self._stop: Callable[[], None] | None = None
        self._wanted = ""  # what is searched for
        self._told = ""

    def compose(self) -> ComposeResult:
        yield LogView(id="log")

    @property
    def view(self) -> LogView:
        """What draws it."""
        return self.query_one("#log", LogView)

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    def on_unmount(self) -> None:
        self._let_go()

    # which log

    def open(self, run: str, stage: str, attempts: list[int], *, to_error: bool, number: int | None = None) -> None:
        """Show a stage's newest attempt, or the one of that number; at its first error line, or at its end."""
        self._attempts = attempts
        chosen = number or (attempts[-1] if attempts else 0)
        name = LogName(run, stage, chosen)
        if self.lines is not None and self.lines.name == name:
            return
        self._let_go()
        self._wanted = ""
        self.view.following = False
        if not chosen:
            self.lines = None
            self.view.show(None, f"{visible(stage)} has not been started yet")
            self._title()
            return
        self.lines = LogLines(name)
        self.view.show(self.lines, "…")
        self.fetch_end(self.lines, to_error)

    def nothing(self, said: str) -> None:
        """Show no log, and why."""
        self._let_go()
        self.lines = None
        self.view.show(None, said)
        self._title()

    def _let_go(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None

    @work(group="log", exclusive=True)
    async def fetch_end(self, lines: LogLines, to_error: bool) -> None:
        """Ask for the end, and for the error if that is wanted; then follow."""
        name = lines.name
        try:
            page = await self._ask(name, tail=PAGE)
            lines.take(page)
            if to_error and lines.first_error:
                await self._around(lines, lines.first_error)
        except Failure as failure:
            self.view.show(lines, "it wrote nothing" if failure.code == "not-found" else failure.message)
            self._title()
            return
        if lines is not self.lines:
            return
        self.view.said = "it wrote nothing" if lines.complete else "it has written nothing yet"
        if to_error and lines.first_error:
            self.view.grown()
            self.view.go_to(lines.first_error)
        else:
            self.view.following = True
            self.view.grown()
            self.view.following = not lines.complete
        if not lines.complete:
            self._follow(lines)
        self._title()

    async def _around(self, lines: LogLines, number: int) -> None:
        if lines.line(number) is None:
            lines.take(await self._ask(lines.name, line=max(1, number - PAGE // 2), limit=PAGE))

    async def _ask(self, name: LogName, **query: object) -> LogPage:
        return await self.host.link.ask(lambda c: c.log(name.run, name.stage, attempt=name.attempt, **query))

    def _follow(self, lines: LogLines) -> None:
        name, start = lines.name, lines.total + 1
        # the last line may have been cut in the middle: it comes again, whole
        start = max(1, start - 1)

        def come(client: Client) -> Iterator[LogLineView]:
            at = start
            while True:
                try:
                    for line in client.follow_log(name.run, name.stage, attempt=name.attempt, line=at):
                        at = line.number + 1
                        yield line
                    return
                except httpx.HTTPError:
                    client.log(name.run, name.stage, attempt=name.attempt, tail=1)  # raises if the daemon is away

        def hear(some: list[LogLineView], ended: bool) -> None:
            if lines is not self.lines:
                return
            lines.add(some)
            self.view.grown()
            if ended:
                self._stop = None
                self.finish(lines)

        self._stop = self.host.link.pour(come, hear)

    @work(group="log-end")
    async def finish(self, lines: LogLines) -> None:
        """It has ended, or the connection broke: see which."""
        try:
            page = await self._ask(lines.name, tail=PAGE)
        except Failure:
            self.set_timer(1.0, lambda: self.finish(lines) if lines is self.lines else None)
            return
        if lines is not self.lines:
            return
        lines.take(page)
        self.view.grown()
        if lines.complete:
            self.view.following = False
            self._title()
        elif self._stop is None:
            self._follow(lines)

    @work(group="log-pages")
    async def fetch(self, lines: LogLines, starts: list[int]) -> None:
        """Ask for lines that are looked at."""
        try:
            for start in starts:
                lines.take(await self._ask(lines.name, line=start, limit=PAGE))
        except Failure:
            lines.gave_up()
            return
        if lines is self.lines:
            self.view.grown()

    def on_log_view_wanted(self, message: LogView.Wanted) -> None:
        if self.lines is not None:
            self.fetch(self.lines, message.starts)

    @work(group="log-since")
    async def since(self, lines: LogLines, minutes: int) -> None:
        """Go to what was written in the last minutes."""
        moment = self.host.moment - timedelta(minutes=minutes)
        try:
            page = await self._ask(lines.name, since=moment.isoformat(), limit=PAGE)
        except Failure as failure:
            self.host.say(failure)
            return
        lines.take(page)
        self.view.grown()
        if page.lines:
            self.view.go_to(page.lines[0].number)
        else:
            self.notify(f"nothing was written in the last {minutes} min", markup=False)

    def on_log_view_since(self, message: LogView.Since) -> None:
        if self.lines is not None:
            self.since(self.lines, message.minutes)

    # the title

    def on_log_view_changed(self) -> None:
        self._title()

    def _title(self) -> None:
        lines = self.lines
        if lines is None:
            self.border_title, self.border_subtitle = "log", ""
            return
        name = lines.name
        tries = f" · attempt {name.attempt} of {self._attempts[-1]}" if len(self._attempts) > 1 else ""
        at = f" · line {self.view.at:,}" if self.view.at else ""
        self.border_title = title(f"log · {name.stage}{tries} · {lines.total:,} lines · {size(lines.bytes)}{at}")
        told = [self._told] if self._told else []
        told += ["following"] if self.view.following else []
        told += [] if lines.complete else ["live"]
        told += ["archived"] if lines.archived else []
        self.border_subtitle = title(" · ".join(told))

    # searching

    def search(self, wanted: str) -> None:
        """Look for an expression from here on; nothing: look for nothing."""
        self._wanted, self._told = wanted, ""
        try:
            pattern = re.compile(wanted, re.IGNORECASE) if wanted else None
        except re.error:
            pattern = re.compile(re.escape(wanted), re.IGNORECASE)
        self.view.search_for(pattern)
        if not wanted:
            self.view.show_only(None)
            self._title()
            return
        self.action_next(1)

    def action_next(self, by: int) -> None:
        """To the next match, or to the next line that speaks of an error."""
        if self.lines is not None:
            self.find(self.lines, by)

    @work(group="log-find", exclusive=True)
    async def find(self, lines: LogLines, by: int) -> None:
        """Ask where the next match is."""
        wanted = self._wanted or ERRORS
        name = lines.name
        at = self.view.at or (self.view.scroll_offset.y + 1 if by > 0 else lines.total + 1)
        try:
            if by > 0:
                start = at + 1 if self.view.at else at
                found = await self.host.link.ask(lambda c: _search(c, name, wanted, start, 1))
                if not found and start > 1:
                    found = await self.host.link.ask(lambda c: _search(c, name, wanted, 1, 1))
                    self._told = "from the top again"
                else:
                    self._told = ""
            else:
                every = await self.host.link.ask(lambda c: _search(c, name, wanted, 1, MOST_ONLY))
                found = [n for n in every if n < at][-1:] or every[-1:]
            if not found:
                self._told = f"no line with {visible(self._wanted)}" if self._wanted else "no line speaks of an error"
                self._title()
                return
            await self._around(lines, found[0])
        except Failure as failure:
            self.host.say(failure)
            return
        self.view.grown()
        self.view.go_to(found[0])

    @work(group="log-only", exclusive=True)
    async def action_only(self) -> None:
        """Only the lines that match, or all again."""
        lines = self.lines
        if lines is None:
            return
        if self.view.only is not None:
            self.view.show_only(None)
            self._told = ""
            self._title()
            return
        wanted = self._wanted or ERRORS
        numbers = await self.host.ask(lambda c: _search(c, lines.name, wanted, 1, MOST_ONLY))
        if numbers:
            self.view.following = False
            self.view.show_only(numbers)
            self._told = f"only {len(numbers):,}{'+' if len(numbers) >= MOST_ONLY else ''} matching lines"
        elif numbers is not None:
            self._told = "no line matches"
        self._title()

    # other keys

    def action_attempt(self, by: int) -> None:
        """The log of an earlier attempt, or of a later one."""
        if self.lines is None:
            return
        place = self._attempts.index(self.lines.name.attempt) + by if self._attempts else -1
        if 0 <= place < len(self._attempts):
            name = self.lines.name
            self.open(name.run, name.stage, self._attempts, to_error=True, number=self._attempts[place])
        else:
            self.notify("there is no other attempt in that direction", markup=False)

    def action_full(self) -> None:
        """The whole screen for the log, or not."""
        if self.screen.maximized is None:
            self.screen.maximize(self, container=False)
            self.view.focus()
        else:
            self.screen.minimize()

    def action_copy(self) -> None:
        """Put the line that is pointed at, or the first in view, on the clipboard."""
        number = self.view.at or self.view.scroll_offset.y + 1
        line = self.lines.line(number) if self.lines is not None else None
        if line is not None:
            self.app.copy_to_clipboard(line.text)
            self.notify(f"line {number:,} is copied", markup=False)

    @work(group="log-save")
    async def action_save(self) -> None:
        """Write the whole log to a file."""
        if self.lines is None:
            return
        name = self.lines.name
        proposed = re.sub(r"[^\w.-]", "-", f"{name.run[-6:]}-{name.stage}-{name.attempt}.log")
        given = await self.app.push_screen_wait(Line("save this log as", proposed))
        if not given:
            return
        path = Path(given).expanduser()

        def fetch(client: Client) -> int:
            with path.open("wb") as file:
                return sum(file.write(part) for part in client.raw_log(name.run, name.stage, attempt=name.attempt))

        try:
            written = await self.host.ask(fetch)
        except OSError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if written is not None:
            self.notify(f"{size(written)} are in {path}", markup=False)


def _search(client: Client, name: LogName, wanted: str, start: int, most: int) -> list[int]:
    """The numbers of the lines that match, from `start` on, at most so many."""
    found: list[int] = []
    line: int | None = start
    while line is not None and len(found) < most:
        answer = client.search_log(
            name.run,
            name.stage,
            attempt=name.attempt,
            regex=wanted,
            ignore_case="true",
            line=line,
            limit=min(1000, most - len(found)),
        )
        found += [match.line.number for match in answer.matches]
        line = answer.next_line
    return found
