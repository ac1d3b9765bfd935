"""Whole runs, from the document to the published outputs, in real sandboxes."""

from __future__ import annotations

import asyncio

import pytest

from backend.run.state import Reason, RunState, StageState, Trigger
from tests.scenarios.world import World

pytestmark = pytest.mark.sandbox

S = StageState


async def test_stages_pass_files_and_folders_from_one_language_to_another(world: World) -> None:
    await world.apply(
        "shop",
        code={"total.py": "import os\nrows=open(os.environ['KHAN_INPUT_rows']).read().split()\n"
              "os.mkdir(os.environ['KHAN_OUTPUT_report'])\n"
              "open(os.environ['KHAN_OUTPUT_report']+'/sum','w').write(str(sum(map(int,rows))))\n"},
        environment={"N": "${parameters.n}"},
        parameters={"n": {"default": "3"}},
        intermediates={"rows": {}},
        outputs={"report": {}},
        stages={
            "make": {"script": 'seq "$N" > "$KHAN_OUTPUT_rows"', "outputs": ["rows"]},
            "total": {"image": "python", "run": ["python3", "total.py"], "inputs": ["rows"], "outputs": ["report"]},
        },
    )  # fmt: skip
    async with world.engine():
        run = await world.ended(await world.start("shop", n="4"))
    assert run.state is RunState.SUCCEEDED
    record = (await world.stages(run.id))["total"].outputs["report"]
    assert (record.kind, record.files) == ("folder", 1)
    assert (world.layout.root / record.location / "sum").read_text() == "10"


async def test_each_makes_instances_and_who_reads_gets_the_folder_of_all(world: World) -> None:
    await world.apply(
        "fan",
        intermediates={"part": {}},
        outputs={"all": {}},
        stages={
            "part": {
                "script": 'echo "$YEAR" > "$KHAN_OUTPUT_part"',
                "outputs": ["part"],
                "each": {"YEAR": ["2024", "2025", "2026"]},
            },
            "join": {"script": 'cat "$KHAN_INPUT_part"/* > "$KHAN_OUTPUT_all"', "inputs": ["part"], "outputs": ["all"]},
        },
    )
    async with world.engine():
        run = await world.ended(await world.start("fan"))
    stages = await world.stages(run.id)
    assert set(stages) == {"part.2024", "part.2025", "part.2026", "join"}
    assert (world.layout.root / stages["join"].outputs["all"].location).read_text() == "2024\n2025\n2026\n"


async def test_a_failure_skips_what_depends_on_it_and_nothing_else(world: World) -> None:
    await world.apply(
        "half",
        intermediates={"a": {}, "b": {}, "c": {}},
        stages={
            "a": {"script": "exit 3", "outputs": ["a"]},
            "b": {"script": 'cp "$KHAN_INPUT_a" "$KHAN_OUTPUT_b"', "inputs": ["a"], "outputs": ["b"]},
            "c": {"script": 'echo c > "$KHAN_OUTPUT_c"', "outputs": ["c"]},
        },
    )
    async with world.engine():
        run = await world.ended(await world.start("half"))
    stages = await world.stages(run.id)
    assert run.state is RunState.FAILED
    assert run.message == "a: exit 3"
    assert {n: r.state for n, r in stages.items()} == {"a": S.FAILED, "b": S.SKIPPED, "c": S.SUCCEEDED}
    assert stages["b"].message == "needs a, which failed"


async def test_a_stage_is_retried_until_it_succeeds(world: World) -> None:
    await world.apply(
        "flaky",
        environment={"ATTEMPT": "${run.attempt}"},
        stages={"pull": {"script": 'test "$ATTEMPT" = 3', "retries": {"limit": 3, "delay": "0s"}}},
    )
    async with world.engine():
        run = await world.ended(await world.start("flaky"))
    attempts = (await world.stages(run.id))["pull"].attempts
    assert run.state is RunState.SUCCEEDED
    assert [(a.number, a.exit_code) for a in attempts] == [(1, 1), (2, 1), (3, 0)]


async def test_a_missing_output_is_an_error_that_names_it(world: World) -> None:
    await world.apply("forgot", outputs={"report": {}}, stages={"a": {"script": "true", "outputs": ["report"]}})
    async with world.engine():
        run = await world.ended(await world.start("forgot"))
    attempt = (await world.stages(run.id))["a"].attempts[-1]
    assert attempt.reason is Reason.MISSING_OUTPUT
    assert "report" in attempt.message


