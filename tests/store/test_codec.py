"""Values are JSON that a person can read, and that older and newer versions of the program can."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import Struct

from backend.errors import StoreError
from backend.run.state import ArtifactRecord, Attempt, AttemptState, Reason, Run, RunState, StageRecord, StageState
from backend.store.codec import Unreadable, decode, encode
from backend.store.records import AuditRecord, Command, Entry, External, Latest, Pin, PipelineHead, Version

NOW = datetime(2025, 3, 1, 6, 30, 0, 123456, tzinfo=UTC)
ARTIFACT = ArtifactRecord("file", 12, 1, "ab" * 32, uri="s3://reports/résumé.html")

RECORDS = [
    PipelineHead("weekly", 3, labels={"team": "analytics"}, created=NOW, updated_by="alice"),
    Version("weekly", 3, '{"name": "weekly"}', "ab" * 32, {"clean": Pin("other", 2, "clean", "cd" * 32)}, NOW),
    Run(
        "06f2k9x4qe-7f3k2a", "weekly", 3, NOW, state=RunState.FAILED, parameters={"região": "eu"}, counts={"failed": 1}
    ),
    StageRecord(
        "clean",
        StageState.FAILED,
        attempts=(Attempt(1, AttemptState.FAILED, NOW, NOW, -9, Reason.MEMORY, "out of memory"),),
        outputs={"clean": ARTIFACT},
    ),
    Latest("06f2k9x4qe-7f3k2a", NOW, NOW, {"report": (Entry("2025", ARTIFACT), Entry("2026", ARTIFACT))}),
    External((Entry("", ARTIFACT),), run="06f2k9x4qe-7f3k2a"),
    Command("retry", "alice", NOW, from_stage="clean", only=True),
    AuditRecord(NOW, "alice", "runs.cancel", "06f2k9x4qe-7f3k2a", "unix", {"forced": True, "before": None}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_is_written_is_read(record: Struct) -> None:
    assert decode(encode(record), type(record)) == record


def test_a_person_can_read_it_and_defaults_are_left_out() -> None:
    assert encode(PipelineHead("weekly", 3, owner="ann")) == b'{"name":"weekly","version":3,"owner":"ann"}'
    assert encode(Command("cancel", "bob", NOW)) == b'{"kind":"cancel","by":"bob","at":"2025-03-01T06:30:00.123456Z"}'


def test_what_a_newer_version_has_added_is_ignored() -> None:
    assert decode(b'{"name":"a","version":1,"colour":{"of":["the","sky"]}}', PipelineHead) == PipelineHead("a", 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b'{"name":"a","vers', "truncated"),
        (b'{"name":"a"}', "version"),
        (b'{"name":"a","version":"one"}', r"\$\.version"),
        (b"[]", "array"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_what_is_no_such_record_says_what_and_where(data: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=f"no PipelineHead: .*{said}") as error:
        decode(data, PipelineHead)
    assert error.value.code == "store-unreadable"
    assert isinstance(error.value, StoreError)
    assert isinstance(error.value, msgspec.DecodeError)
