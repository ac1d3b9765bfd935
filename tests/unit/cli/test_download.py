"""Artifacts to disk: whole or not at all, and nothing beside the place that was named."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from khantui.api.download import save_file, save_folder
from khantui.errors import Failure


def archive(*members: tuple[str, bytes | str]) -> Iterator[bytes]:
    """A tar in chunks of 100 bytes; a text instead of bytes is a link to it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    raw = packed.getvalue()
    return (raw[i : i + 100] for i in range(0, len(raw), 100))


def breaks() -> Iterator[bytes]:
    yield b"half"
    raise ConnectionError("gone")


def test_a_folder_is_unpacked(tmp_path: Path) -> None:
    save_folder(archive(("a", b"1"), ("deep/b", b"2" * 1000)), tmp_path / "x" / "target")
    assert (tmp_path / "x" / "target" / "deep" / "b").read_bytes() == b"2" * 1000


@pytest.mark.parametrize(
    "member", [("../evil", b"x"), ("/abs/../../../evil", b"x"), ("link", "../../evil"), ("l", "/etc")]
)
def test_a_member_that_would_leave_the_folder_is_refused_and_nothing_stays(
    member: tuple[str, bytes | str], tmp_path: Path
) -> None:
    with pytest.raises(Failure, match="not unpacked"):
        save_folder(archive(("fine", b"x"), member), tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        save_file(breaks(), tmp_path / "file")
    with pytest.raises((ConnectionError, Failure)):
        save_folder(breaks(), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    with pytest.raises(Failure, match="there already"):
        save_file(iter([b"x"]), tmp_path / "file")
    with pytest.raises(Failure, match="there already"):
        save_folder(archive(("file", b"x")), tmp_path / "folder")
    assert (tmp_path / "folder" / "file").read_text() == "mine"


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure, match="there already"):
        save_file(iter([b"x"]), tmp_path / "link")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    save_folder(archive(("a", b"1")), tmp_path / "target")
    assert (tmp_path / "target" / "a").read_bytes() == b"1"
