"""Who may do what: roles that are given, and the tokens of machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Label, Select

from backend.api.wire import Bind, BindingView, CreateToken, TokenMade, TokenView
from khantui.render.access import binding_columns, explain_lines, token_columns, where
from khantui.render.table import Column
from khantui.screens import acts
from khantui.screens.ask import Confirm
from khantui.screens.asked import Asked
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from khantui.state.declared import pairs
from khantui.state.rows import ListRows
from khantui.state.when import seconds_of

T = TypeVar("T")
FIELDS = frozenset(("subject", "role", "pipelines", "by"))
ROLES = ("viewer", "operator", "editor", "admin")


class Access(Asked[BindingView]):
    """All roles that are given."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "open", "what they may, and why"),
        Binding("n", "new_binding", "give a role"),
        Binding("ctrl+d", "delete_binding", "take it away"),
        Binding("t", "tokens", "tokens"),
    ]
    TITLE_WORD = "Access"
    EMPTY = "no role is given yet: n gives one"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"SUBJECT": lambda b: b.subject, "ROLE": lambda b: b.role}

    def make_rows(self) -> ListRows[BindingView]:
        return ListRows(subject=_binding_subject, fields=FIELDS)

    def columns(self) -> Sequence[Column[BindingView]]:
        return binding_columns()

    def identify(self, item: BindingView) -> str:
        return item.id

    async def ask(self) -> Sequence[BindingView] | None:
        return await self.host.ask(lambda c: c.bindings())

    def action_tokens(self) -> None:
        """The tokens of machines."""
        self.host.go("tokens")

    def action_open(self) -> None:
        """What the one at the cursor may do, and by which bindings."""
        if (binding := self.table.current) is not None:
            self._explain(binding)

    @work(group="explain")
    async def _explain(self, binding: BindingView) -> None:
        kind, _, name = binding.subject.partition(":")
        if kind not in ("user", "token"):
            held = [b for b in self._found if b.subject == binding.subject]
            lines = [f"{b.role} of {where(b)}, binding {b.id}" for b in held]
            self.app.push_screen(TextPage(binding.subject, "\n".join(lines)))
            return
        found = await self.host.ask(lambda c: c.explain(user=f"{kind}:{name}"))
        if found is not None:
            self.app.push_screen(TextPage(binding.subject, "\n".join(explain_lines(found))))

    @work(group="act")
    async def action_new_binding(self) -> None:
        """Ask for whom, which and on what."""
        at = self.table.current
        if await self.host.push_screen_wait(RoleForm("give a role", at.subject if at is not None else "")):
            self.look()

    @work(group="act")
    async def action_delete_binding(self) -> None:
        """Take away what is marked, after a question."""
        names = set(self.table.chosen())
        chosen = [b for b in self._found if b.id in names and not b.fixed]
        if not chosen:
            if names:
                self.notify("the daemon's settings make it: see its --admin", severity="warning", markup=False)
            return
        one = chosen[0]
        what = f"the role {one.role} from {one.subject}" if len(chosen) == 1 else f"{len(chosen)} roles"
        lost = "\n".join(f"{b.subject} · {b.role} of {where(b)}" for b in chosen[:10])
        if await self.host.push_screen_wait(Confirm(f"Take {what}?", lost, yes="take it away")):
            for each in chosen:
                await self.host.done(lambda c, i=each.id: c.unbind(i))  # type: ignore[misc]
            self.table.clear_marks()
            self.look()


