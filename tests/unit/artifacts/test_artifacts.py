"""Artifacts and code: hashed, sealed, whole or absent; what cannot be passed on is refused."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.artifacts import CodeStore, FolderStore, copy
from backend.artifacts.content import LINK, describe, remove, survey
from backend.errors import ArtifactError, InvalidRequest, NotFound
from backend.layout import Layout
from backend.run.state import ArtifactRecord
from backend.spec.bundle import address, pack

RUN = "01m85n6fsm-k8mv3h"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


def written(layout: Layout, files: dict[str, str], name: str = "out", number: int = 1) -> Path:
    """What an attempt has written: `{"": …}` is one file."""
    path = layout.output(RUN, "s", number, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for inside, text in files.items():
        (path / inside if inside else path).parent.mkdir(parents=True, exist_ok=True)
        (path / inside if inside else path).write_text(text)
    return path


async def publish(layout: Layout, *names: str) -> dict[str, object]:
    return {**await FolderStore(layout).publish(RUN, "s", 1, names or ("out",))}


async def test_a_file_is_known_by_its_content(layout: Layout) -> None:
    path = written(layout, {"": "hello\n"})
    record = (await FolderStore(layout).publish(RUN, "s", 1, ["out"]))["out"]
    assert (record.kind, record.bytes, record.files) == ("file", 6, 1)
    assert record.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert layout.root / record.location == path
    assert path.stat().st_mode & 0o222 == 0


async def test_a_folder_is_known_by_names_contents_and_modes(layout: Layout, tmp_path: Path) -> None:
    hashes = set()
    for number, files in enumerate([{"a": "1", "b/c": "2"}, {"a": "2", "b/c": "1"}, {"a": "1", "c": "2"}]):
        folder = tmp_path / str(number)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        hashes.add(describe(folder).sha256)
        (folder / "a").chmod(0o755)
        hashes.add(describe(folder).sha256)
    assert len(hashes) == 6
    first, second = tmp_path / "x", tmp_path / "y"
    for folder in (first, second):
        for name in ("z", "a", "m") if folder is first else ("m", "z", "a"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(name)
    assert describe(first) == describe(second)


@pytest.mark.parametrize(
    ("files", "words"),
    [({}, "it wrote nothing"), ({"": "x"}, "it wrote other, out")],
)
async def test_an_output_that_is_missing_is_named(layout: Layout, files: dict[str, str], words: str) -> None:
    if files:
        written(layout, files)
        written(layout, files, "other")
    with pytest.raises(ArtifactError, match=f"the output 'by-day' is missing: {words}") as caught:
        await publish(layout, "by-day")
    assert caught.value.hint == "write it to $KHAN_OUTPUT_by_day"


@pytest.mark.attack
@pytest.mark.parametrize(
    ("kind", "words"),
    [("link", "a link"), ("pipe", "a pipe"), ("inner pipe", "a pipe"), ("out", "outside of the artifact"),
     ("absolute", "outside of the artifact")],
)  # fmt: skip
async def test_what_cannot_be_passed_on_is_refused(layout: Layout, kind: str, words: str) -> None:
    path = (
        written(layout, {"x": "1"} if kind in ("inner pipe", "out", "absolute") else {"": "1"}, "other").parent / "out"
    )
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        if kind == "inner pipe":
            os.mkfifo(path / "p")
        else:
            (path / "l").symlink_to("/etc/passwd" if kind == "absolute" else "../../../secret")
    with pytest.raises(ArtifactError, match=words):
        await publish(layout)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("links", "fine"),
    [
        ({"d/e/up": "../..", "x": "d/e/up/../secret"}, False),  # seen as text it is d/e/secret
        ({"d/e/up": "../..", "x": "d/e/up/d/a"}, True),
        ({"x": "d/../../out/a"}, False),  # out, and in again by the folder's name of the moment
        ({"x": "y", "y": "x"}, False),
        ({"x": "d/./e/..//a"}, True),
        ({"x": "n" * 300}, True),  # leads nowhere, and nowhere else
    ],
)
async def test_a_link_leads_out_if_any_of_its_steps_does(layout: Layout, links: dict[str, str], fine: bool) -> None:
    root = written(layout, {"d/a": "1", "d/e/b": "2"})
    for path, target in links.items():
        (root / path).symlink_to(target)
    if fine:
        assert (await FolderStore(layout).publish(RUN, "s", 1, ["out"]))["out"].files == 2
    else:
        with pytest.raises(ArtifactError, match="outside of the artifact"):
            await publish(layout)


_STEPS = st.lists(st.sampled_from(["..", "..", ".", "", "a", "b", "l0", "l1", "l2", "l3"]), min_size=1, max_size=7)


@pytest.mark.attack
@given(st.lists(st.tuples(st.sampled_from(["", "a", "a/b"]), _STEPS), min_size=1, max_size=4))
@settings(max_examples=300)
def test_the_kernel_follows_no_link_of_an_artifact_out_of_it(links: list[tuple[str, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as above:
        root = Path(above).resolve() / "out"
        (root / "a/b").mkdir(parents=True)
        for number, (folder, steps) in enumerate(links):
            (root / folder / f"l{number}").symlink_to("/".join(steps).lstrip("/") or ".")
        try:
            found = list(survey(root))
        except ArtifactError:
            return
        for member in found:
            if member.kind == LINK:
                assert (root / member.path).resolve().is_relative_to(root)


async def test_links_inside_of_a_folder_are_passed_on(layout: Layout) -> None:
    (written(layout, {"a": "1"}) / "b").symlink_to("a")
    record = (await FolderStore(layout).publish(RUN, "s", 1, ["out"]))["out"]
    assert (record.kind, record.files) == ("folder", 1)


@pytest.mark.attack
async def test_nothing_leads_out_of_an_artifact(layout: Layout) -> None:
    store = FolderStore(layout)
    written(layout, {"a": "1"})
    record = (await store.publish(RUN, "s", 1, ["out"]))["out"]
    content = await store.open(record, "a")
    assert [data async for data in content.read()] == [b"1"]
    for inside in ("../../../..", "/etc/passwd", "../other", "nothing"):
        with pytest.raises(NotFound):
            await store.open(record, inside)


async def test_inputs_from_outside_are_kept_as_they_were(layout: Layout, tmp_path: Path) -> None:
    store, source = FolderStore(layout), tmp_path / "in.csv"
    source.write_text("one")
    first = await store.bring(f"file://{source}")
    source.write_text("two!")
    second = await store.bring(f"file://{source}")
    assert [(layout.root / r.location).read_text() for r in (first, second)] == ["one", "two!"]
    assert (await store.bring(f"file://{source}")).location == second.location
    assert (layout.root / first.location).stat().st_mode & 0o222 == 0


async def test_inputs_that_nobody_has_go_a_while_after_they_were_asked_for(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = FolderStore(layout), tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    used, spare = await brought(store, tmp_path / "x", "used"), await brought(store, tmp_path / "y", "spare")
    whole = await store.bring(f"file://{folder}")
    left = layout.inputs / ".0123.new"  # by a daemon that was killed
    left.mkdir()
    (left / "part").write_text("1")
    now = datetime.now(UTC)
    assert await store.prune({used.location}, now - timedelta(minutes=1)) == 0
    assert left.exists()
    assert await store.prune({used.location}, now + timedelta(minutes=1)) == 2
    assert [p.name for p in layout.inputs.iterdir()] == [used.sha256]
    assert await store.bring(f"file://{tmp_path}/y") == spare  # which was remembered, and is brought anew
    assert await store.bring(f"file://{folder}") == whole
    assert (layout.root / whole.location / "a").read_text() == "1"

    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for path in layout.inputs.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert await brought(FolderStore(layout), tmp_path / "z", "spare") == replace(spare, uri=f"file://{tmp_path}/z")
    rename = Path.rename

    def asked_for_meanwhile(path: Path, target: Path) -> Path:
        os.utime(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", asked_for_meanwhile)
    assert await store.prune((), now - timedelta(minutes=1)) == 0
    assert {p.name for p in layout.inputs.iterdir()} == {used.sha256, spare.sha256, whole.sha256}
    monkeypatch.undo()
    assert await store.prune((), now + timedelta(minutes=1)) == 3


async def test_folders_and_spaces_come_from_outside_too(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "d").write_text("1")
    record = await FolderStore(layout).bring(f"file://{tmp_path}/a%20b")
    assert (record.kind, (layout.root / record.location / "c" / "d").read_text()) == ("folder", "1")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///nowhere/x.csv", "x.csv"),
        ("ftp://b/x", "in no object store"),
        ("file://host/x", "another machine"),
    ],
)
async def test_inputs_that_cannot_be_had(layout: Layout, uri: str, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        await FolderStore(layout).bring(uri)
    assert not [*layout.inputs.glob("*")] if layout.inputs.exists() else True


async def brought(store: FolderStore, path: Path, text: str) -> ArtifactRecord:
    path.write_text(text)
    return await store.bring(f"file://{path}")


async def test_exports_replace_what_was_there_in_one_step(layout: Layout, tmp_path: Path) -> None:
    store, target = FolderStore(layout), tmp_path / "new" / "place" / "report.txt"
    for text in ("one", "two"):
        record = await brought(store, tmp_path / text, text)
        await store.export(record, f"file://{target}")
        assert target.read_text() == text
    (tmp_path / "folder" / "a").mkdir(parents=True)
    (tmp_path / "folder" / "a" / "b").write_text("1")
    place = tmp_path / "place"
    for _ in range(2):
        await store.export(await store.bring(f"file://{tmp_path}/folder"), f"file://{place}")
    assert (place / "a" / "b").read_text() == "1"
    assert sorted(p.name for p in target.parent.iterdir()) == ["report.txt"]
    with pytest.raises(ArtifactError, match="a folder is there"):
        await store.export(record, f"file://{place}")
    assert (place / "a" / "b").read_text() == "1"


@pytest.mark.parametrize("steps", [0, 1])
def test_where_the_kernel_does_not_copy_the_rest_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    (tmp_path / "from").write_bytes(content := os.urandom(3000))
    left, really = [1000] * steps, os.copy_file_range

    def grudging(read: int, write: int, count: int) -> int:
        if not left:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return really(read, write, left.pop())

    monkeypatch.setattr(os, "copy_file_range", grudging)
    copy.copy_file(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to").read_bytes() == content


async def test_an_export_that_fails_leaves_what_was_there(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, store = tmp_path / "t", FolderStore(layout)
    target.write_text("before")
    record = await brought(store, tmp_path / "s", "after")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copy, "copy_file", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        await store.export(record, f"file://{target}")
    assert target.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


async def test_sealed_folders_can_be_removed(layout: Layout) -> None:
    written(layout, {"a/b/c": "1"})
    await publish(layout)
    remove(layout.attempts / RUN)
    remove(layout.attempts / RUN)
    assert not (layout.attempts / RUN).exists()


FILES = {"clean.py": (b"print(1)", False), "bin/go": (b"#!/bin/sh", True)}


async def test_code_is_kept_once_and_read_only(layout: Layout) -> None:
    store, bundle = CodeStore(layout), pack(FILES)
    places = await asyncio.gather(*(store.put(bundle) for _ in range(8)))
    assert set(places) == {address(bundle)}
    assert await store.manifest(places[0]) == {"bin/go": 9, "clean.py": 8}
    folder = await store.path(places[0])
    assert (folder / "bin" / "go").stat().st_mode & 0o777 == 0o555
    assert sorted(p.name for p in layout.code.iterdir()) == [places[0], f"{places[0]}.sum"]
    with pytest.raises(NotFound, match="is not here"):
        await store.path("0" * 64)


def tar(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        archive.addfile(member, BytesIO())
    return made.getvalue()


def headed(kind: bytes, size: int, name: str = "x") -> bytes:
    """A member's header that says any size, also one below nothing."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (size % 256**12).to_bytes(12, "big") if size < 0 else b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def described(inner: bytes, **more: str) -> bytes:
    """The same, with a header before it that says more."""
    member = tarfile.TarInfo("x")
    member.pax_headers = {name.replace("_", "."): value for name, value in more.items()}
    written = member.tobuf(tarfile.PAX_FORMAT)
    return written[:-512] + inner


