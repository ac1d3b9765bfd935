"""Secrets: which accounts declare them, who was given them; their values are written here, and shown nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Label

from backend.api.wire_accounts import PutSecret, SecretView
from khantui.errors import Misuse
from khantui.render.accounts import about_secret, lines, secret_columns, still_used
from khantui.render.table import Column
from khantui.screens import acts
from khantui.screens.ask import Confirm
from khantui.screens.asked import Asked
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from khantui.state.rows import ListRows

FIELDS = frozenset(("name", "account", "used"))
_LARGEST = 64 << 10  # bytes of a value


class Secrets(Asked[SecretView]):
    """All secrets."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_secret", "new"),
        Binding("e", "rotate_secret", "new value"),
        Binding("ctrl+d", "delete_secret", "delete"),
        Binding("R", "rewrap_secrets", "new key around all"),
        Binding("a", "accounts", "accounts"),
    ]
    TITLE_WORD = "Secrets"
    EMPTY = "there is no secret yet: n makes one"
    FAULTS = "account=none"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"SECRET": lambda s: s.name, "CHANGED": lambda s: s.updated}

    def make_rows(self) -> ListRows[SecretView]:
        return ListRows(subject=subject, fields=FIELDS)

    def columns(self) -> Sequence[Column[SecretView]]:
        return secret_columns()

    def identify(self, item: SecretView) -> str:
        return item.name

    async def ask(self) -> Sequence[SecretView] | None:
        return await self.host.ask(lambda c: c.secrets())

    def action_accounts(self) -> None:
        """The accounts that declare them."""
        self.host.go("accounts")

    def action_open(self) -> None:
        """All about it but its value: which attempts were given it, the newest first."""
        if (secret := self.table.current) is not None:
            self._tell(secret)

    @work(group="open", exclusive=True)
    async def _tell(self, secret: SecretView) -> None:
        found = await self.host.ask(lambda c: c.secret(secret.name))
        if found is not None:
            self.app.push_screen(TextPage(f"secret {found.name}", lines(about_secret(found))))

    @work(group="act")
    async def action_new_secret(self) -> None:
        """Ask for a name and a value."""
        if await self.host.push_screen_wait(SecretForm(None)) is not None:
            self.look()

    @work(group="act")
    async def action_rotate_secret(self) -> None:
        """Give it another value."""
        secret = self.table.current
        if secret is not None and await self.host.push_screen_wait(SecretForm(secret)) is not None:
            self.look()

    @work(group="act")
    async def action_delete_secret(self) -> None:
        """Delete what is marked, after a question that says who still uses it."""
        names = self.table.chosen()
        if not names:
            return
        what = f"the secret {names[0]}" if len(names) == 1 else f"{len(names)} secrets"
        said = [still_used(s) for s in self._found if s.name in names]
        gone = await acts.delete_each(
            self.host, "delete", what, "", names, lambda c, name: c.delete_secret(name), said=said
        )
        if gone is not None:
            self.table.clear_marks()
            self.look()

    @work(group="act")
    async def action_rewrap_secrets(self) -> None:
        """Change the key that wraps all secrets, after a question."""
        said = "values stay as they are; a key file of yours (--secrets-key) needs its new key in the first line before"
        if await self.host.push_screen_wait(Confirm("Wrap all secrets with a new key?", said, yes="wrap them")):
            done = await self.host.ask(lambda c: c.rewrap_secrets())
            if done is not None:
                self.notify(f"{done.secrets} secrets are wrapped with the key {done.key}", markup=False)
                self.look()


class SecretForm(Storing[SecretView]):
    """A secret, new or with another value, which is typed unseen or read from a file."""

    def __init__(self, before: SecretView | None) -> None:
        super().__init__(f"a new value of {before.name}" if before else "a new secret")
        self._before = before

    def fields(self) -> ComposeResult:
        before = self._before
        if before is None:
            yield Label("name")
            yield Input(placeholder="api-token", id="name", compact=True)
        yield Label("value; it is not shown, now or later")
        yield Input(password=True, id="value", compact=True)
        if not self.app.is_web:  # a file of who serves it is not theirs who sit at the browser
            yield Label("or a file of this machine that holds it")
            yield Input(placeholder="key.json", id="file", compact=True)
        yield Label("what for")
        yield Input(before.description if before else "", placeholder="for people", id="description", compact=True)

    async def stored(self) -> SecretView:
        name = self._before.name if self._before else self.text("name")
        if not name:
            raise Misuse("the secret needs a name")
        body = PutSecret(self._value(), self.text("description"))
        view = await self.host.link.ask(lambda c: c.put_secret(name, body))
        lacking = "" if view.accounts else "; no service account declares it yet"
        self.host.notify(f"{name} has its value number {view.version}{lacking}", markup=False)
        return view

    def _value(self) -> bytes:
        """What was typed, or what the file holds, as it is. Raises Misuse."""
        typed, file = self.query_one("#value", Input).value, "" if self.app.is_web else self.text("file")
        if bool(typed) == bool(file):
            raise Misuse("a value or a file" if file else "the secret needs a value, or a file that holds it")
        if typed:
            return typed.encode()
        try:
            with Path(file).expanduser().open("rb") as found:
                return found.read(_LARGEST + 1)  # what is larger the daemon refuses
        except OSError as error:
            raise Misuse(f"{file} cannot be read: {error.strerror}") from None


def subject(secret: SecretView) -> dict[str, object]:
    """What the filter language can ask about a secret."""
    return {
        "name": secret.name,
        "account": " ".join(secret.accounts) or "none",
        "used": "yes" if secret.last_used else "no",
    }
