"""What a role may not do is refused by the daemon, and shown as disabled, with the reason, before anybody tries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.requests import Request

from backend.access.decide import Grant, grants_of
from backend.access.model import Binding, Given, Principal
from backend.api.identity import Identity, Login
from backend.api.operations import OPERATIONS, ROLES
from backend.store.access import AccessBook
from khantui.screens.ask import Confirm
from khantui.screens.help import Help
from khantui.screens.rights import OPERATIONS as ACTIONS
from khantui.screens.timing import ScheduleForm
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk
from tests.tui.test_keys import ready, say

pytestmark = pytest.mark.slow
WIDE = (130, 40)


class Roles:
    """Who the daemon takes its callers for."""

    role: Given = "viewer"
    more: Sequence[Binding] = ()  # that are not for all pipelines


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Roles]]:
    """A desk whose callers have a role that tests choose."""
    roles = Roles()
    patch = pytest.MonkeyPatch()

    def grants(self: AccessBook, who: Principal) -> tuple[Grant, ...]:
        return grants_of(who, [Binding(who.subject, roles.role), *roles.more])

    async def eve(self: Login, request: Request) -> Identity:
        return Identity(Principal("eve"), "unix")

    patch.setattr(Login, "identify", eve)
    patch.setattr(AccessBook, "grants", grants)
    desk = Desk(tmp_path_factory.mktemp("strict"))
    roles.role = "admin"
    desk.start()
    desk.do(desk.furnish())
    yield desk, roles
    desk.stop()
    patch.undo()


def test_every_change_is_for_some_role_and_every_action_names_an_operation() -> None:
    roles = {o.id: o.role for o in OPERATIONS}
    assert set(ACTIONS.values()) <= set(roles)
    assert all(ROLES.index(roles[operation]) > ROLES.index("viewer") for operation in ACTIONS.values())


async def test_the_daemon_refuses_what_the_role_may_not(strict: tuple[Desk, Roles]) -> None:
    desk, roles = strict
    roles.role = "operator"
    refused = desk.do(desk.ask("DELETE", "/schedules/monday-6", status=403)).json()
    assert "delete_schedule is for the role editor" in refused["title"]
    assert desk.do(desk.ask("GET", "/whoami")).json()["refused"]["put_schedule"] == "editor"
    desk.do(desk.ask("POST", "/schedules/monday-6/pause", {"reason": "x"}))
    desk.do(desk.ask("POST", "/schedules/monday-6/resume"))


async def test_a_viewer_sees_what_is_not_to_be_had_and_why(strict: tuple[Desk, Roles], tmp_path: Path) -> None:
    desk, roles = strict
    roles.role = "viewer"
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: app.who is not None)
        active = app.screen.active_bindings
        assert {key: active[key].enabled for key in ("r", "t", "ctrl+d", "w")} == {
            "r": False, "t": False, "ctrl+d": False, "w": True,
        }  # fmt: skip
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "not for the role viewer, which eve has here: operator may" in told(app))
        assert not isinstance(app.screen, Confirm)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help) and "retry · not for the role viewer" in shown(app))
        await pilot.press("escape")
        app.clear_notifications()
        await say(pilot, "trigger regions")  # a command is refused as a key is
        await until(pilot, lambda: "not for the role viewer" in told(app))


async def test_an_operator_runs_but_does_not_edit(strict: tuple[Desk, Roles]) -> None:
    desk, roles = strict
    roles.role = "operator"
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.who is not None and "monday-6" in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: "not for the role operator" in told(app) and "editor may" in told(app))
        assert not isinstance(app.screen, ScheduleForm)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Confirm))


async def test_what_is_allowed_differs_from_pipeline_to_pipeline(strict: tuple[Desk, Roles]) -> None:
    desk, roles = strict
    roles.role, roles.more = "viewer", [Binding("user:eve", "operator", labels={"team": "analytics"})]
    app = desk.app("pipelines")
    try:
        async with app.run_test(size=WIDE) as pilot:
            await until(pilot, lambda: app.who is not None and "weekly-learners" in shown(app))
            assert app.who is not None
            assert app.who.partly["start_run"] == "operator"
            for _ in range(5):
                if app.screen.about() == "regions":  # type: ignore[attr-defined]
                    break
                await pilot.press("j")
                await pilot.pause()
            await until(pilot, lambda: not app.screen.active_bindings["t"].enabled)
            await pilot.press("t")
            await until(pilot, lambda: "eve has the role viewer on regions: operator may" in told(app))
            await pilot.press("G")  # weekly-learners has the label
            await until(pilot, lambda: app.screen.active_bindings["t"].enabled)
            assert not app.screen.active_bindings["ctrl+d"].enabled  # it takes an editor, and she is none anywhere
            app.clear_notifications()
            await say(pilot, "trigger regions")
            await until(pilot, lambda: "operator may" in told(app))
    finally:
        roles.more = []


async def test_who_gives_no_roles_sees_what_they_may_do_themselves(strict: tuple[Desk, Roles]) -> None:
    desk, roles = strict
    roles.role = "viewer"
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.who is not None)
        await say(pilot, "access")
        await until(pilot, lambda: "viewer of all pipelines, as user:eve" in shown(app))
