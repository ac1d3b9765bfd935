"""Files of an attempt that are damaged: nothing breaks, and nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.executors.sandbox.folder import Folder
from backend.run.state import Reason
from tests.executors.conftest import Bench

pytestmark = [pytest.mark.slow, pytest.mark.sandbox]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", {}),
        (b'\x00\xff\n7\nnull\n[]\n{"exit-code": "x"}\n', {}),
        (b'{"child-pid": 7}\n{"exit-co', {"child-pid": 7}),
        (b'\xff\xfe\n{"exit-code": 3}\n', {"exit-code": 3}),
    ],
)
def test_of_a_damaged_status_what_makes_sense_is_taken(tmp_path: Path, text: bytes, said: dict[str, int]) -> None:
    (tmp_path / "status.json").write_bytes(text)
    assert Folder(tmp_path).said() == said


async def test_an_attempt_whose_end_cannot_be_read_is_lost_and_does_not_run_again(bench: Bench) -> None:
    spec = bench.spec("echo ran")
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).exit_code == 0
    status = bench.folder(spec.key) / "status.json"
    status.write_bytes(b"\n".join(line for line in status.read_bytes().splitlines() if b"exit-code" not in line))
    bench.forget_ended(spec.key)
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).reason is Reason.LOST
    assert bench.log(spec.key) == "ran\n"


async def test_one_that_is_being_started_by_another_is_not_started(bench: Bench) -> None:
    folder = Folder(bench.folder(bench.spec("true").key))
    folder.make()
    status = folder.claim()
    assert status >= 0
    assert folder.claim() == -1
