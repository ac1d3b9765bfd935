"""Roles and tokens by keys: given, explained, taken away; made, shown once, revoked."""

from __future__ import annotations

import pytest

from backend.access.model import ROLES
from khantui.screens.access import Access, RoleForm, TokenForm, Tokens
from khantui.screens.ask import Confirm
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from tests.tui.conftest import fill, shown, told, until
from tests.tui.desk import Desk
from tests.tui.test_keys import say
from tests.tui.trial import tried, tries

pytestmark = pytest.mark.slow
WIDE = (130, 40)


def test_the_form_offers_the_roles_that_there_are() -> None:
    from khantui.cli.auth import ROLES as OFFERED
    from khantui.screens.access import ROLES as SHOWN

    assert OFFERED == SHOWN == ROLES[1:]


@tries({Access: "n w ctrl+d", Storing: "escape ctrl+s"})
async def test_a_role_is_given_explained_and_taken_away(desk: Desk) -> None:
    app = desk.app("access")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "no role is given yet" in shown(app))
        await tried(pilot, "n", lambda: isinstance(app.screen, RoleForm))
        await tried(pilot, "escape", lambda: isinstance(app.screen, Access))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, RoleForm))
        await fill(pilot, subject="somebody")
        await pilot.press("enter")
        await until(pilot, lambda: "is nobody that a role can be given to" in shown(app))
        await fill(pilot, subject="Ann@example.org", pipelines="week*", labels="analytics")
        await pilot.press("enter")
        await until(pilot, lambda: "'analytics' is no label" in shown(app))
        await fill(pilot, labels="team=analytics")
        await tried(pilot, "ctrl+s", lambda: isinstance(app.screen, Access) and "user:ann@example.org" in shown(app))
        assert "operator" in shown(app)
        assert "week* team=analytics" in shown(app)
        (bound,) = desk.do(desk.ask("GET", "/auth/bindings")).json()["items"]
        assert (bound["role"], bound["labels"]) == ("operator", {"team": "analytics"})
        await tried(pilot, "w", lambda: isinstance(app.screen, TextPage) and f"binding {bound['id']}" in shown(app))
        assert "operator of pipelines week* with team=analytics" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Access))
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm))
        assert "Take the role operator from user:ann@example.org?" in shown(app)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, Access) and "no role is given yet" in shown(app))
    assert desk.do(desk.ask("GET", "/auth/bindings")).json()["items"] == []


@tries({Access: "t", Tokens: "n ctrl+d", Storing: "f2"})
@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_a_token_is_made_shown_once_and_revoked(desk: Desk, size: tuple[int, int]) -> None:
    app = desk.app("access")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Access))
        await tried(pilot, "t", lambda: isinstance(app.screen, Tokens) and "there is no token yet" in shown(app))
        await tried(pilot, "n", lambda: isinstance(app.screen, TokenForm))
        await fill(pilot, name="ci", expires="soon")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query_one("#wrong").display)
        await fill(pilot, expires="30d")
        await tried(pilot, "f2", lambda: isinstance(app.screen, TextPage) and "khan_" in shown(app))
        await pilot.press("c")
        await until(pilot, lambda: "copied" in told(app))
        assert app.clipboard.startswith("khan_")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Tokens) and "operator" in shown(app))
        assert "khan_" not in shown(app)
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "there is no token yet" in shown(app))


async def test_the_screen_can_be_gone_to(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.overview.loaded)
        await say(pilot, "access")
        await until(pilot, lambda: isinstance(app.screen, Access))