async def test_cancelling_ends_every_process(world: World) -> None:
    await world.apply(
        "long",
        stages={"a": {"script": "trap '' TERM; (trap '' TERM; sleep 987654) & echo up; wait; sleep 987654"}},
    )
    async with world.engine():
        run_id = await world.start("long")
        await _log_says(world, run_id, "a", "up")
        await world.ask(run_id, "cancel")
        run = await world.ended(run_id)
    assert run.state is RunState.CANCELLED
    assert run.message == "cancelled by alice"
    found = await asyncio.create_subprocess_exec("pgrep", "-f", "sleep 987654")
    assert await found.wait() == 1


async def test_a_stage_that_takes_too_long_is_killed_and_says_so(world: World) -> None:
    await world.apply("slow", stages={"a": {"script": "sleep 60", "timeout": "1s"}})
    async with world.engine():
        run = await world.ended(await world.start("slow"))
    assert run.message == "a: killed: took longer than 1 s"


async def test_a_memory_limit_that_killed_says_so(world: World) -> None:
    await world.apply(
        "greedy",
        stages={
            "a": {
                "image": "python",
                "script": "x = bytearray(400 << 20)\nimport time\ntime.sleep(20)",
                "resources": {"memory": "64Mi"},
            }
        },
    )
    async with world.engine():
        run = await world.ended(await world.start("greedy"))
    assert run.message == "a: killed: memory limit 64 MiB"


async def test_retry_keeps_what_succeeded_and_the_version_it_started_with(world: World) -> None:
    stages = {
        "a": {"script": 'date +%N > "$KHAN_OUTPUT_a"', "outputs": ["a"]},
        "b": {"script": 'test "$ATTEMPT" = 2', "inputs": ["a"]},
    }
    await world.apply("again", environment={"ATTEMPT": "${run.attempt}"}, intermediates={"a": {}}, stages=stages)
    async with world.engine():
        run_id = await world.start("again")
        assert (await world.ended(run_id)).state is RunState.FAILED
        await world.apply("again", stages={"b": {"script": "exit 9"}})
        await world.ask(run_id, "retry")
        run = await world.until(run_id, lambda run, _: run.round == 2 and run.state.ended)
    records = await world.stages(run_id)
    assert (run.state, run.version) == (RunState.SUCCEEDED, 1)
    assert len(records["a"].attempts) == 1
    assert [a.exit_code for a in records["b"].attempts] == [1, 0]


async def test_retry_with_the_latest_version_keeps_what_is_unchanged(world: World) -> None:
    a = {"script": 'date +%N > "$KHAN_OUTPUT_a"', "outputs": ["a"]}
    b = {"script": "exit 1", "inputs": ["a"], "outputs": ["b"]}
    artifacts = {"intermediates": {"a": {}}, "outputs": {"b": {}}}
    await world.apply("fix", **artifacts, stages={"a": dict(a), "b": dict(b)})
    async with world.engine():
        old = await world.ended(await world.start("fix"))
        mended = {**b, "script": 'cp "$KHAN_INPUT_a" "$KHAN_OUTPUT_b"'}
        await world.apply("fix", **artifacts, stages={"a": dict(a), "b": mended})
        run = await world.ended(await world.start("fix", Trigger("retry", run=old.id)))
    records, before = await world.stages(run.id), await world.stages(old.id)
    assert (run.state, run.version) == (RunState.SUCCEEDED, 2)
    assert (records["a"].state, records["a"].reused_from) == (S.REUSED, old.id)
    assert records["b"].outputs["b"].sha256 == before["a"].outputs["a"].sha256


@pytest.mark.parametrize(
    ("when_full", "states"),
    [
        ("queue", [RunState.SUCCEEDED, RunState.SUCCEEDED]),
        ("skip", [RunState.SUCCEEDED, RunState.CANCELLED]),
        ("replace", [RunState.CANCELLED, RunState.SUCCEEDED]),
    ],
)
async def test_concurrency_decides_what_becomes_of_one_more_run(
    world: World, when_full: str, states: list[RunState]
) -> None:
    await world.apply(
        "narrow",
        concurrency={"limit": 1, "when_full": when_full},
        stages={"a": {"script": "echo up; sleep 1"}},
    )
    async with world.engine():
        first = await world.start("narrow")
        await _log_says(world, first, "a", "up")
        second = await world.start("narrow")
        runs = [await world.ended(first), await world.ended(second)]
    assert [run.state for run in runs] == states
    if when_full == "queue":
        assert runs[0].ended is not None
        assert runs[1].started is not None
        assert runs[0].ended <= runs[1].started


