"""What all full screens have in common: the heading, the prompt, the keys that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple, cast

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Input, Static, TextArea

from backend.api.wire import EventView
from khantui.render.moments import ago
from khantui.render.text import visible
from khantui.screens.host import Host
from khantui.screens.rights import Guarded
from khantui.widgets.heading import Heading
from khantui.widgets.prompt import Kind, Prompt

# commands that are followed by a pipeline's name, or may be
_NAMING = frozenset(
    ("run", "log", "search", "why", "describe", "artifacts", "pipeline", "grid", "trigger", "edit", "backfill")
)


# actions that every screen has
_EVERYWHERE = frozenset(
    ("prompt('command')", "prompt('filter')", "help", "back", "leave", "step(-1)", "step(1)", "refresh")
)
# actions of the tab key, which has priority where a screen has parts
_STEPS = frozenset(("other", "step_part"))


class Key(NamedTuple):
    """What some keys do: the action of a node. `refused` is why it is not to be had."""

    keys: tuple[str, ...]  # as they are written
    what: str
    action: str
    node: DOMNode
    refused: str
    group: int


class View(Guarded, Screen[None]):
    """A full screen. `command` is how one gets here again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # with priority: what is typed right behind it must reach the prompt, not what had the keys before
        Binding("colon", "prompt('command')", "command", show=False, priority=True),
        Binding("slash", "prompt('filter')", "filter", priority=True),
        Binding("question_mark", "help", "help"),
        Binding("escape", "back", "back", show=False),
        Binding("q", "leave", "quit or back", show=False),
        Binding("minus", "step(-1)", "last view", show=False),
        Binding("left_square_bracket", "step(-1)", "older view", show=False),
        Binding("right_square_bracket", "step(1)", "newer view", show=False),
        Binding("ctrl+r", "refresh", "refresh", show=False),
    ]
    AUTO_FOCUS = ""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command
        self._mounted_once = False

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    def compose(self) -> ComposeResult:
        yield Heading()
        yield Static("", id="chips", markup=False)
        yield from self.body()
        yield Prompt(self.completions)
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> Iterable[Widget]:
        """What is between the heading and the prompt."""
        return ()

    def on_mount(self) -> None:
        self._unlisten = self.host.link.listen(self._heard)
        self._unwatch = self.host.link.watch(self.show_heading)
        self.set_interval(1.0, self.tick)
        self.show_heading()

    def on_screen_resume(self) -> None:
        if self._mounted_once:
            self.overview_changed()
        self._mounted_once = True

    def on_unmount(self) -> None:
        self._unlisten()
        self._unwatch()

    # the heading

    def place(self) -> list[tuple[str, str]]:
        """Where one is, in pieces."""
        return []

    def show_heading(self) -> None:
        """Draw the first line."""
        if not self.is_attached:
            return
        host, link = self.host, self.host.link
        named = [(f"{visible(host.context)} ", "warning")] if host.context else []
        left = [("khantui ", "title"), *named, *self.place()]
        right: list[tuple[str, str]] = []
        if host.overview.loaded:
            if failing := len(host.overview.failing()):
                right.append((f"✖ {failing} failing  ", "failed"))
            if running := host.overview.running():
                right.append((f"● {running} running  ", "running"))
            firing = host.overview.next_firing(host.moment)
            if firing is not None and self.size.width >= 100:
                right.append((f"next {visible(firing[1].name)} {ago(firing[0], host.moment)}  ", "faint"))
        if host.trouble and link.state == "live":
            right.append((f"✖ {visible(host.trouble)}  ", "failed"))
        if host.read_only:
            right.append(("read-only  ", "warning"))
        right.append(
            ("⟲ live ", "succeeded")
            if link.state == "live"
            else ("… connecting ", "faint")
            if link.state == "connecting"
            else (f"✖ away for {int(link.silent_for)}s ", "failed")
        )
        self.query_one(Heading).show(left, right)

    def chips(self, items: Sequence[str]) -> None:
        """Show what narrows the view; nothing takes no line."""
        chips = self.query_one("#chips", Static)
        chips.update(" " + "  ".join(f"[{visible(item)}]" for item in items))
        chips.display = bool(items)

    # what happens

    def _heard(self, events: Sequence[EventView]) -> None:
        if self.is_attached:
            self.hear(events)

    def hear(self, events: Sequence[EventView]) -> None:
        """Something has changed."""

    def overview_changed(self) -> None:
        """Pipelines, schedules or what runs have changed."""
        self.show_heading()

    def tick(self) -> None:
        """A second has passed."""
        self.show_heading()

    # keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "prompt" and isinstance(self.focused, (Input, TextArea)):
            return False
        if action in _STEPS and isinstance(self.focused, Prompt):
            return False  # the prompt has the tab key: it takes the ghost text
        return super().check_action(action, parameters)

    def action_prompt(self, kind: Kind) -> None:
        """Ask for a command or a filter."""
        self.query_one(Prompt).open(kind, self.prompted(kind))

    def prompted(self, kind: Kind) -> str:
        """What stands in the prompt when it opens."""
        return ""

    def completions(self, kind: Kind, text: str) -> Iterable[str]:
        """What the prompt may be about to say."""
        if kind != "command":
            return ()
        word, space, _ = text.partition(" ")
        if not space:
            return self.host.commands
        if word in _NAMING:
            return (f"{word} {name}" for name in self.host.overview.pipelines)
        if word == "theme":
            return (f"theme {name}" for name in self.app.available_themes)
        return ()

    def on_prompt_said(self, message: Prompt.Said) -> None:
        message.stop()
        self.focus_body()
        if message.kind == "command":
            if message.text.strip():
                self.host.go(message.text.strip())
        else:
            self.said(message.kind, message.text.strip())

    def on_prompt_left(self, message: Prompt.Left) -> None:
        message.stop()
        self.focus_body()

    def said(self, kind: Kind, text: str) -> None:
        """A filter or a search was typed."""

    def focus_body(self) -> None:
        """Give the keys back to what the screen is about."""

    def action_back(self) -> None:
        """To the screen below, if there is one."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def action_leave(self) -> None:
        """Back, or out."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            self.app.exit(0)

    def action_step(self, by: int) -> None:
        """Through the history."""
        self.host.step(by)

    def action_refresh(self) -> None:
        """Ask for everything again."""

    def action_help(self) -> None:
        """Which keys do what here."""
        from khantui.screens.help import Help

        keys = [(" ".join(key.keys), key.what + (f" · {key.refused}" if key.refused else "")) for key in self.keys()]
        self.app.push_screen(Help(keys, self.command.split(" ")[0]))

    def keys(self) -> list[Key]:
        """What keys do here: what this screen is for at first, then what is everywhere, moving about last."""
        taken: set[str] = set()
        found: dict[tuple[int, str], Key] = {}
        nodes = self.focused.ancestors_with_self if self.focused is not None else [self]
        for node in nodes:
            for key, bindings in () if isinstance(node, App) else node._bindings.key_to_bindings.items():
                for binding in bindings:
                    if key in taken or not (binding.description[:1].islower() or binding.description[:4] == "JSON"):
                        continue
                    taken.add(key)
                    place, shown = (id(node), binding.action), self.app.get_key_display(binding)
                    known = found.get(place)
                    if known is not None:
                        found[place] = known._replace(keys=(*known.keys, shown))
                        continue
                    group = 2 if not isinstance(node, (View, Guarded)) else 1 if binding.action in _EVERYWHERE else 0
                    refused = self.host.refusal(binding.action.partition("(")[0])
                    found[place] = Key((shown,), binding.description, binding.action, node, refused, group)
        return sorted(found.values(), key=lambda key: key.group)
