"""Service accounts and secrets by keys: made, looked into, changed, deleted after a question that says who uses them.

And the reasons that a daemon may demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backend.safeguards import Safeguards
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.secrets import Secret, Use
from khantui.screens.accounts import AccountForm, Accounts
from khantui.screens.ask import Confirm, Line
from khantui.screens.secrets import SecretForm, Secrets
from khantui.screens.text import TextPage
from tests.tui.conftest import fill, shown, told, until, write
from tests.tui.desk import NOW, SIMPLE, Desk
from tests.tui.test_keys import say
from tests.tui.trial import tried, tries

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)
VALUE = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def _empty(desk: Desk) -> Iterator[None]:
    """Whatever a test leaves is gone for the next."""
    yield
    desk.do(desk.put("regions", **SIMPLE))
    for account in desk.do(desk.ask("GET", "/accounts")).json()["items"]:
        desk.do(desk.ask("DELETE", f"/accounts/{account['name']}", status=204))
    for secret in desk.do(desk.ask("GET", "/secrets")).json()["items"]:
        desk.do(desk.ask("DELETE", f"/secrets/{secret['name']}", status=204))


def secret(desk: Desk, name: str) -> Secret:
    found = desk.do(desk.services.secrets.read(name))
    assert found is not None
    return found


def used(desk: Desk, name: str, account: str, stage: str, minutes: float) -> None:
    """Have an attempt been given a secret."""
    use = Use(NOW - timedelta(minutes=minutes), secret(desk, name).current.id, account, "regions")
    desk.do(desk.store.commit([], [Put(keys.used(name, desk.failed, stage, 1), encode(use))]))


@tries({Accounts: "n e s", Secrets: "a"})
async def test_an_account_is_made_looked_into_and_changed(desk: Desk) -> None:
    app = desk.app("accounts")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "there is no service account yet" in shown(app))
        await tried(pilot, "s", lambda: isinstance(app.screen, Secrets))
        await tried(pilot, "a", lambda: isinstance(app.screen, Accounts))
        await tried(pilot, "n", lambda: isinstance(app.screen, AccountForm))
        await fill(pilot, name="loader", network="a.org:443 10.1.0.0/16", secrets="api-token")
        await pilot.press("enter")
        await until(pilot, lambda: "'api-token' does not say how stages get it" in shown(app))
        await fill(pilot, secrets="api-token=$API_TOKEN", users="group:analysts", why="t 4711")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Accounts) and "loader" in shown(app))
        assert "there is no secret api-token yet" in told(app)
        (entry,) = [e for e in desk.do(desk.ask("GET", "/audit")).json()["items"] if e["target"] == "loader"]
        assert (entry["what"], entry["reason"]) == ("put_account", "t 4711")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "10.1.0.0/16" in shown(app))
        assert "api-token as $API_TOKEN  (there is no such secret)" in shown(app)
        assert "group:analysts" in shown(app)
        await pilot.press("escape")
        await tried(pilot, "e", lambda: isinstance(app.screen, AccountForm) and "api-token=$API_TOKEN" in shown(app))
        await fill(pilot, secrets="", annotations="a.org/r='b c'")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Accounts))
        view = desk.do(desk.ask("GET", "/accounts/loader")).json()
        assert view["network"] == ["a.org:443", "10.1.0.0/16"]  # what was not touched stays
        assert view["users"] == ["group:analysts"]
        assert view["secrets"] == []
        assert view["kubernetes"]["annotations"] == {"a.org/r": "b c"}


@tries({Accounts: "ctrl+d"})
async def test_an_account_is_deleted_after_a_question_that_says_who_uses_it(desk: Desk) -> None:
    desk.do(desk.ask("PUT", "/accounts/loader", {}))
    app = desk.app("accounts")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "loader" in shown(app))
        desk.do(desk.put("regions", **SIMPLE, service_account="loader"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.screen.rows.items[0].pipelines == ("regions",))
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm))
        assert "loader is still used by the pipeline regions, and so stays" in shown(app)
        await pilot.press("y")
        await until(pilot, lambda: "is used by regions" in told(app) and isinstance(app.screen, Accounts))
        desk.do(desk.put("regions", **SIMPLE))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.screen.rows.items[0].pipelines == ())
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "loader: nobody uses it" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "there is no service account yet" in shown(app))


@tries({Secrets: "n e ctrl+d R"})
async def test_a_secret_is_made_rotated_wrapped_and_deleted_and_never_shown(desk: Desk, tmp_path: Path) -> None:
    app = desk.app("secrets")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "there is no secret yet" in shown(app))
        await tried(pilot, "n", lambda: isinstance(app.screen, SecretForm))
        await fill(pilot, name="api-token")
        await pilot.press("enter")
        await until(pilot, lambda: "the secret needs a value" in shown(app))
        await fill(pilot, value=VALUE, description="the loader's")
        assert "hunter2" not in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Secrets) and "api-token" in shown(app))
        assert desk.services.secrets.open(secret(desk, "api-token")) == VALUE.encode()
        assert "no service account declares it yet" in told(app)
        used(desk, "api-token", "loader", "load", 3)
        body = {"secrets": [{"secret": "api-token", "env": "API_TOKEN"}]}
        desk.do(desk.ask("PUT", "/accounts/loader", body))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "as loader" in shown(app))
        assert f"2026-11-23 06:09:30  regions {desk.failed[-6:]} load as loader" in shown(app)
        await pilot.press("escape")
        await tried(pilot, "e", lambda: isinstance(app.screen, SecretForm) and "the loader's" in shown(app))
        (tmp_path / "key.json").write_bytes(b'{"a": "b"}\n')
        await fill(pilot, value="both", file=str(tmp_path / "key.json"))
        await pilot.press("enter")
        await until(pilot, lambda: "a value or a file" in shown(app))
        await fill(pilot, value="", file=str(tmp_path / "nothing"))
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be read" in shown(app))
        await fill(pilot, file=str(tmp_path / "key.json"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Secrets) and "its value number 2" in told(app))
        assert desk.services.secrets.open(secret(desk, "api-token")) == b'{"a": "b"}\n'
        key = desk.do(desk.ask("GET", "/secrets/api-token")).json()["key"]
        await tried(pilot, "R", lambda: isinstance(app.screen, Confirm) and "a new key" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "1 secrets are wrapped" in told(app))
        assert desk.do(desk.ask("GET", "/secrets/api-token")).json()["key"] != key
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm))
        assert "api-token is still used by the service account loader" in shown(app)
        await pilot.press("n")
        desk.do(desk.ask("DELETE", "/accounts/loader", status=204))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.screen.rows.items[0].accounts == ())
        await pilot.press("ctrl+d")
        await until(pilot, lambda: f"last 2026-11-23 06:09:30 regions {desk.failed[-6:]}" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "there is no secret yet" in shown(app))
        assert "hunter2" not in shown(app) + told(app)


async def test_the_account_tells_who_was_given_its_secrets(desk: Desk) -> None:
    desk.do(desk.ask("PUT", "/secrets/key", {"value": "aHVudGVyMmh1bnRlcjI="}))
    desk.do(desk.ask("PUT", "/accounts/loader", {"secrets": [{"secret": "key", "env": "KEY"}]}))
    used(desk, "key", "loader", "s3", 3)
    used(desk, "key", "another", "s2", 2)
    app = desk.app("accounts")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "loader" in shown(app))
        await say(pilot, "secrets")  # on the palette and by its command
        await until(pilot, lambda: isinstance(app.screen, Secrets) and "regions" in shown(app))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "given to" in shown(app))
        assert f"2026-11-23 06:09:30  key  regions {desk.failed[-6:]} s3" in shown(app)
        assert "s2" not in shown(app)


async def test_a_reason_that_the_daemon_demands_is_asked_for_and_holds_for_the_whole_act(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Safeguards, "needs_reason", lambda self, operation: operation == "delete_account")
    for name in ("one", "two"):
        desk.do(desk.ask("PUT", f"/accounts/{name}", {}))
    app = desk.app("accounts")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "one" in shown(app) and "two" in shown(app))
        accounts = app.screen
        await pilot.press("ctrl+d", "y")
        await until(pilot, lambda: isinstance(app.screen, Line) and "delete_account must say why" in shown(app))
        await pilot.press("escape")  # and nothing is done
        await until(pilot, lambda: app.screen is accounts and "must say why" in told(app))
        assert len(desk.do(desk.ask("GET", "/accounts")).json()["items"]) == 2
        await pilot.press("space", "space", "ctrl+d")
        await until(pilot, lambda: "Delete 2 service accounts?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await write(pilot, "spring cleaning")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is accounts and "there is no service account yet" in shown(app))
    gone = desk.do(desk.ask("GET", "/audit", what="delete_account")).json()["items"]
    said = {e["target"]: e["reason"] for e in gone if e["target"] in ("one", "two")}
    assert said == {"one": "spring cleaning", "two": "spring cleaning"}


async def test_what_is_said_for_the_session_is_the_reason_of_all_that_is_done(desk: Desk) -> None:
    app = desk.app("accounts", reason="ticket 4711")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "there is no service account yet" in shown(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, AccountForm))
        await fill(pilot, name="session")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Accounts) and "session" in shown(app))
    (entry,) = desk.do(desk.ask("GET", "/audit", what="put_account", target="session")).json()["items"]
    assert entry["reason"] == "ticket 4711"
