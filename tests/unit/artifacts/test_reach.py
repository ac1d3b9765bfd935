"""What documents may reach from the daemon: addresses inside and files of its own are refused, by whatever way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.artifacts import FolderStore
from backend.artifacts.reach import Reach
from backend.errors import ArtifactError
from backend.layout import Layout

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """A port that answers; `/to/HOST` redirects there."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", f"http://{self.path[4:]}")
                self.end_headers()
                return
            self.send_response(200)
            if self.path.startswith("/as/"):
                self.send_header("Content-Encoding", self.path[4:].replace("+", ", "))
            self.end_headers()
            self.wfile.write(b"inside")

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_address[1]
        found.shutdown()


async def bring(tmp_path: Path, uri: str, reach: Reach) -> bytes:
    layout = Layout(tmp_path / "data")
    record = await FolderStore(layout, reach).bring(uri)
    return (layout.root / record.location).read_bytes()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]",
        "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "168.63.129.16",
    ],
)  # fmt: skip
async def test_addresses_inside_are_refused_however_they_are_written(tmp_path: Path, host: str, server: int) -> None:
    with pytest.raises(ArtifactError, match=r"out of reach.*inside|cannot be read.*not known"):
        await bring(tmp_path, f"http://{host}:{server}/", Reach())
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()]


async def test_a_name_that_leads_inside_is_refused(tmp_path: Path, server: int) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]  # one good address does not make the other good

    with pytest.raises(ArtifactError, match=r"innocent\.example \(127\.0\.0\.1\) is out of reach"):
        await bring(tmp_path, f"http://innocent.example:{server}/", Reach(resolve=resolve))


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(tmp_path: Path, server: int) -> None:
    answers = [["127.0.0.1"], ["10.9.9.9"]]  # what it would be told if it asked twice

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    reach = Reach(["127.0.0.1/32"], resolve=resolve)
    assert await bring(tmp_path, f"http://rebinding.example:{server}/", reach) == b"inside"
    assert len(answers) == 1


async def test_a_redirect_is_checked_as_its_beginning_is(tmp_path: Path, server: int) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    reach = Reach(["files.example"], resolve=resolve)
    assert await bring(tmp_path, f"http://files.example:{server}/x", reach) == b"inside"
    for other in ("127.0.0.1", "elsewhere.example"):
        with pytest.raises(ArtifactError, match="out of reach"):
            await bring(tmp_path, f"http://files.example:{server}/to/{other}:{server}/x", reach)
    with pytest.raises(ArtifactError):
        await bring(tmp_path, f"http://files.example:{server}/to/files.example:{server}/to/files.example", reach)


async def test_what_is_allowed_is_reached(tmp_path: Path, server: int) -> None:
    assert await bring(tmp_path, f"http://127.0.0.1:{server}/", Reach(["127.0.0.0/8"])) == b"inside"
    assert await bring(tmp_path, f"http://localhost:{server}/", Reach(["localhost"])) == b"inside"
    with pytest.raises(ArtifactError):
        await bring(tmp_path, f"http://127.0.0.1:{server}/", Reach(["10.0.0.0/8", "*.example"]))


async def test_a_proxy_of_the_company_is_no_way_inside(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server}")
    assert await bring(tmp_path, "http://public.example/", Reach()) == b"inside"  # said by the proxy
    with pytest.raises(ArtifactError, match="out of reach"):
        await bring(tmp_path, "http://169.254.169.254/latest", Reach())


async def test_files_of_the_daemon_and_of_the_system_are_not_read(tmp_path: Path) -> None:
    data, key, link = tmp_path / "data", tmp_path / "tls.key", tmp_path / "link"
    (data / "artifacts").mkdir(parents=True)
    (data / "artifacts" / "others").write_text("x")
    key.write_text("x")
    link.symlink_to(data)
    reach = Reach(closed=[data, key])
    for path in (data / "artifacts" / "others", key, link / "artifacts", tmp_path, Path("/proc/self/environ")):
        with pytest.raises(ArtifactError, match="out of reach"):
            await bring(tmp_path, f"file://{path}", reach)
    with pytest.raises(ArtifactError, match="out of reach"):
        await bring(tmp_path, f"file://{tmp_path}/x/../data/artifacts/others", reach)


async def test_files_are_written_only_where_they_may_be(tmp_path: Path) -> None:
    layout, shared, other = Layout(tmp_path / "data"), tmp_path / "shared", tmp_path / "home"
    shared.mkdir()
    other.mkdir()
    (shared / "in").write_text("x")
    (shared / "out").symlink_to(other)
    store = FolderStore(layout, Reach(files=[shared], closed=[layout.root]))
    record = await store.bring(f"file://{shared}/in")
    await store.export(record, f"file://{shared}/report")
    assert (shared / "report").read_text() == "x"
    for path in (f"{other}/.ssh/authorized_keys", f"{shared}/../home/x", f"{shared}/out/x", f"{layout.root}/api.sock"):
        with pytest.raises(ArtifactError, match="out of reach"):
            await store.export(record, f"file://{path}")
    assert not [*other.iterdir()]
    nowhere = FolderStore(layout, Reach(files=[]))
    with pytest.raises(ArtifactError, match="are none"):
        await nowhere.bring(f"file://{shared}/in")


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip+gzip", "compress"])
async def test_a_bomb_of_another_coding_is_not_unpacked(tmp_path: Path, server: int, coding: str) -> None:
    with pytest.raises(ArtifactError, match="nobody has asked for"):
        await bring(tmp_path, f"http://127.0.0.1:{server}/as/{coding}", Reach(["127.0.0.1"]))
