"""Runs that read from buckets and write to them; and a store of artifacts that is away when an attempt ends."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.artifacts import CodeStore, ObjectStore
from backend.clock import SystemClock
from backend.control.attempts import Attempts
from backend.control.grants import Grants
from backend.errors import ObjectStoreUnavailable
from backend.executors.base import AttemptKey, Observation
from backend.layout import Layout
from backend.objects import open_bucket
from backend.run.machine import Machine
from backend.run.state import Reason, RunState
from backend.store.catalogue import Catalogue
from backend.store.memory import MemoryStore
from tests.s3_fixture import S3Server
from tests.scenarios.world import World

pytestmark = pytest.mark.s3


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, MemoryStore(SystemClock()))


@pytest.mark.sandbox
async def test_a_sandboxed_run_reads_from_a_bucket_and_writes_to_another(world: World, s3: S3Server) -> None:
    raw, reports = (s3.bucket(f"{name}-{secrets.token_hex(4)}") for name in ("raw", "reports"))
    await open_bucket(raw).put("2026-11-03/rows.csv", b"1\n2\n3\n")
    await open_bucket(raw).put("2026-11-03/tree/deep/x", b"4\n")
    await world.apply(
        "shop",
        environment={"DAY": "2026-11-03"},
        inputs={"rows": {"uri": f"{raw}/${{DAY}}/rows.csv"}, "tree": {"uri": f"{raw}/${{DAY}}/tree"}},
        outputs={
            "total": {"uri": f"{reports}/${{DAY}}/total.txt"},
            "all": {"uri": f"{reports}/${{DAY}}/all"},
        },
        stages={
            "sum": {
                "script": 'cat "$KHAN_INPUT_rows" "$KHAN_INPUT_tree"/deep/x | wc -l > "$KHAN_OUTPUT_total"\n'
                          'cp -r "$KHAN_INPUT_tree" "$KHAN_OUTPUT_all"',
                "inputs": ["rows", "tree"],
                "outputs": ["total", "all"],
            }
        },
    )  # fmt: skip
    async with world.engine():
        run = await world.ended(await world.start("shop"))
    stages = await world.stages(run.id)
    assert run.state is RunState.SUCCEEDED, stages
    assert (await open_bucket(reports).get("2026-11-03/total.txt")).strip() == b"4"
    assert await open_bucket(reports).get("2026-11-03/all/deep/x") == b"4\n"
    assert stages["sum"].outputs["total"].uri == f"{reports}/2026-11-03/total.txt"


@pytest.mark.sandbox
async def test_an_input_that_is_not_in_its_bucket_fails_the_attempt(world: World, s3: S3Server) -> None:
    raw = s3.bucket(f"raw-{secrets.token_hex(4)}")
    await open_bucket(raw).put("rows.csv", b"1\n")
    await world.apply(
        "shop", inputs={"rows": {"uri": f"{raw}/row.csv"}}, stages={"sum": {"script": "true", "inputs": ["rows"]}}
    )
    async with world.engine():
        run = await world.ended(await world.start("shop"))
    attempt = (await world.stages(run.id))["sum"].attempts[-1]
    assert attempt.reason is Reason.MISSING_INPUT
    assert attempt.message == f"{raw}/row.csv is not there (there is 'rows.csv')"


async def test_what_was_published_is_asked_for_until_the_store_answers(
    world: World, bucket: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply("p", outputs={"out": {}}, stages={"a": {"script": "true", "outputs": ["out"]}})
    run = await world.run(await world.start("p"))
    loaded = await Catalogue(world.store).load("p", 1)
    machine = Machine(run, [], loaded.pipeline, loaded.plan)
    seen = Observation(AttemptKey(run.id, "a", 1), "exited", datetime.now(UTC), 0)

    def attempts() -> Attempts:
        opened = open_bucket(bucket, patience=0.3)
        return Attempts(
            world.store,
            ObjectStore(opened, Layout(tmp_path)),
            CodeStore(Layout(tmp_path), opened),
            world.clock,
            Grants(world.store, world.secrets(), world.clock),
        )

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ObjectStoreUnavailable):
        await attempts().conclude(machine, {}, seen)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    ending = await attempts().conclude(machine, {}, seen)
    assert ending.reason is Reason.PUBLISH
    assert "were not published" in ending.message
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    ending = await attempts().conclude(machine, {}, seen)
    assert ending.reason is Reason.PUBLISH
    assert "refused" in ending.message
