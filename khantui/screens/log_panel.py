"""A log with what it takes to read it: pages are fetched, new lines followed, searches run at the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from backend.api.wire import LogPage, MergedLineView, MergedPage
from khantui.api.client import Client
from khantui.errors import Failure
from khantui.render.moments import size
from khantui.render.text import visible, width
from khantui.screens.ask import Line
from khantui.screens.host import Host, title
from khantui.state.log import PAGE, LogLines
from khantui.state.log import Line as LogLine
from khantui.state.log_source import OneLog, SeveralLogs, Source, Wanted
from khantui.widgets.log_view import LogView

MOST_ONLY = 5_000  # lines that `&` shows
MOST_NAME = 24  # columns for the names of stages


class LogPanel(Vertical):
    """The log of an attempt, or of several stages."""

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

    class Picked(Message):
        """A line in the log of several stages was chosen."""

        def __init__(self, line: MergedLineView) -> None:
            self.line = line
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.source: Source | None = None
        self.lines: LogLines | None = None
        self.attempts: list[int] = []  # of the stage whose log it is
        self._stop: Callable[[], None] | None = None
        self._ahead: asyncio.Future[LogPage] | None = None  # the end of a log that is about to be opened
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

    def open(
        self, run: str, stage: str, attempts: list[int], *, to_error: bool, number: int | None = None, line: int = 0
    ) -> None:
        """Show a stage's newest attempt, or the one of that number; at a line, its first error, or its end."""
        self.attempts = attempts
        chosen = number or (attempts[-1] if attempts else 0)
        self._open(OneLog(run, stage, chosen), to_error=to_error, line=line)

    def ahead(self, source: OneLog) -> None:
        """Ask for the end of a log before it is opened; its run may be named as people do."""
        asked = asyncio.ensure_future(self.host.link.ask(lambda c: source.page(c, tail=PAGE)))
        asked.add_done_callback(lambda page: page.cancelled() or page.exception())  # perhaps nobody asks for it
        self._ahead = asked

    def open_several(self, run: str, stages: tuple[str, ...], names: list[str], *, to_error: bool) -> None:
        """Show the logs of some stages of a run, or of all (none), as one; `names` are those of all that are meant."""
        self.attempts = []
        widest = max((width(visible(name)) for name in names), default=1)
        columns = min(widest, MOST_NAME, max(8, self.size.width // 4))
        self._open(SeveralLogs(run, stages), to_error=to_error, names=columns)

    def _open(self, source: Source, *, to_error: bool, line: int = 0, names: int = 0) -> None:
        if self.source == source and self.lines is not None:
            if line:
                self.go_to(self.lines, line)
            return
        self._let_go()
        self._wanted = self._told = ""
        self.view.following = False
        self.source, self.lines = source, LogLines()
        self.view.show(self.lines, "…", names=names)
        self.fetch_end(self.lines, to_error, line)

    def nothing(self, said: str) -> None:
        """Show no log, and why."""
        self._let_go()
        self.source = self.lines = None
        self.view.show(None, said)
        self._title()

    def _let_go(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None

    @work(group="log", exclusive=True)
    async def fetch_end(self, lines: LogLines, to_error: bool, line: int) -> None:
        """Ask for the end, and for the line or the error if that is wanted; then follow."""
        try:
            lines.take(await self._end())
            at = min(line, lines.total) or (lines.first_error if to_error else None)
            if at:
                await self._around(lines, at)
        except Failure as failure:
            self.view.show(lines, "it wrote nothing" if failure.code == "not-found" else failure.message)
            self._title()
            return
        if lines is not self.lines:
            return
        self.view.said = "it wrote nothing" if lines.complete else "it has written nothing yet"
        if at:
            self.view.grown()
            self.view.go_to(at)
        else:
            self.view.following = True
            self.view.grown()
            self.view.following = not lines.complete
        if not lines.complete:
            self._follow(lines)
        if to_error and not at and not lines.archived:  # the daemon has not come as far by itself
            self._seek_error(lines)
        self._title()

    async def _end(self) -> LogPage | MergedPage:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with contextlib.suppress(Failure):
                page = await ahead
                if self.source == OneLog(page.run, page.stage, page.attempt):
                    return page
        answer = await self._ask(tail=PAGE)
        if isinstance(answer, LogPage):
            self.source = OneLog(answer.run, answer.stage, answer.attempt)
        return answer

    @work(group="log-error")
    async def _seek_error(self, lines: LogLines) -> None:
        """To the first error, unless one has gone elsewhere by the time that it is found."""
        where = self.view.scroll_offset.y
        try:
            found = await self._find(Wanted(), most=1, line=1)
            if not found or lines is not self.lines:
                return
            await self._around(lines, found[0])
        except Failure:
            return
        lines.first_error = found[0]
        self.view.grown()
        if self.view.at is None and (self.view.following or self.view.scroll_offset.y == where):
            self.view.go_to(found[0])

    @work(group="log-to")
    async def go_to(self, lines: LogLines, number: int) -> None:
        """To a line."""
        try:
            await self._around(lines, number)
        except Failure as failure:
            self.host.say(failure)
            return
        if lines is self.lines:
            self.view.grown()
            self.view.go_to(min(number, lines.total))

    async def _around(self, lines: LogLines, number: int) -> None:
        if lines.line(number) is None:
            lines.take(await self._ask(line=max(1, number - PAGE // 2), limit=PAGE))

    async def _ask(self, **query: object) -> LogPage | MergedPage:
        source = self.source
        assert source is not None
        return await self.host.link.ask(lambda c: source.page(c, **query))

    async def _find(self, wanted: Wanted, *, most: int, line: int = 0, before: int = 0) -> list[int]:
        source = self.source
        assert source is not None
        return await self.host.link.ask(lambda c: source.find(c, wanted, most=most, line=line, before=before))

    def _follow(self, lines: LogLines) -> None:
        source = self.source
        assert source is not None
        start = max(1, lines.total)  # the last line may have been cut in the middle: it comes again, whole

        def hear(some: list[LogLine], ended: bool) -> None:
            if lines is not self.lines:
                return
            lines.add(some)
            self.view.grown()
            if ended:
                self._stop = None
                self.finish(lines)

        self._stop = self.host.link.pour(lambda c: source.follow(c, start), hear)

    @work(group="log-end")
    async def finish(self, lines: LogLines) -> None:
        """It has ended, or the connection broke: see which."""
        try:
            page = await self._ask(tail=PAGE)
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
                page = await self._ask(line=start, limit=PAGE)
                if lines is not self.lines:
                    return
                lines.take(page)
        except Failure:
            lines.gave_up()
            return
        self.view.grown()

    def on_log_view_wanted(self, message: LogView.Wanted) -> None:
        if self.lines is not None:
            self.fetch(self.lines, message.starts)

    @work(group="log-since")
    async def since(self, lines: LogLines, minutes: int) -> None:
        """Go to what was written in the last minutes."""
        moment = self.host.moment - timedelta(minutes=minutes)
        try:
            page = await self._ask(since=moment.isoformat(), limit=PAGE)
        except Failure as failure:
            self.host.say(failure)
            return
        if lines is not self.lines:
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
        lines, source = self.lines, self.source
        if lines is None or source is None:
            self.border_title, self.border_subtitle = "log", ""
            return
        several = len(self.attempts) > 1 and isinstance(source, OneLog)
        tries = f" · attempt {source.attempt} of {self.attempts[-1]}" if several else ""  # type: ignore[attr-defined]
        at = f" · line {self.view.at:,}" if self.view.at else ""
        self.border_title = title(f"log · {source.title}{tries} · {lines.total:,} lines · {size(lines.bytes)}{at}")
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
        """Ask where the next match is; behind the last comes the first."""
        wanted = Wanted(self._wanted)
        self._told = ""
        try:
            if by > 0:
                start = self.view.at + 1 if self.view.at else self.view.scroll_offset.y + 1
                found = await self._find(wanted, most=1, line=start)
                if not found and start > 1:
                    found = await self._find(wanted, most=1, line=1)
                    self._told = "from the top again"
            else:
                before = self.view.at or lines.total + 1
                found = await self._find(wanted, most=1, before=before) if before > 1 else []
                if not found:
                    found = await self._find(wanted, most=1, before=lines.total + 1)
                    self._told = "from the end again"
            if not found:
                self._told = f"no line with {visible(self._wanted)}" if self._wanted else "no line speaks of an error"
                self._title()
                return
            await self._around(lines, found[0])
        except Failure as failure:
            self.host.say(failure)
            return
        if lines is self.lines:
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
        try:
            numbers = await self._find(Wanted(self._wanted), most=MOST_ONLY, line=1)
        except Failure as failure:
            self.host.say(failure)
            return
        if numbers and lines is self.lines:
            self.view.following = False
            self.view.show_only(numbers)
            self._told = f"only {len(numbers):,}{'+' if len(numbers) >= MOST_ONLY else ''} matching lines"
        elif not numbers:
            self._told = "no line matches"
        self._title()

    @property
    def wanted(self) -> str:
        """What is searched for; empty: errors."""
        return self._wanted

    # other keys

    def on_log_view_picked(self, message: LogView.Picked) -> None:
        """In a log of several stages: over to the log of the stage whose line it is."""
        line = self.lines.line(message.number) if self.lines is not None else None
        if isinstance(line, MergedLineView):
            self.post_message(self.Picked(line))

    def action_attempt(self, by: int) -> None:
        """The log of an earlier attempt, or of a later one."""
        source = self.source
        if not isinstance(source, OneLog):
            if source is not None:
                self.notify("all attempts are in this log", markup=False)
            return
        place = self.attempts.index(source.attempt) + by if source.attempt in self.attempts else -1
        if 0 <= place < len(self.attempts):
            self.open(source.run, source.stage, self.attempts, to_error=True, number=self.attempts[place])
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
        source = self.source
        if source is None:
            return
        proposed = re.sub(r"[^\w.-]", "-", source.file)
        given = await self.app.push_screen_wait(Line("save this log as", proposed))
        if not given:
            return
        path = Path(given).expanduser()

        def fetch(client: Client) -> int:
            with path.open("wb") as file:
                return sum(file.write(part) for part in source.whole(client))

        try:
            written = await self.host.ask(fetch)
        except OSError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if written is not None:
            self.notify(f"{size(written)} are in {path}", markup=False)