class Tokens(Asked[TokenView]):
    """All tokens of machines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_token", "new"),
        Binding("ctrl+d", "revoke_token", "revoke"),
    ]
    TITLE_WORD = "Tokens"
    EMPTY = "there is no token yet: n makes one"
    FAULTS = "expired=yes"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"TOKEN": lambda t: t.name, "ROLE": lambda t: t.role}

    def make_rows(self) -> ListRows[TokenView]:
        return ListRows(subject=_token_subject, fields=FIELDS | {"name", "expired"})

    def columns(self) -> Sequence[Column[TokenView]]:
        return token_columns()

    def identify(self, item: TokenView) -> str:
        return item.name

    async def ask(self) -> Sequence[TokenView] | None:
        return await self.host.ask(lambda c: c.tokens())

    @work(group="act")
    async def action_new_token(self) -> None:
        """Ask for a name and what it may do, and show it, this once."""
        made = await self.host.push_screen_wait(TokenForm("a new token"))
        if made is None:
            return
        self.look()
        self.app.push_screen(TextPage(f"the token {made.view.name}: it is not shown again", made.token))

    @work(group="act")
    async def action_revoke_token(self) -> None:
        """Revoke what is marked, after a question."""
        names = self.table.chosen()
        if not names:
            return
        what = f"the token {names[0]}" if len(names) == 1 else f"{len(names)} tokens"
        gone = await acts.delete_each(self.host, "revoke", what, "", names, lambda c, name: c.revoke_token(name))
        if gone is not None:
            self.table.clear_marks()
            self.look()


class AccessForm(Storing[T]):
    """A subject or a name, a role, and on what it is."""

    FIRST: tuple[str, str, str] = ("", "", "")  # label, id, what may stand there

    def __init__(self, head: str, first: str = "") -> None:
        super().__init__(head)
        self._first = first

    def fields(self) -> ComposeResult:
        label, name, hint = self.FIRST
        yield Label(label)
        yield Input(self._first, placeholder=hint, id=name, compact=True)
        yield Label("role")
        yield Select([(r, r) for r in ROLES], value="operator", allow_blank=False, id="role", compact=True)
        yield Label("pipelines of this name; empty: all")
        yield Input(placeholder="sales-*", id="pipelines", compact=True)
        yield Label("pipelines with these labels, with spaces between; empty: any")
        yield Input(placeholder="team=sales", id="labels", compact=True)

    @property
    def role(self) -> Any:
        """The role that was chosen."""
        return self.chosen("role")

    def labels(self) -> dict[str, str]:
        """The labels that were written. Raises Misuse."""
        return pairs(self.text("labels"), "label", "team=sales")


class RoleForm(AccessForm[BindingView]):
    """A role for somebody."""

    FIRST = ("to whom", "subject", "ann@example.org, group:analysts, user:unix:ann, token:ci, everyone")

    async def stored(self) -> BindingView:
        body = Bind(self.text("subject"), self.role, self.text("pipelines"), self.labels())
        made = await self.host.link.ask(lambda c: c.bind(body))
        self.host.notify(f"{made.subject} is {made.role} of {where(made)}", markup=False)
        return made


class TokenForm(AccessForm[TokenMade]):
    """A token for a machine."""

    FIRST = ("name", "name", "ci")

    def fields(self) -> ComposeResult:
        yield from super().fields()
        yield Label("it holds for; 366d at most")
        yield Input("90d", id="expires", compact=True)

    async def stored(self) -> TokenMade:
        seconds = seconds_of(self.text("expires"), "it holds for")
        body = CreateToken(self.text("name"), self.role, self.text("pipelines"), self.labels(), seconds)
        return await self.host.link.ask(lambda c: c.create_token(body))


def _binding_subject(binding: BindingView) -> dict[str, object]:
    """What the filter language can ask about a binding."""
    return {
        "subject": binding.subject,
        "role": binding.role,
        "pipelines": where(binding),
        "by": binding.created_by,
        **{f"label.{key}": value for key, value in binding.labels.items()},
    }


def _token_subject(token: TokenView) -> dict[str, object]:
    """What the filter language can ask about a token."""
    return {
        "name": token.name,
        "role": token.role,
        "pipelines": where(token),
        "by": token.created_by,
        "expired": "yes" if token.expired else "no",
        **{f"label.{key}": value for key, value in token.labels.items()},
    }
