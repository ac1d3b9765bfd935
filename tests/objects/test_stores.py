"""Both artifact stores, through the same protocol: what is in one is read, kept and copied as it is in the other."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.artifacts import ArtifactStore, FolderStore, ObjectStore
from backend.artifacts.reach import Reach
from backend.artifacts.reading import Content
from backend.errors import ArtifactError, NotFound
from backend.layout import Layout
from backend.objects import Bucket, open_bucket
from backend.objects.plan import Plan
from backend.run.state import ArtifactRecord
from backend.stager.publish import publish
from tests.objects.conftest import RUN, attempt_of
from tests.objects.test_stager import ODD, folder
from tests.s3_fixture import S3Server

pytestmark = pytest.mark.s3


class Kept:
    """A store, and an attempt that writes to it."""

    def __init__(self, kind: str, layout: Layout, url: str) -> None:
        self.kind = kind
        self.layout = layout
        self.url = url
        self.bucket = open_bucket(url)
        reach = Reach(["127.0.0.1"])  # where the tests' own servers are
        self.store: ArtifactStore = (
            FolderStore(layout, reach) if kind == "folder" else ObjectStore(self.bucket, layout, reach)
        )
        self.out = layout.attempt(RUN, "s", 1) / "out"
        self.out.mkdir(parents=True)

    async def published(self, name: str) -> ArtifactRecord:
        """What is at `out/<name>`, published."""
        if self.kind == "objects":
            await publish(Plan(self.url, attempt_of(1), outputs=(name,)), self.out.parent)
        return (await self.store.publish(RUN, "s", 1, [name]))[name]

    def kept(self) -> list[str]:
        """Names of the inputs that are kept."""
        if self.kind == "folder":
            return sorted(p.name for p in self.layout.inputs.iterdir())
        root = "a/prefix/artifacts/inputs/"
        return sorted({k.removeprefix(root).split("/")[0].split(".")[0] for k in self.objects() if k.startswith(root)})

    def objects(self) -> list[str]:
        return self.server.objects(self.url.split("/")[2])

    server: S3Server


@pytest.fixture(params=["folder", "objects"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, bucket: str, s3: S3Server) -> Kept:
    made = Kept(request.param, Layout(tmp_path / "data"), bucket)
    made.server = s3
    return made


@pytest.fixture
def elsewhere(s3: S3Server) -> Bucket:
    """A bucket of somebody else's."""
    return open_bucket(s3.bucket(f"other-{secrets.token_hex(4)}"))


