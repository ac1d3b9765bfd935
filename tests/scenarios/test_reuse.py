"""Earlier results that stand for later ones, and what keeps them from it, in real sandboxes."""

from __future__ import annotations

from typing import Any

import pytest

from backend.accounts.account import Account, SecretUse
from backend.run.explain import reason
from backend.run.ids import short
from backend.run.state import Run, RunState, StageState, Trigger
from backend.store import keys
from backend.store.base import Delete, Put
from backend.store.catalogue import Catalogue
from backend.store.codec import encode
from backend.store.records import delete_run
from backend.store.results import forget, origins_of, unheld
from backend.store.secrets import Secret, SecretVersion, about
from backend.vault.envelope import seal
from tests.scenarios.world import World

pytestmark = pytest.mark.sandbox

S = StageState
STAGES = {
    "clean": {"script": 'sort "$KHAN_INPUT_events" > "$KHAN_OUTPUT_clean"', "inputs": ["events"], "outputs": ["clean"]},
    "count": {"script": 'wc -l < "$KHAN_INPUT_clean" > "$KHAN_OUTPUT_n"; echo "$UNIT" >> "$KHAN_OUTPUT_n"',
              "inputs": ["clean"], "outputs": {"n": "report"}},
}  # fmt: skip


async def learners(world: World, **more: object) -> None:
    """A pipeline of two cached stages that reads a file."""
    world.layout.root.mkdir(parents=True, exist_ok=True)
    events = world.layout.root / "events"
    if not events.exists():
        events.write_text("b\na\n")
    document = {
        "cache": True,
        "parameters": {"unit": {"default": "rows"}},
        "environment": {"UNIT": "${parameters.unit}"},
        "inputs": {"events": {"uri": f"file://{events}"}},
        "intermediates": {"clean": {}},
        "outputs": {"report": {}},
        "stages": {name: dict(stage) for name, stage in STAGES.items()},
    }
    await world.apply("learners", **{**document, **more})


async def reasons(world: World, run_id: str) -> dict[str, str]:
    """Why each stage of a run ran or was reused, as people are told."""
    run = await world.run(run_id)
    loaded = await Catalogue(world.store).load(run.pipeline, run.version)
    records = await world.stages(run_id)
    return {name: reason(run, loaded.pipeline, loaded.plan, record) for name, record in records.items()}


async def ran(world: World, run_id: str) -> list[str]:
    """The stages that have run, not been reused; the run has succeeded."""
    assert (await world.run(run_id)).state is RunState.SUCCEEDED, (await world.run(run_id)).message
    return [name for name, record in sorted((await world.stages(run_id)).items()) if record.state is not S.REUSED]


async def test_nothing_is_done_twice_and_what_has_changed_is_told(world: World) -> None:
    await learners(world)
    async with world.engine():
        first = (await world.ended(await world.start("learners"))).id
        assert await ran(world, first) == ["clean", "count"]
        assert (await reasons(world, first))["clean"] == "ran: it has no earlier result"

        again = (await world.ended(await world.start("learners"))).id
        assert await ran(world, again) == []
        stages, before = await world.stages(again), await world.stages(first)
        assert stages["count"].attempts == ()
        assert stages["count"].outputs == before["count"].outputs
        assert stages["count"].inputs == before["count"].inputs
        told = f"reused from {short(first)}: nothing that it depends on has changed"
        assert (await reasons(world, again))["count"] == told

        (world.layout.root / "events").write_text("c\na\nb\n")
        third = (await world.ended(await world.start("learners"))).id
        assert await ran(world, third) == ["clean", "count"]
        told = (await reasons(world, third))["clean"]
        assert told.startswith("ran: input events changed (")
        assert told.endswith(f", since run {short(first)}")

        (world.layout.root / "events").write_text("b\nc\na\n")  # sorted, it is the same
        fourth = (await world.ended(await world.start("learners"))).id
        assert await ran(world, fourth) == ["clean"]

        (world.layout.root / "events").write_text("b\na\n")
        back = (await world.ended(await world.start("learners"))).id
        assert await ran(world, back) == []
        assert (await world.stages(back))["clean"].reused_from == first

        fifth = (await world.ended(await world.start("learners", unit="lines"))).id
        assert await ran(world, fifth) == ["clean", "count"]
        assert "UNIT changed (rows → lines)" in (await reasons(world, fifth))["count"]


async def test_who_asks_for_it_gets_it_done_anew(world: World) -> None:
    await learners(world)
    async with world.engine():
        await world.ended(await world.start("learners"))
        fresh = (await world.ended(await world.start("learners", fresh=True))).id
        assert await ran(world, fresh) == ["clean", "count"]
        assert (await reasons(world, fresh))["clean"] == "ran: the run was started without the cache"

        reused = (await world.ended(await world.start("learners"))).id
        assert (await world.stages(reused))["clean"].reused_from == fresh  # the newest result is the one that stands
        await world.ask(reused, "retry", from_stage="count")
        await world.until(reused, lambda run, _: run.round == 2 and run.state.ended)
        assert await ran(world, reused) == ["count"]
        assert (await reasons(world, reused))["count"] == "ran: it was retried by hand"

        await learners(world, cache=False)
        plain = (await world.ended(await world.start("learners"))).id
        assert (await reasons(world, plain))["clean"] == 'ran: it is not cached ("cache": true in the document)'


