"""Writing a pipeline: a guided form or its JSON, looked over at each key, and shown as a diff before it is stored."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import ContentSwitcher, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from backend.api.wire import ApplyPipeline, ImageView, ScheduleView
from backend.spec.finding import Severity
from backend.spec.lint import Surroundings
from khantui.errors import Failure
from khantui.render.difference import unified
from khantui.render.plan import plan_lines
from khantui.render.text import visible
from khantui.screens.ask import Choice, Confirm
from khantui.screens.compare import Compare
from khantui.screens.host import title
from khantui.screens.view import View
from khantui.state import drafts, lineage
from khantui.state.draft import Draft
from khantui.state.form import STARTS, Known, answer, parts, questions
from khantui.state.timing import Timing
from khantui.widgets.field import Asked, Field
from khantui.widgets.paint import Palette

_QUIET = 0.25  # seconds without a key, after which the draft is kept on disk
_ADD = "+"
_MOST_READ = 300  # pipelines whose outputs are offered


class Parts(OptionList):
    """The parts of the form, with the keys of every list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
    ]


class Editor(View):
    """One document. Nothing is lost: each change is kept on disk until it is stored or thrown away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "apply", "check and store", priority=True),
        Binding("f3", "text", "form/JSON", priority=True),
        Binding("f4", "external", "$EDITOR", priority=True),
        Binding("f5", "add", "new stage", priority=True),
        Binding("f6", "remove", "remove stage", priority=True),
        Binding("f8", "discard", "throw away", priority=True),
        Binding("slash", "nothing", show=False),
        Binding("ctrl+l", "findings", "findings", show=False),
    ]

    def __init__(self, command: str, name: str, *, new: bool = False) -> None:
        super().__init__(command)
        self._pipeline = name
        self._new = new
        self._base = 0
        self._stored = ""
        self._bundle = ""
        self._cron = self._was_cron = ""
        self._zone = "UTC"
        self._scheduled: ScheduleView | None = None
        self._part = "pipeline"
        self._images: list[ImageView] = []
        self._known = Known()
        self._around = Surroundings()
        self._kept_at = 0
        self._begun = new  # what is stored is here
        self.draft = Draft.new(name)

    def about(self) -> str:
        return "" if self._new else self._pipeline

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="editor"):
            with Vertical(id="outline", classes="panel"):
                yield Parts(id="parts", compact=True)
            with ContentSwitcher(initial="form", id="mode", classes="panel"):
                yield VerticalScroll(id="form", can_focus=False)
                yield TextArea(id="json", compact=True, tab_behavior="focus", show_line_numbers=True)
            with VerticalScroll(id="lint", classes="panel"):
                yield Static(id="said", markup=False)

    def on_mount(self) -> None:
        self.query_one("#outline").border_title = "parts"
        self.query_one("#lint").border_title = "check"
        self.query_one("#parts").focus()
        self.begin()

    def place(self) -> list[tuple[str, str]]:
        if not self._begun:
            return [(f" edit {visible(self._pipeline)} …", "faint")]
        errors = self.draft.errors
        how = ("✔ it can be stored", "succeeded")
        if errors:
            how = (f"✖ {errors} error{'s' if errors != 1 else ''}", "failed")
        what = "new pipeline" if self._new else f"from v{self._base}"
        return [(f" edit {visible(self._pipeline)}  ", "strong"), how, (f"  {what}", "faint")]

    # beginning

    @work(group="begin", exclusive=True)
    async def begin(self) -> None:
        """Fetch the document and what can be picked; take up a draft that was left."""
        ask, name = self.host.link.ask, self._pipeline
        try:
            images = await ask(lambda c: c.images())
            known = {view.name: view.image() for view in images}
            missing = {view.name: view.reason for view in images if not view.available}
            if not self._new:
                view = await ask(lambda c: c.pipeline(name))
                version = await ask(lambda c: c.version(name, view.version))
                self._base, self._bundle = view.version, version.bundle
                self._stored = version.document if isinstance(version.document, str) else ""
                code = version.code if isinstance(version.code, dict) else {}
                self._around = Surroundings(images=known, code=code, missing=missing)
                self.draft = Draft(self._stored, self._around)
                self._read_schedule()
            else:
                self._around = Surroundings(images=known, missing=missing)
                self.draft = Draft.new(name, self._around)
        except Failure as failure:
            self.host.say(failure)
            if not self._new:
                return
            images = []
        self._begun = True
        self._images = images
        self._known = Known(
            [(f"{i.name} · {i.description}" + ("" if i.available else " (not here)"), i.name) for i in images], ()
        )
        left = drafts.kept(name)
        if left is not None and left.text != self._stored:
            said = "it was kept when the editor was left" + (
                f"; it began with v{left.base}, now there is v{self._base}" if left.base != self._base else ""
            )
            asked = Confirm(f"Go on with the draft of {name}?", said, yes="go on with it", local=True)
            if await self.app.push_screen_wait(asked):
                self.draft.put_text(left.text)
            else:
                drafts.drop(name)
        self.show_all()
        self._learn()

    @work(group="learn", exclusive=True)
    async def _learn(self) -> None:
        """Ask which outputs other pipelines have, so that they can be picked."""
        found: list[str] = []
        for other in sorted(self.host.overview.pipelines.values(), key=lambda p: p.name)[:_MOST_READ]:
            if other.name == self._pipeline:
                continue
            try:
                version = await self.host.link.ask(lambda c, p=other: c.version(p.name, p.version))  # type: ignore[misc]
            except Failure:
                continue  # it has gone, or the daemon has: they can be typed
            outputs = lineage.parse(version.document).get("outputs")
            found += [f"{other.name}/{name}" for name in (outputs if isinstance(outputs, dict) else ())]
        self._known = self._known._replace(outputs=found)
        if self._part == "inputs" and self.query_one("#mode", ContentSwitcher).current == "form":
            self._show_form()

    def _read_schedule(self) -> None:
        schedule = self._scheduled = self.host.overview.schedules.get(self._pipeline)
        if schedule is not None and schedule.kind == "cron" and len(schedule.cron) == 1:
            self._cron = self._was_cron = schedule.cron[0]
            self._zone = schedule.zone

    # drawing

    def show_all(self) -> None:
        """Draw everything anew."""
        self._show_parts()
        self._show_form()
        area = self.query_one("#json", TextArea)
        if area.text != self.draft.text:
            area.load_text(self.draft.text)
        self.looked_over()

    def _show_parts(self) -> None:
        outline = self.query_one("#parts", OptionList)
        outline.clear_options()
        for key, called in parts(self.draft):
            bad = self._wrong_in(key)
            text = Text(f"{'✖ ' if bad else '  '}{visible(called)}")
            outline.add_option(Option(text, id=key))
        outline.add_option(Option("  + new stage F5", id=_ADD))
        keys = [key for key, _ in parts(self.draft)]
        if self._part not in keys:
            self._part = "pipeline"
        outline.highlighted = keys.index(self._part)

    def _wrong_in(self, part: str) -> bool:
        paths = {"pipeline": ("name", "description", "owner", "labels"), "when": (), part: (part,)}[part]
        found = [f for key in paths for f in self.draft.findings((key,))]
        if part.startswith("stage:"):
            found = self.draft.findings(("stages", part.removeprefix("stage:")))
        return any(f.severity is Severity.ERROR for f in found)

    @work(group="form", exclusive=True)
    async def _show_form(self) -> None:
        form = self.query_one("#form", VerticalScroll)
        await form.remove_children()
        asked = questions(self.draft, self._part, self._known, self._cron, self._zone, new=self._new)
        fields = [
            Field(Asked(q.key, q.label, q.kind, q.value, q.choices, q.hint, q.rows))  # type: ignore[arg-type]
            for q in asked
        ]
        await form.mount_all(fields)
        form.border_title = title(dict(parts(self.draft)).get(self._part, ""))
        self.looked_over()

    def looked_over(self) -> None:
        """Show what lint says: beside each field, and as a whole."""
        asked = questions(self.draft, self._part, self._known, self._cron, self._zone, new=self._new)
        paths = {q.key: q.path for q in asked}
        for field in self.query(Field):
            path = paths.get(field.asked.key)
            found = self.draft.findings(path) if path else []
            if field.asked.key == "stage-name":
                found = [f for f in found if f.path == "$" + "".join(f".{p}" for p in path or ())]
            said = "\n".join(f.message + (f" → {f.suggestion}" if f.suggestion else "") for f in found[:3])
            field.tell(said, "error" if any(f.severity is Severity.ERROR for f in found) else "warning")
        self.query_one("#said", Static).update(self._summary())
        self.show_heading()

    def _summary(self) -> Text:
        palette, text, draft = Palette(self.app), Text(), self.draft
        for finding in draft.report.findings[:40]:
            text.append(f"{finding.severity} ", palette.state(str(finding.severity)))
            text.append(f"{visible(finding.message)}\n", palette.plain)
            text.append(f"  {visible(finding.path)} · line {finding.line}", palette.faint)
            text.append(f" → {visible(finding.suggestion)}\n" if finding.suggestion else "\n", palette.faint)
        if not draft.report.findings:
            text.append("✔ nothing to find fault with\n", palette.state("succeeded"))
        summary = draft.report.summary()
        if summary is not None:
            text.append("\nwhat runs when\n", palette.strong)
            for line in plan_lines(summary):
                text.append(f"{line}\n", palette.plain)
        environment = draft.environment(self.host.moment)
        if environment:
            text.append("\nenvironment, if it ran now\n", palette.strong)
            for name, value, problem in environment:
                text.append(f"{visible(name)}=", palette.faint)
                text.append(f"{visible(problem or value)}\n", palette.state("failed" if problem else ""))
        return text

    # changing

    def on_field_edited(self, message: Field.Edited) -> None:
        message.stop()
        key, value = message.key, message.value
        if self._part == "when":
            self._answer_when(key, str(value))
        elif key == "stage-name":
            old = self._part.removeprefix("stage:")
            if self.draft.rename_stage(old, str(value).strip()):
                self._part = f"stage:{str(value).strip()}"
                self._show_parts()
        else:
            answer(self.draft, self._part, key, value, self._known)
            if key == "taken":  # what was picked can be renamed in the text below
                self._show_text("inputs")
        self._changed()

    def _show_text(self, key: str) -> None:
        """Show what a field holds now, where it was changed by another one."""
        asked = questions(self.draft, self._part, self._known, self._cron, self._zone, new=self._new)
        value = next(q.value for q in asked if q.key == key)
        for field in self.query(Field):
            if field.asked.key == key:
                field.put(str(value))

    def _answer_when(self, key: str, value: str) -> None:
        if key == "zone":
            self._zone = value.strip() or "UTC"
        else:
            self._cron = value.strip()
            if key == "times":
                for field in self.query(Field):
                    if field.asked.key == "cron":
                        from textual.widgets import Input

                        field.query_one(Input).value = self._cron

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if event.text_area.id == "json" and event.text_area.text != self.draft.text:
            self.draft.put_text(event.text_area.text)
            self._changed()

    def _changed(self) -> None:
        self.looked_over()
        self._kept_at += 1
        at = self._kept_at
        self.set_timer(_QUIET, lambda: self._keep() if at == self._kept_at else None)

    def _keep(self) -> None:
        name = self.draft.name if self._new and self.draft.name else self._pipeline
        try:
            drafts.keep(name, self.draft.text, self._base)
        except OSError as error:
            self.notify(f"the draft cannot be kept: {error}", severity="warning", markup=False)
        self._show_marks()

    def _show_marks(self) -> None:
        outline = self.query_one("#parts", OptionList)
        for key, called in parts(self.draft):
            if any(outline.get_option_at_index(i).id == key for i in range(outline.option_count)):
                mark = "✖ " if self._wrong_in(key) else "  "
                outline.replace_option_prompt(key, Text(f"{mark}{visible(called)}"))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        key = event.option.id or ""
        if key not in (_ADD, self._part):
            self._part = key
            self._show_form()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option.id == _ADD:
            self.action_add()
        else:
            self.screen.focus_next()  # the first field

    # keys

    @work(group="act")
    async def action_add(self) -> None:
        """A new stage, which begins with an example."""
        here = sorted(self._images, key=lambda i: (not i.available, i.name not in STARTS, i.name))
        choices = [(i.name, i.name, i.description + ("" if i.available else " (not here)")) for i in here]
        image = (
            await self.app.push_screen_wait(Choice("a new stage: what is it written in?", choices)) if here else "shell"
        )
        if image is None:
            return
        name = self.draft.add_stage(image, STARTS.get(image, ""))
        self._part = f"stage:{name}"
        self._changed()
        self.show_all()

    @work(group="act")
    async def action_remove(self) -> None:
        """Take the chosen stage away."""
        if not self._part.startswith("stage:"):
            self.notify("choose a stage first", markup=False)
            return
        name = self._part.removeprefix("stage:")
        if await self.app.push_screen_wait(Confirm(f"Remove the stage {name}?", yes="remove it", local=True)):
            self.draft.remove_stage(name)
            self._part = "pipeline"
            self._changed()
            self.show_all()

    def action_text(self) -> None:
        """The form, or the JSON itself."""
        mode = self.query_one("#mode", ContentSwitcher)
        if mode.current == "form":
            self.query_one("#json", TextArea).load_text(self.draft.text)
            mode.current = "json"
            self.query_one("#json").focus()
        else:
            mode.current = "form"
            self.show_all()
            self.query_one("#parts").focus()

    def action_findings(self) -> None:
        """To what lint says."""
        self.query_one("#lint").focus()

    def action_external(self) -> None:
        """Into $VISUAL or $EDITOR, with the JSON."""
        editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        with tempfile.TemporaryDirectory(prefix="khantui-") as folder:
            path = Path(folder) / "pipeline.json"
            path.write_text(self.draft.text)
            try:
                with self.app.suspend():
                    subprocess.run([*editor, str(path)], check=False)
            except SuspendNotSupported:
                self.notify("an editor cannot be opened here: F3 shows the JSON", severity="warning", markup=False)
                return
            except OSError as error:
                self.notify(f"{editor[0]}: {error.strerror} (set EDITOR)", severity="error", markup=False)
                return
            self.draft.put_text(path.read_text(errors="replace"))
        self._changed()
        self.show_all()

    @work(group="act")
    async def action_discard(self) -> None:
        """Throw the changes away."""
        if await self.app.push_screen_wait(Confirm("Throw away all changes?", yes="throw them away", local=True)):
            drafts.drop(self._pipeline)
            self.app.pop_screen()

    def action_back(self) -> None:
        """Leave; the draft is kept."""
        if not self.draft.same_as(self._stored):
            self._keep()
            self.notify("the draft is kept", markup=False)
        super().action_back()

    @work(group="apply", exclusive=True)
    async def action_apply(self) -> None:
        """Show what would change, ask, and store it."""
        draft = self.draft
        if draft.errors:
            first = next(f for f in draft.report.findings if f.severity is Severity.ERROR)
            self.notify(f"it cannot be stored: {first.message}", severity="error", markup=False)
            return
        self._keep()
        lines = []
        if not draft.same_as(self._stored):
            lines = unified(self._stored, draft.text, f"v{self._base}" if self._base else "nothing", "this draft")
        schedule = f"it runs: {self._cron} ({self._zone})" if self._cron != self._was_cron and self._cron else ""
        message = await self.app.push_screen_wait(Compare(f"store {draft.name}?", lines, schedule))
        if message is not None and await self._store(message):
            drafts.drop(self._pipeline)
            drafts.drop(draft.name)
            self.app.pop_screen()
            self.host.go(f"pipeline {draft.name}")

    async def _store(self, message: str) -> bool:
        """Store the document, then the schedule. What has been stored is not stored again when this is asked anew."""
        draft, host = self.draft, self.host
        try:
            if not draft.same_as(self._stored):
                version = await self._store_document(message)
                host.notify(f"{draft.name} is v{version} now", markup=False)
                self._stored, self._base = draft.text, version
            if self._cron != self._was_cron:
                await self._store_schedule(draft.name)
        except Failure as failure:
            if failure.exit_code == 3:
                host.notify(
                    f"it is not stored: {visible(failure.message)}\n→ the draft is kept on this machine: "
                    "ctrl-s again when the daemon is back",
                    severity="error",
                    timeout=15,
                    markup=False,
                )
            else:
                host.say(failure)
            return False
        return True

    async def _store_document(self, message: str) -> int:
        """Returns the version. Raises Failure."""
        draft, ask = self.draft, self.host.link.ask
        body = ApplyPipeline(draft.text, bundle=self._bundle, message=message, expect=self._base)
        try:
            return (await ask(lambda c: c.apply(body))).version
        except Failure as failure:
            if failure.code != "conflict":
                raise
            # it may be ours: stored when it was sent before, and the answer was lost on its way
            now = await ask(lambda c: c.pipeline(draft.name))
            current = await ask(lambda c: c.version(draft.name, now.version))
            if not (isinstance(current.document, str) and draft.same_as(current.document)):
                raise
            return current.version

    async def _store_schedule(self, name: str) -> None:
        """Raises Failure."""
        host, ask = self.host, self.host.link.ask
        if not self._cron:
            await ask(lambda c: c.delete_schedule(name))
        else:
            begun = Timing.of(self._scheduled) if self._scheduled is not None else Timing(name, name)
            body = replace(begun, kind="cron", cron=self._cron, zone=self._zone).body()
            made = await ask(lambda c: c.put_schedule(begun.name, body))
            host.notify(f"it runs {made.when}", markup=False)
        self._was_cron = self._cron