async def test_a_pipeline_reads_the_latest_good_output_of_another(world: World) -> None:
    await world.apply(
        "base",
        parameters={"x": {"default": "1"}},
        environment={"X": "${parameters.x}"},
        outputs={"table": {}},
        stages={"a": {"script": 'echo "$X" > "$KHAN_OUTPUT_table"; test "$X" != 3', "outputs": ["table"]}},
    )
    reader = {
        "inputs": {"table": {"from": "base/table"}},
        "outputs": {"copy": {}},
        "stages": {
            "b": {"script": 'cp "$KHAN_INPUT_table" "$KHAN_OUTPUT_copy"', "inputs": ["table"], "outputs": ["copy"]}
        },
    }
    await world.apply("reader", **reader)
    async with world.engine():
        early = await world.ended(await world.start("reader"))
        assert early.message.startswith("b: base has no good run")
        for value in ("1", "2", "3"):
            await world.ended(await world.start("base", x=value))
        run = await world.ended(await world.start("reader"))
    record = (await world.stages(run.id))["b"].outputs["copy"]
    assert (world.layout.root / record.location).read_text() == "2\n"


async def test_what_is_under_way_goes_on_under_another_daemon_and_runs_once(world: World) -> None:
    await world.apply(
        "handover",
        intermediates={"a": {}},
        outputs={"b": {}},
        stages={
            "a": {"script": 'echo ran; sleep 1; echo a > "$KHAN_OUTPUT_a"', "outputs": ["a"]},
            "b": {"script": 'cp "$KHAN_INPUT_a" "$KHAN_OUTPUT_b"', "inputs": ["a"], "outputs": ["b"]},
        },
    )
    async with world.engine():
        run_id = await world.start("handover")
        await _log_says(world, run_id, "a", "ran")
    async with world.engine():
        run = await world.ended(run_id)
        records = await world.stages(run_id)
        await _archived(world, run_id, "a")
    assert run.state is RunState.SUCCEEDED
    assert len(records["a"].attempts) == 1
    assert await _log(world, run_id, "a") == "ran\n"


async def test_the_logs_of_all_attempts_are_archived_by_whoever_comes_next(world: World) -> None:
    first = {"script": 'echo ran; test "$ATTEMPT" != 1', "retries": {"limit": 1, "delay": "0s"}}
    stages = {"a": first, "b": {"script": "sleep 1", "after": ["a"]}}
    await world.apply("again", environment={"ATTEMPT": "${run.attempt}"}, stages=stages)
    async with world.engine():
        run_id = await world.start("again")
        await world.until(run_id, lambda _, stages: "b" in stages and stages["b"].state is S.RUNNING)
    # they wait while attempts run, and now nobody is there
    assert all(world.layout.live_log(run_id, "a", number).exists() for number in (1, 2))
    async with world.engine():
        await world.ended(run_id)
        for number in (1, 2):
            await _archived(world, run_id, "a", number)


async def test_more_stages_than_places_wait_their_turn(world: World) -> None:
    world.slots = 2
    wide = {"script": "echo up; sleep 0.2", "each": {"N": [str(n) for n in range(8)]}}
    await world.apply("wide", stages={"a": wide})
    most = 0

    def running(_: object, stages: dict[str, object]) -> bool:
        nonlocal most
        states = [r.state for r in stages.values()]  # type: ignore[attr-defined]
        most = max(most, states.count(S.RUNNING))
        return states.count(S.SUCCEEDED) == 8

    async with world.engine():
        run_id = await world.start("wide")
        await world.until(run_id, running)
    assert most == 2


async def _log(world: World, run_id: str, stage: str) -> str:
    from backend.logs import LogStore

    reader = LogStore(world.layout, world.clock).reader(run_id, stage, 1)
    return reader.raw(0, 1 << 20).decode()


async def _log_says(world: World, run_id: str, stage: str, word: str) -> None:
    """Wait until the stage's log holds `word`."""
    path = world.layout.live_log(run_id, stage, 1)
    async with asyncio.timeout(20):
        while not path.exists() or word not in path.read_text():
            await asyncio.sleep(0.01)


async def _archived(world: World, run_id: str, stage: str, number: int = 1) -> None:
    async with asyncio.timeout(20):
        while not world.layout.archived_log(run_id, stage, number).exists():
            await asyncio.sleep(0.01)


async def test_a_run_cancelled_as_it_begins_ends_without_the_grace(world: World) -> None:
    await world.apply("p", stages={"a": {"script": "sleep 600"}})
    async with world.engine():
        for _ in range(3):
            run_id = await world.start("p")
            await world.until(run_id, lambda _, stages: "a" in stages)
            await world.ask(run_id, "cancel")
            run = await world.ended(run_id, limit=8)  # the grace is 10 s
            assert run.state == "cancelled"
