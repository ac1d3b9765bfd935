"""An etcd that others run: over TLS, with certificates that are wrong or renewed, with users, with several members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.admin.authority import issue, new_authority
from backend.errors import StoreError, StoreUnavailable, StoreUntrusted
from backend.etcd_access import EtcdAccess
from backend.store.accounts import secure
from backend.store.calls import Denied, rpc
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary
from tests.store.cluster import DAY, Cluster
from tests.store.server import put

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture
def cluster(folder: Path, etcd_binary: EtcdBinary) -> Iterator[Cluster]:
    """One member that wants certificates."""
    folder.mkdir()
    cluster = Cluster(folder, etcd_binary, 1)
    cluster.start_all()
    yield cluster
    cluster.close()


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(cluster.endpoints, access=cluster.access("khantui"))
    await store.reached()
    yield store
    await store.close()


async def refused(cluster: Cluster, access: EtcdAccess, endpoints: tuple[str, ...] = ()) -> StoreError:
    """The error that somebody gets who comes with this."""
    store = EtcdStore(endpoints or cluster.endpoints, access=access, timeout=1)
    try:
        with pytest.raises(StoreError) as caught:
            await store.get("a")
        return caught.value
    finally:
        await store.close()


async def test_what_is_written_is_watched_and_leased_over_tls(store: EtcdStore) -> None:
    revision = await put(store, "a", b"1")
    async with asyncio.timeout(10):
        assert (await anext(store.watch("", revision))).revision == revision
    lease = await store.grant(10)
    assert await store.keep_alive(lease) > 5


# What is wrong with a certificate is said


async def test_a_server_of_another_authority(cluster: Cluster, store: EtcdStore) -> None:
    other = cluster.folder / "other.crt"
    other.write_bytes(new_authority("somebody else", DAY).cert)
    access = cluster.access("khantui")
    error = await refused(cluster, EtcdAccess(ca=other, cert=access.cert, key=access.key))
    assert isinstance(error, StoreUntrusted)
    assert f"does not come from {other}" in error.message
    assert "--etcd-ca" in error.hint


async def test_a_client_without_a_certificate(cluster: Cluster, store: EtcdStore) -> None:
    error = await refused(cluster, EtcdAccess(ca=cluster.ca))
    assert "wants a certificate" in error.message
    assert "--etcd-cert" in error.hint


async def test_a_client_of_another_authority(cluster: Cluster, store: EtcdStore) -> None:
    cluster.write_pair("stranger", issue(new_authority("somebody else", DAY), "khantui", [], DAY))
    error = await refused(cluster, cluster.access("stranger"))
    assert "does not accept the certificate" in error.message
    assert "stranger.crt" in error.message


async def test_a_client_whose_certificate_has_expired(cluster: Cluster, store: EtcdStore) -> None:
    cluster.write_pair("late", cluster.expired("khantui"))
    error = await refused(cluster, cluster.access("late"))
    assert "late.crt has expired on" in error.message


async def test_a_certificate_that_is_not_valid_yet(cluster: Cluster, store: EtcdStore) -> None:
    cluster.write_pair("early", issue(cluster.authority, "khantui", [], DAY, datetime.now(UTC) + timedelta(hours=5)))
    assert "is valid from" in (await refused(cluster, cluster.access("early"))).message


async def test_a_key_of_another_certificate(cluster: Cluster, store: EtcdStore) -> None:
    ours, other = cluster.access("khantui"), cluster.access("other")
    error = await refused(cluster, EtcdAccess(ca=ours.ca, cert=ours.cert, key=other.key))
    assert "is not the key of the certificate" in error.message


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), (b"nothing", "holds no certificate")]
)
async def test_a_file_that_is_none(cluster: Cluster, store: EtcdStore, content: bytes | None, said: str) -> None:
    broken = cluster.folder / "broken.crt"
    if content is not None:
        broken.write_bytes(content)
    access = cluster.access("khantui")
    assert said in (await refused(cluster, EtcdAccess(ca=cluster.ca, cert=broken, key=access.key))).message


async def test_a_server_whose_certificate_has_expired_or_is_for_another_name(cluster: Cluster) -> None:
    access = cluster.access("khantui")
    for pair, said in (
        (cluster.expired("etcd"), "has expired"),
        (issue(cluster.authority, "etcd", ["etcd.example"], DAY), "is for another name"),
    ):
        cluster.kill(0)
        cluster.write_pair("server", pair)
        cluster.start(0)
        async with asyncio.timeout(20):
            while said not in (error := await refused(cluster, access)).message:
                assert not isinstance(error, StoreUntrusted), error.message


async def test_a_wrong_scheme(cluster: Cluster, store: EtcdStore, etcd_target: str) -> None:
    error = await refused(cluster, EtcdAccess(), tuple(e.replace("https", "http") for e in cluster.endpoints))
    assert isinstance(error, StoreUnavailable)
    assert "https://" in error.hint


# Renewal


async def test_a_renewed_certificate_is_taken_up_when_the_connection_is_made_anew(cluster: Cluster) -> None:
    """The certificate that the store began with is not accepted any more after the restart, its successor is."""
    cluster.write_pair("khantui", issue(cluster.authority, "khantui", [], DAY))
    store = EtcdStore(cluster.endpoints, access=cluster.access("khantui"))
    await store.reached()
    revision = await put(store, "a", b"1")
    watch = store.watch("a", revision)
    await anext(watch)
    cluster.kill(0)
    cluster.authority = new_authority("the next authority", DAY)
    (cluster.folder / "ca.crt").write_bytes(cluster.authority.cert)
    cluster.write_pair("server", issue(cluster.authority, "etcd", ["127.0.0.1"], DAY))
    cluster.write_pair("khantui", issue(cluster.authority, "khantui", [], DAY))
    cluster.start(0)
    async with asyncio.timeout(30):
        await put(store, "a", b"2")
        assert [c.value for c in (await anext(watch)).changes] == [b"2"]
    await store.close()


# Users


async def test_accounts_are_made_once_and_keep_to_their_keys(cluster: Cluster, store: EtcdStore) -> None:
    root = EtcdStore(cluster.endpoints, access=cluster.access("root"))
    for _ in range(2):  # it may be done again at any time
        await secure(root, {"khantui": "/khan/"})
    await put(store, "a", b"1")
    with pytest.raises(Denied, match="permission denied"):
        await EtcdStore(cluster.endpoints, access=cluster.access("khantui"), root="/elsewhere/").get("a")
    error = await refused(cluster, cluster.access("stranger"))
    assert isinstance(error, Denied)
    with pytest.raises(Denied):
        await store.calls.call("auth", "UserList", rpc.AuthUserListRequest())
    watch = store.watch("", 1)
    async with asyncio.timeout(10):
        assert (await anext(watch)).changes[0].value == b"1"
    assert (await store.health()).version
    await root.close()


async def test_a_password_is_read_again_when_it_is_needed(cluster: Cluster, tmp_path: Path) -> None:
    root = EtcdStore(cluster.endpoints, access=cluster.access("root"))
    await root.reached()
    add = rpc.AuthUserAddRequest(name="someone", password="first")
    await root.calls.call("auth", "UserAdd", add)
    await secure(root, {"someone": "/khan/"})
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    store = EtcdStore(cluster.endpoints, access=cluster.access("nobody", user="someone", password_file=secret))
    with pytest.raises(Denied) as error:
        await store.reached()
    assert "password" in error.value.hint
    secret.write_text("first\n")
    await put(store, "a", b"1")
    await root.calls.call(
        "auth", "UserChangePassword", rpc.AuthUserChangePasswordRequest(name="someone", password="second")
    )
    secret.write_text("second\n")
    await put(store, "a", b"2")
    secret.unlink()
    store.calls.forget_login()
    with pytest.raises(Denied, match="cannot be read"):
        await store.get("a")
    await store.close()
    await root.close()


# Several members


async def test_a_member_that_is_killed_loses_nothing_and_keeps_nobody_waiting_long(
    folder: Path, etcd_binary: EtcdBinary
) -> None:
    """Each of three in turn, under writers; every write that was acknowledged is there, once, and seen by the watch."""
    folder.mkdir()
    cluster = Cluster(folder, etcd_binary, 3)
    cluster.start_all()
    store = EtcdStore(cluster.endpoints, access=cluster.access("khantui"))
    await store.reached()
    first = await put(store, "begin", b"")
    stop = asyncio.Event()
    made: dict[str, list[bytes]] = {}

    async def write(writer: str) -> None:
        while not stop.is_set():
            value = b"%d" % len(made.setdefault(writer, []))
            try:
                await put(store, writer, value)
            except StoreUnavailable:  # surely not made
                continue
            made[writer].append(value)

    async def watch() -> list[tuple[str, bytes | None]]:
        seen: list[tuple[str, bytes | None]] = []
        async for batch in store.watch("", first + 1):
            seen += [(c.key, c.value) for c in batch.changes]
            if seen[-1][0] == "end":
                break
        return seen

    async def progress() -> None:
        before = sum(map(len, made.values()))
        while sum(map(len, made.values())) < before + 64:
            await asyncio.sleep(0.01)

    try:
        seeing = asyncio.ensure_future(watch())
        async with asyncio.TaskGroup() as tasks:
            for n in range(8):
                tasks.create_task(write(f"w/{n}"))
            for number in range(3):
                await asyncio.wait_for(progress(), 10)
                cluster.kill(number)
                await asyncio.wait_for(progress(), 10)  # no writer waits longer than this
                cluster.start(number)
                await asyncio.wait_for(whole(cluster), 20)
            stop.set()
        await put(store, "end", b"")
        seen = await asyncio.wait_for(seeing, 10)
    finally:
        await store.close()
        cluster.close()
    for writer, values in made.items():
        assert [value for key, value in seen if key == writer] == values


async def whole(cluster: Cluster) -> None:
    """Wait until every member answers, with what the others have."""
    for endpoint in cluster.endpoints:
        one = EtcdStore([endpoint], access=cluster.access("khantui"))
        await one.reached()
        await one.close()