END = b"\0" * 1024
DEEP = "/".join(["d"] * 500)


@pytest.mark.attack
@pytest.mark.parametrize(
    "bundle",
    [
        *(headed(kind, size) + END for kind in (b"0", b"L", b"x", b"Z") for size in (-512, -1024, -(1 << 40))),
        *(described(headed(b"0", 0), size=str(size)) + END for size in (-1024, -1536, -(1 << 40))),
        described(headed(b"0", 1), GNU_sparse_major="0", GNU_sparse_minor="1", GNU_sparse_size=str(10 << 30),
                  GNU_sparse_map=f"{(10 << 30) - 1},1") + b"a" * 512 + END,
        described(headed(b"0", 512), GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_name="y",
                  GNU_sparse_realsize=str(10 << 30)) + (b"1\n%d\n1\n" % ((10 << 30) - 1)).ljust(512, b"\0") + END,
        b"".join(described(headed(b"0", 0), path=f"{number}/{DEEP}/f") for number in range(50)) + END,
        b"".join(described(headed(b"0", 0), path=f"{number}/{'d/' * 40}f") for number in range(500)) + END,
        headed(b"0", 1 << 30) + b"a" * 512,
    ],
    ids=map(str, itertools.count()),
)  # fmt: skip
async def test_a_bundle_that_becomes_more_than_it_is_is_refused(layout: Layout, bundle: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await CodeStore(layout).put(bundle)
    assert [*layout.code.iterdir()] == []


@pytest.mark.attack
async def test_what_gives_others_rights_is_not_kept_of_an_output(layout: Layout) -> None:
    root = written(layout, {"d/a": "1", "b": "2"})
    for path, mode in (("d/a", 0o6755), ("b", 0o4777), ("d", 0o3777)):
        (root / path).chmod(mode)
    record = (await FolderStore(layout).publish(RUN, "s", 1, ["out"]))["out"]
    kept = layout.root / record.location
    assert {f"{p.stat().st_mode & 0o7777:o}" for p in (kept, *kept.rglob("*"))} == {"555"}


@pytest.mark.attack
@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (tar("../x"), "leads out"),
        (tar("/etc/x"), "leads out"),
        (tar("x", tarfile.SYMTYPE, "/etc"), "no plain file"),
        (tar("x", tarfile.LNKTYPE, "y"), "no plain file"),
        (tar("x", tarfile.FIFOTYPE), "no plain file"),
        (tar("x", tarfile.CHRTYPE), "no plain file"),
        (b"no tar at all", "no code bundle"),
        (pack(FILES)[:700], "no code bundle"),
    ],
)
async def test_unsafe_bundles_are_refused_and_leave_nothing(layout: Layout, bundle: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        await CodeStore(layout).put(bundle)
    assert [*layout.code.iterdir()] == []
