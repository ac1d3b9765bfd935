"""What the keys do, on a real API."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from backend.run.state import RunState
from khantui.render.text import width
from khantui.screens.ask import Confirm, Line, Pause, Trigger
from khantui.screens.editor import Editor
from khantui.screens.help import Help
from khantui.screens.pipelines import Pipelines
from khantui.screens.run import RunScreen
from khantui.screens.runs import Runs
from khantui.screens.schedules import Schedules
from khantui.screens.text import TextPage
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, stage

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)


async def say(pilot: Pilot[Any], command: str) -> None:
    await pilot.press("colon")
    for character in command:
        await pilot.press({" ": "space", "-": "minus", "=": "equals_sign", "~": "tilde"}.get(character, character))
    await pilot.press("enter")


def listed(app: Any) -> list[str]:
    """The pipelines of the runs that are listed."""
    return [run.pipeline for run in app.screen.rows.known()]


async def ready(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: pilot.app.screen.rows.loaded and pilot.app.overview.loaded)


async def test_the_runs_are_listed_newest_first(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        assert listed(app)[:3] == ["etl-daily", "weekly-learners", "regions"]
        await until(pilot, lambda: "1 failing" in shown(app))
        text = shown(app)
        assert "1 running" in text
        assert "by_region: exit 1" in text
        assert "monday-6" in text


async def test_a_failed_run_opens_on_its_first_error(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "attempt 2 of 2" in shown(app))
        screen = app.screen
        assert isinstance(screen, RunScreen)
        await until(pilot, lambda: screen.log_panel.view.at == 3)
        assert screen.stage is not None
        assert screen.stage.name == "by_region"
        text = shown(app)
        assert "▶ google.api_core.exceptions.BadRequest" in text
        assert "\x1b" not in text
        await pilot.press("p")
        await until(pilot, lambda: "the first try" in shown(app))
        await pilot.press("P")
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "retries what failed" in shown(app))
        await pilot.press("escape", "d")
        await until(pilot, lambda: "attempt 1" in shown(app) and "analytics" not in shown(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, Runs))


async def test_the_parts_of_a_run_on_a_small_terminal(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "graph · 4 of 4" in shown(app))
        assert "time ·" not in shown(app)
        await pilot.press("x")
        await until(pilot, lambda: "stages · 4 of 4" in shown(app))
        await pilot.press("x")
        await until(pilot, lambda: "time · 3m 10s" in shown(app))
        await pilot.press("x")
        await until(pilot, lambda: "graph ·" in shown(app))
        await pilot.press("tab")
        assert app.focused is not None
        assert app.focused.id == "log"


async def test_another_stage_shows_its_log(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        assert isinstance(screen, RunScreen)
        await until(pilot, lambda: screen.stage is not None)
        await pilot.press("left")
        await until(pilot, lambda: "log · clean · 2,000 lines" in shown(app))
        view = screen.log_panel.view
        await until(pilot, lambda: "line 2000" in shown(app))
        await pilot.press("enter", "1")
        await until(pilot, lambda: "  line 1 " in shown(app))
        await pilot.press("slash")
        await pilot.press(*"777", "enter")
        await until(pilot, lambda: view.at == 777)
        assert "line 776" in shown(app)  # what is around it stays
        await pilot.press("slash", *"line 19.0", "enter")
        await until(pilot, lambda: view.at == 1900)
        await pilot.press("n")
        await until(pilot, lambda: view.at == 1910)
        await pilot.press("N")
        await until(pilot, lambda: view.at == 1900)
        await pilot.press("ampersand")
        await until(pilot, lambda: "only 10 matching lines" in shown(app))
        await pilot.press("ampersand")
        await until(pilot, lambda: view.only is None)
        await pilot.press("f")
        await until(pilot, lambda: screen.maximized is not None and "graph ·" not in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: screen.maximized is None)
        await pilot.press("escape")
        assert view.pattern is None
        await pilot.press("t", "w", "J", "m", "0", "3")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await pilot.press("enter")
        from pathlib import Path

        name = f"{desk.failed[-6:]}-clean-1.log"
        await until(pilot, lambda: Path(name).exists() and Path(name).read_text().endswith("line 2000\n"))


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("state=failed", ["weekly-learners"]),
        ("pipeline~etl", ["etl-daily"]),
        ("!weekly !etl", ["regions"]),
        ("-l team=analytics state=failed", ["weekly-learners"]),
    ],
)
async def test_conditions_narrow_the_list(desk: Desk, typed: str, left: list[str]) -> None:
    app = desk.app(f"runs {typed}")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        assert [p for p in listed(app) if p != "x"] == left
        assert f"[{typed}]" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(listed(app)) == 6)


async def test_a_filter_is_typed_and_kept(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"region", "enter")
        await until(pilot, lambda: set(listed(app)) == {"regions", "weekly-learners"})
        await say(pilot, "pipelines")
        await until(pilot, lambda: isinstance(app.screen, Pipelines))
        await pilot.press("minus")
        await until(pilot, lambda: isinstance(app.screen, Runs))
        await pilot.press("ctrl+z")
        await until(pilot, lambda: app.screen.rows.loaded and listed(app) == ["weekly-learners"])


async def test_a_filter_that_makes_no_sense_says_so(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"colour", "equals_sign", *"red", "enter")
        await until(pilot, lambda: "no field 'colour'" in told(app))
        assert len(listed(app)) == 6


async def test_marks_and_a_bulk_question(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("space", "space", "space")
        await until(pilot, lambda: "3 marked" in shown(app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "Cancel etl-daily" in shown(app)  # the one of them that has not ended
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Runs))
        await pilot.press("escape")
        await until(pilot, lambda: "marked" not in shown(app))


async def test_wide_times_json_describe_copy_and_save(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot)
        await pilot.press("j", "ctrl+w", "ctrl+w", "T")
        await until(pilot, lambda: "ago" not in shown(app))
        await pilot.press("T", "y")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and '"pipeline": "weekly-learners"' in shown(app))
        await pilot.press("escape", "d")
        await until(pilot, lambda: "started by" in shown(app))
        await pilot.press("escape", "c")
        assert app.clipboard == desk.failed
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await pilot.press("enter")
        from pathlib import Path

        await until(pilot, lambda: len(Path("runs.csv").read_text().splitlines()) == 7)


async def test_help_is_searched_as_one_types(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help) and "sort by logical time" in shown(app))
        await pilot.press(*"cancel")
        await until(pilot, lambda: "sort by logical time" not in shown(app) and "cancel" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Runs))


async def test_commands_are_completed_and_wrong_ones_named(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("colon", *"sched")
        await until(pilot, lambda: "schedules" in shown(app))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, Schedules) and "monday-6" in shown(app))
        await say(pilot, "frobnicate")
        await until(pilot, lambda: "no command 'frobnicate'" in told(app))
        await say(pilot, "run weekly-learners")
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: isinstance(app.screen, Schedules))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_starting_a_pipeline_asks_for_its_parameters(desk: Desk) -> None:
    app = desk.app("pipelines")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "weekly-learners" in shown(app))
        await pilot.press("G", "t")
        await until(pilot, lambda: isinstance(app.screen, Trigger) and "region" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Pipelines))


async def test_pausing_a_schedule_asks_why_and_shows_it(desk: Desk) -> None:
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Pause))
        await pilot.press(*"holidays", "enter")
        await until(pilot, lambda: "paused by" in shown(app) and "holidays" in shown(app))
        await pilot.press("s")
        await until(pilot, lambda: "active" in shown(app))


async def test_read_only_changes_nothing_and_says_so(desk: Desk) -> None:
    app = desk.app(read_only=True)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        assert "read-only" in shown(app)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "nothing is changed from here" in told(app))
        await say(pilot, "readonly off")
        await until(pilot, lambda: not app.read_only)


async def test_the_form_says_what_is_wrong_beside_the_field(desk: Desk) -> None:
    app = desk.app("new")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Editor) and "nothing to find fault with" in shown(app))
        await pilot.press("tab", "end", "space", "exclamation_mark")
        await until(pilot, lambda: "my-pipeline !" in shown(app) and "✖ 1 error" in shown(app))
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: "it can be stored" in shown(app))
        await pilot.press("f3")
        await until(pilot, lambda: '"stages": {' in shown(app))
        await pilot.press("f3", "f5")
        await until(pilot, lambda: "a new stage: what is it written in?" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "stage-1" in shown(app) and "what it is written in" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: "the draft is kept" in told(app))


async def test_a_stage_can_be_written_in_an_image_that_was_registered(desk: Desk) -> None:
    image = {"container": "ghcr.io/example/dbt:1.9", "description": "dbt with [/b] [red]our[/] profiles"}
    desk.do(desk.ask("PUT", "/images/dbt", image))
    app = desk.app("new")
    try:
        async with app.run_test(size=WIDE) as pilot:
            await until(pilot, lambda: isinstance(app.screen, Editor) and "nothing to find fault with" in shown(app))
            await pilot.press("f5")
            await until(pilot, lambda: "dbt  dbt with [/b] [red]our[/] profiles" in shown(app))
            choices = app.screen.query_one(OptionList)
            choices.highlighted = choices.get_option_index("dbt")
            await pilot.press("enter")
            await until(pilot, lambda: "what it is written in" in shown(app))
            await until(pilot, lambda: "dbt · dbt with [/b] [red]our[/] profiles" in shown(app))
            assert "✖ 1 error" in shown(app)  # that it has no script; the image is known
            await pilot.press("f3")
            await until(pilot, lambda: '"image": "dbt"' in shown(app))
    finally:
        desk.do(desk.ask("DELETE", "/images/dbt"))


async def test_themes(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot)
        for name in ("light", "contrast", "dark", "nord"):
            await say(pilot, f"theme {name}")
            await until(pilot, lambda name=name: app.theme.endswith(name))  # type: ignore[misc]
            assert "weekly-learners" in shown(app)
    assert desk.app().theme == "nord"  # it is remembered


async def test_the_palette_finds_what_can_be_done_and_gone_to(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: app.overview.loaded)
        await pilot.press("j", "ctrl+p")
        await until(pilot, lambda: "failed only  ^z" in shown(app) and "retry  r" in shown(app))
        await pilot.press(*"schedmond")
        await until(pilot, lambda: "schedule monday-6" in shown(app) and "every Monday" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Runs))
        await pilot.press("ctrl+p", *"grid", "space", *"weekly")
        await until(pilot, lambda: "runs and stages" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "4 stages × 4 runs" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Runs))
        await pilot.press("ctrl+p", *"descri")
        await until(pilot, lambda: "describe" in shown(app))
        await pilot.press("enter")  # an action of the screen below, on its cursor
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "started by" in shown(app))


@pytest.mark.parametrize("size", [NARROW, (200, 60)])
async def test_pulse_tells_what_matters_now(desk: Desk, size: tuple[int, int]) -> None:
    app = desk.app("pulse")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "Failing now" in shown(app) and "by_region: exit 1" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_a_pipeline_and_its_versions(desk: Desk) -> None:
    app = desk.app("pipeline weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "4 stages in 3 levels" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: '"name": "weekly-learners"' in shown(app))
        await pilot.press("5")
        await until(pilot, lambda: "monday-6" in shown(app))


async def test_a_failed_run_against_the_last_good_one(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("equals_sign")
        await until(pilot, lambda: "the last good one" in shown(app) and "2m 52s" in shown(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await say(pilot, "runs pipeline=etl-daily")
        await until(pilot, lambda: isinstance(app.screen, Runs) and listed(app) == ["etl-daily"])
        await pilot.press("equals_sign")
        await until(pilot, lambda: "no run of etl-daily before this one has succeeded" in told(app))


async def test_the_mouse_chooses_opens_and_sorts(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        table = app.screen.table
        await pilot.click(table, offset=(10, 2))
        await until(pilot, lambda: table.cursor == 1)
        title = shown(app).split("\n")[1].index("PIPELINE")
        await pilot.click(table, offset=(title + 1, 0))
        await until(pilot, lambda: "PIPELINE↑" in shown(app))
        await pilot.click(table, offset=(10, 1))
        await pilot.click(table, offset=(10, 1))
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_copies_go_to_the_terminals_clipboard(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        written: list[str] = []
        assert app._driver is not None
        app._driver.write = written.append  # type: ignore[method-assign, assignment]
        await pilot.press("j", "c")
        await until(pilot, lambda: app.clipboard == desk.failed)
        from base64 import b64encode

        assert f"\x1b]52;c;{b64encode(desk.failed.encode()).decode()}\a" in written


HOSTILE = "[red]x[/] \x1b[2J\u202egnp 漢字 \x07"


async def test_hostile_words_of_documents_paint_nothing_outside_their_place(tmp_path_factory: Any) -> None:
    desk = Desk(tmp_path_factory.mktemp("hostile"))
    desk.start()
    try:
        desk.do(
            desk.put(
                "evil", description=HOSTILE, owner=HOSTILE, labels={"team": "[b]bold"},
                environment={"SAID": HOSTILE}, outputs={"table": {}},
                stages={"load": {"script": f"echo '{HOSTILE}'", "outputs": ["table"]}},
            )
        )  # fmt: skip
        run = desk.do(desk.run_of("evil", RunState.FAILED, 5, 9.0, [stage("load", "succeeded", 5, 3)], message=HOSTILE))
        body = {"pipeline": "evil", "kind": "cron", "cron": ["0 6 * * *"]}
        desk.do(desk.ask("PUT", "/schedules/s", body))
        desk.do(desk.ask("POST", "/schedules/s/pause", {"reason": HOSTILE}))
        desk.do(desk.write_artifacts(run, "load", {"table": HOSTILE.encode()}))
        for command, keys in (
            ("runs", ["d"]), ("run evil", ["d"]), ("pipelines", []), ("pipeline evil", ["2"]), ("schedules", ["e"]),
            ("pulse", []), ("grid evil", []), ("artifacts evil", ["v"]), ("edit evil", ["f3"]), ("runs", ["ctrl+p"]),
        ):  # fmt: skip
            app = desk.app(command)
            async with app.run_test(size=(110, 35)) as pilot:
                await until(pilot, lambda: "1 failing" in shown(app))  # noqa: B023
                for each in keys:
                    await pilot.press(each)
                await until(pilot, lambda: not any(w.is_running for w in app.workers if w.group != "log"))  # noqa: B023
                await pilot.pause()
                text = shown(app)
                assert not set(text) & set("\x1b\x07\u202e"), command
                assert {width(line) for line in text.split("\n")} == {110}, command
    finally:
        desk.stop()