async def test_instances_are_reused_one_by_one_and_copied_to_where_their_uri_says(world: World) -> None:
    target = world.layout.root / "reports"
    world.layout.root.mkdir(parents=True, exist_ok=True)

    async def apply(*years: str) -> None:
        await world.apply(
            "years",
            outputs={"report": {"uri": f"file://{target}/${{run.id}}"}},
            stages={
                "plot": {
                    "script": 'echo "$YEAR" > "$KHAN_OUTPUT_report"',
                    "outputs": ["report"],
                    "each": {"YEAR": list(years)},
                    "cache": True,
                }
            },
        )

    await apply("2024", "2025")
    async with world.engine():
        await world.ended(await world.start("years"))
        await apply("2024", "2025", "2026")
        second = (await world.ended(await world.start("years"))).id
        assert await ran(world, second) == ["plot.2026"]
    assert {p.name: p.read_text() for p in (target / second).iterdir()} == {
        year: f"{year}\n" for year in ("2024", "2025", "2026")
    }


async def test_a_failed_stage_leaves_nothing_to_be_reused(world: World) -> None:
    stage = {"script": 'echo > "$KHAN_OUTPUT_x"; test -e "$KHAN_INPUT_go/yes"', "inputs": ["go"], "outputs": ["x"]}
    world.layout.root.mkdir(parents=True, exist_ok=True)
    (world.layout.root / "go").mkdir()
    document = {"inputs": {"go": {"uri": f"file://{world.layout.root}/go"}}, "outputs": {"x": {}}}
    await world.apply("moody", cache=True, **document, stages={"a": stage})
    async with world.engine():
        for _ in range(2):
            failed = await world.ended(await world.start("moody"))
            assert failed.state is RunState.FAILED
            assert (await reasons(world, failed.id))["a"] == "ran: it has no earlier result"


async def test_an_engine_that_dies_while_it_looks_loses_nothing(world: World) -> None:
    await learners(world)
    async with world.engine():
        first = (await world.ended(await world.start("learners"))).id
    second = await world.start("learners")
    for _ in range(3):
        async with world.engine():
            await world.until(second, lambda run, stages: bool(stages) or run.state.ended)
    async with world.engine():
        await world.ended(second)
    assert await ran(world, second) == []
    assert {r.reused_from for r in (await world.stages(second)).values()} == {first}


async def test_what_is_gone_is_made_again_and_what_is_held_is_not_removed(world: World) -> None:
    await learners(world)
    async with world.engine():
        first = await world.ended(await world.start("learners"))
        second = await world.ended(await world.start("learners"))
        third = await world.ended(await world.start("learners", Trigger("retry", run=second.id)))  # keeps what it had
        assert {r.reused_from for r in (await world.stages(third.id)).values()} == {first.id}

        assert await unheld(world.store, first) is None  # two runs have its files as theirs
        await remove(world, second)
        assert await unheld(world.store, first) is None
        await remove(world, third, latest=True)
        await remove(world, first, latest=True)
        page = await world.store.page("", "\x7f", keys_only=True)
        assert [k.key for k in page.items if k.key.startswith(("results/", "held/"))] == []

        again = (await world.ended(await world.start("learners"))).id
        assert await ran(world, again) == ["clean", "count"]
        assert (await reasons(world, again))["clean"] == "ran: its earlier results were cleared, or removed"

        for record in (await world.stages(again)).values():  # by somebody who does not know what he does
            for output in record.outputs.values():
                (world.layout.root / output.location).unlink()
        last = (await world.ended(await world.start("learners"))).id
        assert await ran(world, last) == ["clean", "count"]
        told = f"ran: what run {short(again)} wrote from the same is not there any more"
        assert (await reasons(world, last))["clean"] == told


async def remove(world: World, run: Run, *, latest: bool = False) -> None:
    """Remove an ended run as it has to be done: nobody finds its results any more, and nobody holds it."""
    current = await world.run(run.id)
    if latest:
        await world.store.commit([], [Delete(keys.latest(current.pipeline))])
    loaded = await Catalogue(world.store).load(current.pipeline, current.version)
    await forget(world.store, current, loaded.plan, [])
    condition = await unheld(world.store, current)
    assert condition is not None
    changes = [*delete_run(current), *(Delete(keys.held(o, run.id)) for o in await origins_of(world.store, run.id))]
    assert await world.store.commit([condition], changes) is not None


async def test_who_a_stage_runs_as_counts_and_what_is_reused_is_given_no_secret(world: World) -> None:
    world.layout.root.mkdir(parents=True, exist_ok=True)
    secrets = world.secrets()

    async def value(version: str, text: bytes) -> Put:
        sealed = seal(text, about("db", version), secrets.keyring.current())
        secret = Secret("db", (SecretVersion(version, sealed, world.clock.now(), "alice"),), 1)
        return Put(keys.secret("db"), encode(secret))

    async def account(**more: Any) -> Put:
        return Put(keys.account("loader"), encode(Account("loader", secrets=(SecretUse("db", env="DB"),), **more)))

    async def given() -> set[str]:
        page = await world.store.page(keys.used("db"), keys.after(keys.used("db")), keys_only=True)
        return {keys.used_by(item.key)[0] for item in page.items}

    await world.store.commit([], [await value("1", b"one"), await account()])
    await learners(world, service_account="loader")
    async with world.engine():
        first = (await world.ended(await world.start("learners"))).id
        assert await ran(world, first) == ["clean", "count"]
        await world.store.commit([], [await value("2", b"two")])  # it was renewed, and is the same
        second = (await world.ended(await world.start("learners"))).id
        assert await ran(world, second) == []
        assert await given() == {first}
        await world.store.commit([], [await account(description="the same", network=("10.0.0.1:5432",))])
        third = (await world.ended(await world.start("learners"))).id
    assert "the account changed (loader " in (await world.stages(third))["clean"].reason
    assert b"one" not in b"".join([k.value for k in (await world.store.page("", "\x7f")).items])
