"""The preview of an artifact beside a list: fetched when the cursor rests, and kept for when it comes back."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, cast

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from khantui.errors import Failure
from khantui.render.protocols import protocol
from khantui.render.text import visible
from khantui.screens.host import Host
from khantui.screens.page import LinesPage, PicturePage
from khantui.screens.sheet_page import SheetPage
from khantui.state import drawing
from khantui.state.drawing import is_picture
from khantui.state.sample import Sample, Source, fetch
from khantui.state.sheets import can_be_paged
from khantui.widgets.line_view import LineView
from khantui.widgets.picture_view import PictureView

if TYPE_CHECKING:
    from PIL.Image import Image

_PAUSE = 0.1  # seconds for which the cursor rests before anything is fetched
_KEPT = 30  # previews
_PICTURES = 5  # that are kept


class SamplePanel(Vertical):
    """Shows one artifact at a time, or one file of a folder."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="panel")
        self._samples: dict[Source, Sample] = {}
        self._pictures: dict[Source, Image] = {}
        self._protocol = protocol(os.environ)
        self._source: Source | None = None

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial="preview"):
            yield LineView(id="preview")
            yield PictureView(id="picture")

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    @property
    def view(self) -> LineView:
        """The lines."""
        return self.query_one("#preview", LineView)

    @property
    def body(self) -> Widget:
        """What is seen: the lines, or the picture."""
        switcher = self.query_one(ContentSwitcher)
        return self.query_one(f"#{switcher.current}")

    def sample(self, source: Source) -> Sample | None:
        """What is shown of it, if that is here."""
        return self._samples.get(source)

    def look(self, source: Source | None) -> None:
        """Show this one."""
        if source == self._source:
            return
        self._source = source
        if source is None:
            self.query_one(ContentSwitcher).current = "preview"
            self._title("preview", "")
            self.view.show([])
        elif source in self._samples:
            self._show(source, self._samples[source])
        else:
            self._fetch(source)

    def open(self, source: Source) -> None:
        """Show it on the whole screen."""
        if source not in self._samples:
            self.notify("it is not here yet", markup=False)
            return
        shown = self._samples[source].preview
        if can_be_paged(shown):
            self.app.push_screen(SheetPage(source))
            return
        title = " · ".join(filter(None, (source.title, shown.kind, shown.said)))
        picture = self._pictures.get(source)
        if picture is not None:
            self.app.push_screen(PicturePage(title, picture, self._protocol))
        else:
            self.app.push_screen(LinesPage(title, shown.lines, head=shown.head, numbered=shown.numbered))

    @work(group="preview", exclusive=True)
    async def _fetch(self, source: Source) -> None:
        """Fetch what is shown of it, unless the cursor goes on."""
        await asyncio.sleep(_PAUSE)
        self._title(source.title, "…")
        ended = threading.Event()
        try:
            sample = await self.host.link.ask(lambda c: fetch(c, source, ended.is_set))
        except Failure as failure:
            if self._source == source:
                self._source = None  # it is tried again when the cursor comes back
                self.view.show([[(visible(line), "failed")] for line in failure.message.split("\n")])
                self._title(source.title, "no preview")
            return
        finally:
            ended.set()
        self._samples[source] = sample
        for old in list(self._samples)[:-_KEPT]:
            del self._samples[old]
        if self._source == source:
            self._show(source, sample)

    def _show(self, source: Source, sample: Sample) -> None:
        shown = sample.preview
        self.query_one(ContentSwitcher).current = "preview"
        self.view.show(shown.lines, head=shown.head, numbered=shown.numbered)
        self._title(source.title, " · ".join(filter(None, (shown.kind, shown.said))))
        if is_picture(shown) and self._protocol != "words":
            self._draw(source)

    @work(group="picture", exclusive=True)
    async def _draw(self, source: Source) -> None:
        """Fetch a picture whole, and draw it instead of what is said about it."""
        ended = threading.Event()
        try:
            picture = self._pictures.get(source)
            if picture is None:
                picture = await self.host.link.ask(lambda c: drawing.fetch(c, source, ended.is_set))
        except Failure as failure:
            if self._source == source:
                self.query_one("#preview", LineView).show([[(visible(failure.message), "warning")]])
            return
        finally:
            ended.set()
        if picture is None or self._source != source:
            return
        self._pictures[source] = picture
        for old in list(self._pictures)[:-_PICTURES]:
            del self._pictures[old]
        self.query_one(ContentSwitcher).current = "picture"
        await self.query_one("#picture", PictureView).show(picture, self._protocol)

    def _title(self, name: str, about: str) -> None:
        self.border_title, self.border_subtitle = Content(visible(name)), Content(visible(about))  # no markup
