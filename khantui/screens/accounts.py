"""Service accounts: what the stages of pipelines that name one may reach, and who may name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Label, Select

from backend.accounts.account import ClusterIdentity
from backend.api.wire_accounts import AccountView, PutAccount, SecretView
from khantui.errors import Misuse
from khantui.render.accounts import account_columns, declared, lines, still_used, used
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.asked import Asked
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from khantui.state.declared import network_of, network_text, pairs, pairs_text, secrets_of, secrets_text
from khantui.state.rows import ListRows

FIELDS = frozenset(("name", "network", "secret", "pipeline", "user", "missing"))
_TOKENS = [("no token of the API server", "no"), ("a token of the API server", "yes")]


class Accounts(Asked[AccountView]):
    """All service accounts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_account", "new"),
        Binding("e", "edit_account", "edit"),
        Binding("ctrl+d", "delete_account", "delete"),
        Binding("s", "secrets", "secrets"),
    ]
    TITLE_WORD = "Accounts"
    EMPTY = "there is no service account yet: n makes one"
    FAULTS = "missing=yes"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "ACCOUNT": lambda a: a.name,
        "PIPELINES": lambda a: -len(a.pipelines),
    }

    def make_rows(self) -> ListRows[AccountView]:
        return ListRows(subject=subject, fields=FIELDS)

    def columns(self) -> Sequence[Column[AccountView]]:
        return account_columns()

    def identify(self, item: AccountView) -> str:
        return item.name

    async def ask(self) -> Sequence[AccountView] | None:
        return await self.host.ask(lambda c: c.accounts())

    def action_secrets(self) -> None:
        """The secrets that accounts declare."""
        self.host.go("secrets")

    def action_open(self) -> None:
        """All that it declares, and which attempts were given its secrets."""
        if (account := self.table.current) is not None:
            self._tell(account)

    @work(group="open", exclusive=True)
    async def _tell(self, account: AccountView) -> None:
        secrets: list[SecretView] = []
        who = self.host.who
        if who is None or "get_secret" not in who.refused:
            there = dict.fromkeys(use.secret for use in account.secrets if use.secret not in account.missing)
            secrets = await self.host.ask(lambda c: [c.secret(name) for name in there]) or []
        facts = [*declared(account), *used(account.name, secrets)]
        self.app.push_screen(TextPage(f"service account {account.name}", lines(facts)))

    @work(group="act")
    async def action_new_account(self) -> None:
        """Ask what a new one declares."""
        if await self.host.push_screen_wait(AccountForm(None)) is not None:
            self.look()

    @work(group="act")
    async def action_edit_account(self) -> None:
        """Change what it declares."""
        account = self.table.current
        if account is not None and await self.host.push_screen_wait(AccountForm(account)) is not None:
            self.look()

    @work(group="act")
    async def action_delete_account(self) -> None:
        """Delete what is marked, after a question that says who still uses it."""
        names = self.table.chosen()
        if not names:
            return
        what = f"the service account {names[0]}" if len(names) == 1 else f"{len(names)} service accounts"
        said = [still_used(a) for a in self._found if a.name in names]
        gone = await acts.delete_each(
            self.host, "delete", what, "", names, lambda c, name: c.delete_account(name), said=said
        )
        if gone is not None:
            self.table.clear_marks()
            self.look()


class AccountForm(Storing[AccountView]):
    """All that an account declares, new or as it is."""

    def __init__(self, before: AccountView | None) -> None:
        super().__init__(f"service account {before.name}" if before else "a new service account")
        self._before = before

    def fields(self) -> ComposeResult:
        before = self._before
        if before is None:
            yield Label("name")
            yield Input(placeholder="analytics", id="name", compact=True)
        yield Label("what for")
        yield Input(before.description if before else "", placeholder="for people", id="description", compact=True)
        yield Label("network: none, all, or destinations with spaces between")
        hint = "api.example.org *.example.org:443 10.1.0.0/16:5432"
        yield Input(network_text(before.network) if before else "", placeholder=hint, id="network", compact=True)
        yield Label("secrets, each as a variable ($NAME), a file, or both")
        hint = "api-token=$API_TOKEN gcp-key=gcp.json,$GOOGLE_APPLICATION_CREDENTIALS"
        yield Input(secrets_text(before.secrets) if before else "", placeholder=hint, id="secrets", compact=True)
        yield Label("who may use it, besides administrators")
        hint = "group:analysts ann@example.org everyone"
        yield Input(" ".join(before.users) if before else "", placeholder=hint, id="users", compact=True)
        yield from self._cluster(before.kubernetes if before else ClusterIdentity())

    def _cluster(self, identity: ClusterIdentity) -> ComposeResult:
        yield Label("on Kubernetes: a ServiceAccount of the namespace")
        yield Input(identity.service_account, placeholder="empty: the default one", id="service-account", compact=True)
        yield Label("or annotations of one that Khantui makes")
        hint = "iam.gke.io/gcp-service-account=loader@project.iam.gserviceaccount.com"
        yield Input(pairs_text(identity.annotations), placeholder=hint, id="annotations", compact=True)
        yield Label("and its pods have")
        yield Select(_TOKENS, value="yes" if identity.token else "no", allow_blank=False, id="token", compact=True)

    async def stored(self) -> AccountView:
        name = self._before.name if self._before else self.text("name")
        if not name:
            raise Misuse("the service account needs a name")
        body = PutAccount(
            self.text("description"),
            network_of(self.text("network")),
            secrets_of(self.text("secrets")),
            ClusterIdentity(
                self.text("service-account"),
                pairs(self.text("annotations"), "annotation", "example.org/role=loader"),
                self.chosen("token") == "yes",
            ),
            tuple(self.text("users").split()),
        )
        view = await self.host.link.ask(lambda c: c.put_account(name, body))
        lacking = f"; there is no secret {', '.join(view.missing)} yet" if view.missing else ""
        said = visible(f"the service account {name} is stored: stages that start from now on have it{lacking}")
        self.host.notify(said, severity="warning" if lacking else "information", markup=False)
        return view


def subject(account: AccountView) -> dict[str, object]:
    """What the filter language can ask about an account."""
    return {
        "name": account.name,
        "network": " ".join(account.network) or "none",
        "secret": " ".join(use.secret for use in account.secrets),
        "pipeline": " ".join(account.pipelines),
        "user": " ".join(account.users),
        "missing": "yes" if account.missing else "no",
    }
