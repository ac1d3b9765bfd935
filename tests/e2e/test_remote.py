"""Daemons that share an etcd, and what is served to other machines: over TLS, with a token, and nothing to others."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.admin.authority import Pair, issue, new_authority
from backend.store.server_binary import EtcdBinary
from tests.e2e.daemon import Daemon
from tests.e2e.program import environment
from tests.etcd_fixture import etcd_binary, pytest_collection_finish
from tests.store.cluster import DAY, Cluster

__all__ = ["etcd_binary", "pytest_collection_finish"]
pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]
TOKEN = "0123456789abcdef0123456789abcdef"


class Site:
    """An etcd of others, an authority, and daemons on one data folder."""

    def __init__(self, folder: Path, binary: EtcdBinary) -> None:
        self.folder = folder
        (folder / "etcd").mkdir()
        self.etcd = Cluster(folder / "etcd", binary, 1)
        self.etcd.start_all()
        self.authority = new_authority("authority of the API", DAY)
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self.authority.cert)
        self.write(issue(self.authority, "api", ["127.0.0.1"], DAY))
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.daemons: list[Daemon] = []

    def write(self, pair: Pair) -> None:
        """Put the API's certificate in place."""
        for name, content in (("tls.key", pair.key), ("tls.crt", pair.cert)):
            (self.folder / f"{name}.part").write_bytes(content)
            (self.folder / f"{name}.part").replace(self.folder / name)

    def daemon(self, name: str, *flags: str) -> str:
        """Start one: the URL that it says."""
        access = self.etcd.access("khantui")
        data = self.folder / "d"
        data.mkdir(exist_ok=True)
        daemon = Daemon(data, data.with_name(f"{name}.sock"))
        self.daemons.append(daemon)
        return daemon.start(
            *("--etcd", ",".join(access.endpoints), "--etcd-ca", str(access.ca)),
            *("--etcd-cert", str(access.cert), "--etcd-key", str(access.key)),
            *("--socket", str(daemon.socket), *flags),
        )

    def serve(self, name: str = "api", role: str = "api", *flags: str) -> str:
        """Start one that serves other machines."""
        tls = ("--tls-cert", str(self.folder / "tls.crt"), "--tls-key", str(self.folder / "tls.key"))
        listen = ("--listen", "127.0.0.1:0", "--token-file", str(self.token))
        return self.daemon(name, "--role", role, *listen, *tls, *flags)

    def khantui(self, url: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The program as somebody on another machine calls it."""
        return subprocess.run(
            [sys.executable, "-m", "khantui", *words],
            env=environment() | {"KHANTUI_ADDRESS": url, "KHANTUI_CA": str(self.ca)} | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def site(tmp_path: Path, etcd_binary: EtcdBinary) -> Iterator[Site]:
    site = Site(tmp_path, etcd_binary)
    yield site
    for daemon in site.daemons:
        daemon.close()
    site.etcd.close()


def test_a_pipeline_is_applied_and_run_through_one_daemon_while_another_leads(site: Site, tmp_path: Path) -> None:
    url = site.serve()
    assert url.startswith("https://127.0.0.1:")
    document = {"name": "p", "stages": {"a": {"image": "shell", "script": "echo hello"}}}
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "pipeline.json").write_text(json.dumps(document))
    applied = site.khantui(url, "apply", str(tmp_path / "p"), KHANTUI_TOKEN=TOKEN)
    assert applied.returncode == 0, applied
    asked = site.khantui(url, "run", "p", KHANTUI_TOKEN=TOKEN)  # nobody leads yet: it waits
    assert asked.returncode == 0, asked
    said = site.daemon("controller", "--role", "controller", "--port", "0")
    assert said.startswith("unix://")  # a controller serves nobody but its own user
    ran = site.khantui(url, "run", "p", "--wait", "-o", "json", KHANTUI_TOKEN_FILE=str(site.token))
    assert ran.returncode == 0, ran
    assert json.loads(ran.stdout)["state"] == "succeeded"
    log = site.khantui(url, "logs", "p", "a", KHANTUI_TOKEN=TOKEN)
    assert log.stdout == "hello\n", log


def test_a_second_controller_takes_over_from_one_that_was_killed(site: Site) -> None:
    site.daemon("one", "--role", "controller")
    one = site.daemons[0]
    one.apply("p", stages={"a": {"script": "echo ran; sleep 2; echo ended"}})
    run = one.run("p")
    one.until(run, lambda r: r["stages"][0]["state"] == "running")
    site.daemon("two", "--role", "controller")
    one.kill()
    two = site.daemons[1]
    assert two.ended(run)["state"] == "succeeded"
    assert two.log(run, "a") == ["ran", "ended"]


def test_without_the_token_nothing_is_told(site: Site) -> None:
    url = site.serve()
    for variables, code in (({}, 4), ({"KHANTUI_TOKEN": TOKEN[:-1]}, 4), ({"KHANTUI_TOKEN": TOKEN + "0"}, 4)):
        said = site.khantui(url, "runs", **variables)
        assert said.returncode == code, said
        assert "token is missing or wrong" in said.stderr
    context = ssl.create_default_context(cafile=str(site.ca))
    for path in ("/api/v1", "/api/v1/runs", "/api/v1/audit", "/openapi.json", "/metrics", "/healthz"):
        headers = {"Authorization": f"Basic {TOKEN}", "X-Forwarded-For": "127.0.0.1", "X-Khan-User": "root"}
        assert httpx.get(url + path, verify=context, headers=headers).status_code == 401


def test_a_token_that_was_replaced_holds_from_then_on(site: Site) -> None:
    url, new = site.serve(), "f" * 40
    site.token.write_text(new)
    os.utime(site.token, ns=(1, 1))
    assert site.khantui(url, "runs", KHANTUI_TOKEN=new).returncode == 0
    assert site.khantui(url, "runs", KHANTUI_TOKEN=TOKEN).returncode == 4


def test_a_certificate_that_was_renewed_is_shown_from_then_on(site: Site) -> None:
    url = site.serve()
    port = int(url.rpartition(":")[2])
    first = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(site.ca))
    site.write(issue(site.authority, "api", ["127.0.0.1"], DAY))
    second = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(site.ca))
    assert first != second
    assert second.encode() == (site.folder / "tls.crt").read_bytes()
    assert site.khantui(url, "runs", KHANTUI_TOKEN=TOKEN).returncode == 0


def test_a_daemon_that_is_not_trusted_is_told_nothing(site: Site, tmp_path: Path) -> None:
    url, other = site.serve(), tmp_path / "other.crt"
    other.write_bytes(new_authority("somebody else", DAY).cert)
    said = site.khantui(url, "runs", KHANTUI_TOKEN=TOKEN, KHANTUI_CA=str(other))
    assert said.returncode == 3
    assert "is not trusted" in said.stderr
    assert "KHANTUI_CA" in said.stderr


def test_probes_tell_whoever_asks_how_it_is_and_nothing_else(site: Site) -> None:
    port = _free()
    site.serve("api", "api", "--probes", f"127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    ready: Any = httpx.get(base + "/readyz").json()
    assert ready["store"] == "ok"
    assert httpx.get(base + "/healthz").status_code == 200
    assert "khantui_leader 0.0" in httpx.get(base + "/metrics").text
    for path in ("/api/v1", "/api/v1/runs", "/openapi.json"):
        assert httpx.get(base + path).status_code == 404


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--listen", "127.0.0.1:0"), "--tls-cert and --tls-key; or --behind-proxy"),
        (("--listen", "127.0.0.1:0", "--token-file", "t", "--behind-proxy"), "needs --iap-audience or --oidc"),
        (("--listen", "nowhere", "--behind-proxy", "--iap-audience", "a"), "is HOST:PORT"),
        (("--iap-audience", "a", "--iap-keys", "http://keys.example"), "must be an https:// address"),
        (("--oidc", "issuer=https://i.example"), "needs an issuer and an audience"),
        (("--oidc", "issuer=https://i.example,audience=a,algorithms=HS256"), "'HS256' is not taken"),
        (("--oidc", "issuer=https://i.example,audience=a,algorithms=none"), "'none' is not taken"),
        (("--socket-mode", "777"), "is 600, 660 or 666"),
        (("--tls-cert", "x"), "belong together"),
        (("--role", "api"), "needs --etcd"),
        (("--etcd", "https://127.0.0.1:1", "--etcd-cert", "x"), "belong together"),
        (("--etcd", "http://127.0.0.1:1", "--etcd-ca", "x"), "https://"),
        (("--etcd-user", "khan"), "needs --etcd-password-file"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend", "--data", str(tmp_path), *flags], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_a_token_that_can_be_guessed_and_a_socket_that_is_taken_are_refused(site: Site) -> None:
    site.token.write_text("secret")
    with pytest.raises(AssertionError, match="shorter than 16 bytes"):
        site.serve("guessed")
    site.token.write_text(TOKEN)
    site.serve("one")
    with pytest.raises(AssertionError, match="another daemon serves on"):
        site.serve("one")


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
