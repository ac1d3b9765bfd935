"""Snapshots of a real etcd, over a socket and over TLS: whole or not at all, and made data again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.admin import backup as backup_command
from backend.admin.__main__ import main
from backend.admin.restore import restore_into
from backend.errors import StoreCompacted, StoreError, StoreUnavailable
from backend.store.accounts import secure
from backend.store.calls import Denied
from backend.store.embedded import RESTORED, EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary
from backend.store.snapshot import BUMP, EMBEDDED, Member, save, verify
from tests.store.cluster import Cluster
from tests.store.server import Server, put

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture
async def store(server: Server) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([server.target], timeout=3)
    yield store
    await store.close()


async def test_what_was_saved_is_there_again_and_what_came_later_is_not(
    server: Server, store: EtcdStore, tmp_path: Path
) -> None:
    for n in range(50):
        await put(store, f"k{n}", bytes(10_000))
    await put(store, "a", b"early")
    saved = await save(store, tmp_path / "backup.db")
    assert verify(saved.path) == saved.sha256
    assert saved.size == saved.path.stat().st_size
    assert saved.path.stat().st_mode & 0o777 == 0o600
    late = await put(store, "a", b"late")
    await server.stop()
    before = await asyncio.to_thread(restore_into, server.folder, saved.path, EMBEDDED)
    assert before is not None
    assert before.is_dir()
    await server.start()
    found = await store.get("a")
    assert found is not None
    assert found.value == b"early"
    assert (await store.page("k", "l", count_only=True)).count == 50
    assert await put(store, "a", b"anew") > late + BUMP // 2  # no revision is given out twice
    with pytest.raises(StoreCompacted):
        await anext(store.watch("a", late))


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "something else"])
async def test_a_damaged_backup_is_refused_and_changes_nothing(
    server: Server, store: EtcdStore, tmp_path: Path, harm: str
) -> None:
    await put(store, "a", b"1")
    path = (await save(store, tmp_path / "backup.db")).path
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:-700],
            "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "something else": b"hello",
        }[harm]
    )
    await server.stop()
    with pytest.raises(StoreError, match="is no backup, or is damaged"):
        restore_into(server.folder, path, EMBEDDED)
    await server.start()
    assert await store.get("a") is not None


async def test_a_backup_that_cannot_be_finished_leaves_nothing(
    server: Server, store: EtcdStore, tmp_path: Path
) -> None:
    for n in range(40):
        await put(store, f"k{n}", bytes(1 << 20))
    saving = asyncio.ensure_future(save(store, tmp_path / "backup.db"))
    async with asyncio.timeout(20):
        while not any(p.stat().st_size for p in tmp_path.iterdir()) and not saving.done():
            await asyncio.sleep(0)
    server.kill()
    try:
        await saving
    except StoreUnavailable:
        assert list(tmp_path.iterdir()) == []
    else:  # it was faster than the kill
        assert verify(tmp_path / "backup.db")
    with pytest.raises(StoreError, match="cannot be written"):
        await save(store, tmp_path / "missing" / "backup.db")


async def test_an_interrupted_restore_is_not_taken_for_a_new_folder(folder: Path, etcd_binary: EtcdBinary) -> None:
    (folder / RESTORED).mkdir(parents=True)
    with pytest.raises(StoreError, match="interrupted"):
        await EmbeddedEtcd(folder, etcd_binary).start()


async def test_the_command_saves_of_a_folder_whose_daemon_runs_or_not_and_keeps_so_many(
    tmp_path: Path,
    folder: Path,
    etcd_binary: EtcdBinary,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, backups = folder.parent / "d", tmp_path / "backups"
    backups.mkdir()
    server = Server(data / "etcd", etcd_binary)
    await server.start()
    store = EtcdStore([server.target])
    await put(store, "a", b"1")
    await store.close()
    moments = iter(f"2026010{day}T000000Z" for day in range(1, 9))
    save_in = ["backup", str(backups), "--data", str(data), "--keep", "2"]
    monkeypatch.setattr(backup_command, "stamp", lambda: next(moments))
    assert await asyncio.to_thread(main, save_in) == 0
    await server.stop()
    for _ in range(2):
        assert await asyncio.to_thread(main, save_in) == 0
    assert sorted(p.name for p in backups.iterdir()) == ["khantui-20260102T000000Z.db", "khantui-20260103T000000Z.db"]
    assert "sha256" in capsys.readouterr().out
    newest = backups / "khantui-20260103T000000Z.db"
    assert await asyncio.to_thread(main, ["restore", str(newest), "--data", str(folder.parent / "other")]) == 0
    assert await asyncio.to_thread(main, ["backup", str(newest), "--data", str(data)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["backup", str(backups), "--data", str(tmp_path)]) == 1
    assert "there is no state" in capsys.readouterr().err


async def test_a_restore_waits_for_nobody_who_runs_an_etcd_there(
    server: Server, store: EtcdStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await put(store, "a", b"1")
    saved = await save(store, tmp_path / "backup.db")
    assert await asyncio.to_thread(main, ["restore", str(saved.path), "--data", str(server.folder.parent)]) == 1
    assert "an etcd runs on" in capsys.readouterr().err


async def test_three_members_are_restored_from_one_snapshot(
    folder: Path, etcd_binary: EtcdBinary, tmp_path: Path
) -> None:
    folder.mkdir()
    cluster = Cluster(folder, etcd_binary, 3)
    cluster.start_all()
    try:
        root = EtcdStore(cluster.endpoints, access=cluster.access("root"))
        await root.reached()
        await secure(root, {"khantui": "/khan/"})
        store = EtcdStore(cluster.endpoints, access=cluster.access("khantui"))
        await put(store, "a", b"early")
        with pytest.raises(Denied):  # a snapshot holds everything
            await save(store, tmp_path / "refused.db")
        saved = await save(root, tmp_path / "backup.db")
        await put(store, "a", b"late")
        await root.close()
        cluster.close()
        for number in range(3):
            name, url, everyone = cluster.member(number)
            before = await asyncio.to_thread(
                restore_into, cluster.data(number), saved.path, Member(name, url, everyone, cluster.token)
            )
            assert before is not None
        cluster.start_all()
        found = await store.get("a")
        assert found is not None
        assert found.value == b"early"
        with pytest.raises(Denied):
            await EtcdStore(cluster.endpoints, access=cluster.access("stranger")).get("a")
        await store.close()
    finally:
        cluster.close()