async def whole(content: Content, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([data async for data in content.read(start, end)])


async def unpacked(content: Content) -> dict[str, bytes | str]:
    """A folder's tar: files by path, links as `-> target`."""
    data = b"".join([data async for data in content.tar()])
    found: dict[str, bytes | str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            source = tar.extractfile(member) if member.isreg() else None
            found[member.name] = f"-> {member.linkname}" if member.issym() else source.read() if source else "/"
    return found


async def test_content_whole_in_part_and_as_a_tar(kept: Kept) -> None:
    data = os.urandom((17 << 20) + 5)
    (kept.out / "file").write_bytes(data)
    content = await kept.store.open(await kept.published("file"))
    assert (content.kind, content.bytes) == ("file", len(data))
    assert await whole(content) == data
    for start, end in ((0, 1), (5, 9 << 20), (len(data) - 3, len(data) + 100), (len(data), None), (7, 7)):
        assert await whole(content, start, end) == data[start:end]


async def test_what_is_inside_of_a_folder(kept: Kept) -> None:
    folder(kept.out / "tree")
    record = await kept.published("tree")
    tar = await unpacked(await kept.store.open(record))
    assert {name for name in ODD if tar[name] == f"this is {name!r}".encode()} == set(ODD)
    assert tar[os.fsdecode(b"no text \xff\xfe")] == b"bytes"
    assert (tar["link"], tar["nothing"], tar["empty/inner"]) == ("-> a b/c d.txt", b"", "/")
    assert len(tar["large"]) == 23 << 20
    for inside in ("a b/c d.txt", "link", "up/../link", "./a b//c d.txt"):
        assert await whole(await kept.store.open(record, inside)) == b"this is 'a b/c d.txt'"
    assert await whole(await kept.store.open(record, "up/link/and/deeper/f")) == b"this is 'deep/er/and/deeper/f'"
    assert await unpacked(await kept.store.open(record, "deep/er")) == {
        "and": "/", "and/deeper": "/", "and/deeper/f": b"this is 'deep/er/and/deeper/f'"
    }  # fmt: skip
    assert await unpacked(await kept.store.open(record, "empty/inner")) == {}
    assert await unpacked(await kept.store.open(record, "up")) == {"link": "-> ../deep/er"}
    for inside in ("../other", "../../../..", "/etc/passwd", "nowhere", "nothing/x", "up/../../x"):
        with pytest.raises(NotFound):
            await kept.store.open(record, inside)


async def test_what_is_gone_is_not_found(kept: Kept) -> None:
    (kept.out / "file").write_text("x")
    record = await kept.published("file")
    assert await kept.store.has(record)
    await kept.store.remove(RUN)
    await kept.store.remove(RUN)
    assert not await kept.store.has(record)
    with pytest.raises(NotFound):
        await kept.store.open(record)


async def test_inputs_of_this_machine_are_kept_by_content(kept: Kept, tmp_path: Path) -> None:
    source, tree = tmp_path / "in put.csv", tmp_path / "tree"
    folder(tree)
    first = []
    for text in ("one", "two", "one"):
        source.write_text(text)
        first.append(await kept.store.bring(f"file://{tmp_path}/in%20put.csv"))
    assert [await whole(await kept.store.open(r)) for r in first] == [b"one", b"two", b"one"]
    assert first[0].location == first[2].location == f"artifacts/inputs/{first[0].sha256}"
    brought = [await kept.store.bring(f"file://{tree}") for _ in range(2)]
    assert brought[0] == brought[1]
    assert (await unpacked(await kept.store.open(brought[0])))["link"] == "-> a b/c d.txt"
    assert len(kept.kept()) == 3
    with pytest.raises(ArtifactError, match="is not there") as caught:
        await kept.store.bring(f"file://{tmp_path}/in_put.csv")
    assert caught.value.hint == "there is 'in put.csv'"


async def test_inputs_from_buckets_are_what_they_would_be_on_a_disk(
    kept: Kept, elsewhere: Bucket, tmp_path: Path
) -> None:
    for name in ODD:
        if name.isprintable():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / name).write_text(name)
            await elsewhere.put(f"raw/tree/{name}", name.encode())
    await elsewhere.put("raw/large", b"x" * (20 << 20))
    on_disk = await FolderStore(Layout(tmp_path / "disk")).bring(f"file://{tmp_path}/tree")
    for uri in (f"{elsewhere.url}/raw/tree", f"{elsewhere.url}/raw/tree/"):
        record = await kept.store.bring(uri)
        assert (record.kind, record.sha256, record.bytes, record.files) == (
            "folder", on_disk.sha256, on_disk.bytes, on_disk.files
        )  # fmt: skip
        assert record.uri == uri
    assert (await unpacked(await kept.store.open(record)))["a b/c d.txt"] == b"a b/c d.txt"

    large = await kept.store.bring(f"{elsewhere.url}/raw/large")
    await elsewhere.put("raw/large", b"y")
    assert await whole(await kept.store.open(large)) == b"x" * (20 << 20)
    assert await whole(await kept.store.open(await kept.store.bring(f"{elsewhere.url}/raw/large"))) == b"y"
    with pytest.raises(ArtifactError, match="raw/lorge is not there") as caught:
        await kept.store.bring(f"{elsewhere.url}/raw/lorge")
    assert caught.value.hint == "there is 'large'"


async def test_inputs_from_the_stores_own_bucket(kept: Kept) -> None:
    own = open_bucket("/".join(kept.url.split("/")[:3]))
    await own.put("raw/small", b"small")
    await own.upload("raw/large", _pieces(), 24 << 20)
    for name, data in (("small", b"small"), ("large", b"z" * (24 << 20))):
        assert await whole(await kept.store.open(await kept.store.bring(own.uri(f"raw/{name}")))) == data


async def _pieces():  # type: ignore[no-untyped-def]
    for _ in range(24):
        yield b"z" * (1 << 20)


async def test_what_cannot_be_a_folder_is_refused(kept: Kept, elsewhere: Bucket) -> None:
    await elsewhere.put("tree/a/b", b"1")
    await elsewhere.put("tree/c", b"1")
    await elsewhere.put("tree/a.txt", b"1")
    assert (await kept.store.bring(f"{elsewhere.url}/tree")).files == 3
    with pytest.raises(ArtifactError, match="names no bucket"):
        await kept.store.bring("s3:///x")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one file and a redirect to nowhere."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "table.csv").write_bytes(b"1,2\n" * 500_000)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_inputs_from_the_web(kept: Kept, web: str) -> None:
    record = await kept.store.bring(f"{web}/table.csv")
    assert await whole(await kept.store.open(record)) == b"1,2\n" * 500_000
    with pytest.raises(ArtifactError, match=r"nowhere.csv is not to be had: 404 File not found"):
        await kept.store.bring(f"{web}/nowhere.csv")
    with pytest.raises(ArtifactError, match=r"http://127.0.0.1:9/x cannot be read"):
        await kept.store.bring("http://127.0.0.1:9/x")
    assert kept.kept() == [record.sha256]
    with pytest.raises(ArtifactError, match="nothing can be written there"):
        await kept.store.export(record, f"{web}/new")


async def test_exports_of_files(kept: Kept, elsewhere: Bucket, tmp_path: Path) -> None:
    own = "/".join(kept.url.split("/")[:3])
    for data in (b"small", os.urandom(19 << 20)):
        (tmp_path / "in").write_bytes(data)
        record = await kept.store.bring(f"file://{tmp_path}/in")
        await kept.store.export(record, f"file://{tmp_path}/reports/${{}}/report")
        assert (tmp_path / "reports" / "${}" / "report").read_bytes() == data
        for root in (elsewhere.url, own):
            await kept.store.export(record, f"{root}/reports/new place/report.html")
            head = await open_bucket(root).head("reports/new place/report.html")
            assert head is not None
            assert b"".join([b async for b in open_bucket(root).read(head)]) == data
    assert (tmp_path / "reports" / "${}" / "report").stat().st_mode & 0o777 == 0o644
    assert [p.name for p in (tmp_path / "reports" / "${}").iterdir()] == ["report"]


async def test_exports_of_folders_replace_what_was_exported_before_and_nothing_else(
    kept: Kept, elsewhere: Bucket, tmp_path: Path
) -> None:
    own = open_bucket("/".join(kept.url.split("/")[:3]))
    tree = tmp_path / "tree"
    for number, names in enumerate((["a", "b/c", "b/d", "100%.csv"], ["a", "b/d", "e"])):
        for name in names:
            (tree / str(number) / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / str(number) / name).write_text(f"{number} {name}")
    (tree / "1" / "link").symlink_to("b/d")
    for bucket in (elsewhere, own):
        await bucket.put("reports/day/of others", b"stays")
        for number in (0, 1):
            record = await kept.store.bring(f"file://{tree}/{number}")
            await kept.store.export(record, f"{bucket.url}/reports/day")
            await kept.store.export(record, f"{bucket.url}/reports/day")
        found = {h.key.removeprefix("reports/day/") async for h in bucket.below("reports/day")}
        assert found == {".khantui.json", "a", "b/d", "e", "link", "of others"}
        assert await bucket.get("reports/day/link") == b"1 b/d"
        await bucket.delete(["reports/day/of others"])
        again = await kept.store.bring(f"{bucket.url}/reports/day/")
        assert sorted((await unpacked(await kept.store.open(again))).items()) == [
            ("a", b"1 a"), ("b", "/"), ("b/d", b"1 b/d"), ("e", b"1 e"), ("link", b"1 b/d")
        ]  # fmt: skip
    place = tmp_path / "place"
    for number in (0, 1):
        await kept.store.export(await kept.store.bring(f"file://{tree}/{number}"), f"file://{place}")
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*")) == ["a", "b", "b/d", "e", "link"]
    assert (place / "link").is_symlink()


async def test_a_link_to_a_folder_has_no_place_in_a_bucket(kept: Kept, elsewhere: Bucket, tmp_path: Path) -> None:
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "l").symlink_to("a")
    record = await kept.store.bring(f"file://{tmp_path}/tree")
    with pytest.raises(ArtifactError, match="'l' is a link to a folder"):
        await kept.store.export(record, f"{elsewhere.url}/x")
    assert [h async for h in elsewhere.below("")] == []
