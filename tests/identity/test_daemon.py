"""The real daemon over TCP: who is let in over TLS, and behind a proxy, and who is not."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.admin.authority import issue, new_authority
from backend.trust import IAP
from tests.e2e.daemon import Daemon
from tests.e2e.program import environment
from tests.etcd_fixture import etcd_binary, pytest_collection_finish
from tests.identity.conftest import KEYS
from tests.issuer_fixture import DAY, IssuerServer, Key

__all__ = ["etcd_binary", "pytest_collection_finish"]
pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]
AUDIENCE = "/projects/1/global/backendServices/2"
ASSERTION = "x-goog-iap-jwt-assertion"


class Open:
    """A daemon that serves other machines, and an issuer whose tokens it takes."""

    def __init__(self, folder: Path, issuer: IssuerServer, *flags: str, tls: bool) -> None:
        self.issuer, self.folder = issuer, folder
        authority = new_authority("authority of the API", DAY)
        pair = issue(authority, "api", ["127.0.0.1"], DAY)
        self.ca = folder / "ca.crt"
        for name, content in (("ca.crt", authority.cert), ("tls.crt", pair.cert), ("tls.key", pair.key)):
            (folder / name).write_bytes(content)
        files = ("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"))
        self.daemon = Daemon(folder)
        self.url = self.daemon.start(
            *("--listen", "127.0.0.1:0", "--trust-ca", str(issuer.ca), "--iap-audience", AUDIENCE),
            *("--iap-keys", f"{issuer.url}/keys", *(files if tls else ()), "--login-failures", "0", *flags),
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", verify=context, timeout=30)

    def asserted(self, email: str, key: Key = KEYS[0], **changed: Any) -> str:
        """The proxy's header."""
        claims = self.issuer.claims(**{"iss": IAP, "aud": AUDIENCE, "email": email, "groups": None, **changed})
        return key.sign(claims)

    def ask(self, path: str = "/whoami", method: str = "GET", **headers: str) -> httpx.Response:
        """A request with these headers (underscores are hyphens)."""
        return self.http.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def bind(self, subject: str, role: str, **on: Any) -> None:
        """Give a role, as the daemon's own user."""
        answer = self.daemon.http.post("/auth/bindings", json={"subject": subject, "role": role, **on})
        assert answer.status_code == 200, answer.text

    def khantui(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The program as somebody on another machine calls it."""
        return subprocess.run(
            [sys.executable, "-m", "khantui", *words],
            env=environment() | {"KHANTUI_ADDRESS": self.url, "KHANTUI_CA": str(self.ca)} | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def close(self) -> None:
        self.http.close()
        self.daemon.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, served: IssuerServer, etcd_binary: object) -> Iterator[Open]:
    """Over TLS, to those whom an issuer or the proxy names, and to tokens."""
    served.keys = list(KEYS)
    folder = tmp_path_factory.mktemp("site")
    oidc = f"issuer={served.url},audience=khantui,domains=example.org"
    site = Open(folder, served, "--oidc", oidc, "--admin", "group:ops", tls=True)
    for name, team in (("sales-eu", "sales"), ("payroll", "people")):
        site.daemon.apply(name, labels={"team": team}, stages={"a": {"script": "echo secret of $0"}})
    yield site
    site.close()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, served: IssuerServer, etcd_binary: object) -> Iterator[Open]:
    """Without TLS, behind the Identity-Aware Proxy."""
    served.keys = list(KEYS)
    site = Open(tmp_path_factory.mktemp("proxied"), served, "--behind-proxy", "--admin", "boss@example.org", tls=False)
    yield site
    site.close()


def test_an_issuers_token_is_its_users_with_the_roles_that_are_bound_to_them(site: Open) -> None:
    bearer = f"Bearer {site.issuer.token(groups=['sales'])}"
    who = site.ask(authorization=bearer).json()
    assert (who["name"], who["role"], who["origin"]) == ("ann@example.org", "anyone", "127.0.0.1")
    refused = site.ask("/pipelines", authorization=bearer)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    site.bind("group:sales", "operator", pipelines="sales-*")
    assert [p["name"] for p in site.ask("/pipelines", authorization=bearer).json()["items"]] == ["sales-eu"]
    assert site.ask("/pipelines/payroll", authorization=bearer).status_code == 404
    assert site.ask("/pipelines/sales-eu", "DELETE", authorization=bearer).status_code == 403
    ran = site.khantui("run", "sales-eu", "--wait", "-o", "name", KHANTUI_TOKEN=bearer.removeprefix("Bearer "))
    assert ran.returncode == 0, ran
    journal = site.daemon.http.get("/audit", params={"who": "ann@example.org"}).json()["items"]
    assert ("start_run", "127.0.0.1") in [(e["what"], e["origin"]) for e in journal]


def test_the_settings_make_administrators_whom_nobody_can_take_away(site: Open) -> None:
    bearer = f"Bearer {site.issuer.token(email='eve@example.org', groups=['ops'])}"
    found = site.ask("/auth/bindings", authorization=bearer).json()["items"]
    fixed = next(b for b in found if b["fixed"])
    assert (fixed["subject"], fixed["role"]) == ("group:ops", "admin")
    assert site.ask(f"/auth/bindings/{fixed['id']}", "DELETE", authorization=bearer).status_code == 409


def test_a_token_of_a_machine_does_what_it_was_made_for_until_it_is_revoked(site: Open, tmp_path: Path) -> None:
    socket = f"unix://{site.daemon.socket}"
    made = site.khantui(
        *("auth", "token", "create", "ci", "--role", "operator", "--pipelines", "sales-*", "--address", socket)
    )
    assert made.returncode == 0, made
    token = made.stdout.strip()
    assert token.startswith("khan_")
    assert token not in made.stderr
    can = site.khantui("auth", "can-i", "run", "sales-eu", KHANTUI_TOKEN=token)
    assert (can.returncode, can.stdout[:4]) == (0, "yes:")
    can = site.khantui("auth", "can-i", "run", "payroll", KHANTUI_TOKEN=token)
    assert (can.returncode, can.stdout[:3]) == (1, "no:")
    assert site.khantui("runs", "-o", "json", KHANTUI_TOKEN=token).returncode == 0
    refused = site.khantui("delete", "sales-eu", "--yes", KHANTUI_TOKEN=token)
    assert refused.returncode == 4, refused
    assert "token:ci has at most the role operator" in refused.stderr
    kept = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    assert token.encode() not in kept  # in no database, journal or log
    assert site.khantui("auth", "token", "revoke", "ci", "--address", socket).returncode == 0
    said = site.khantui("runs", KHANTUI_TOKEN=token)
    assert said.returncode == 4
    assert token not in said.stderr + said.stdout


def test_a_context_gets_its_token_from_a_command(site: Open, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(site.issuer.token(email="eve@example.org", groups=["ops"]))
    config = {"KHANTUI_CONFIG": str(tmp_path), "KHANTUI_ADDRESS": "", "KHANTUI_CA": ""}
    assert site.khantui("context", "add", "site", site.url, "--ca", str(site.ca), **config).returncode == 0
    set_ = site.khantui("context", "set", "site", "--token-command", f"cat {tmp_path / 'token'}", **config)
    assert set_.returncode == 0, set_
    site.khantui("context", "use", "site", **config)
    who = site.khantui("auth", "-o", "json", **config)
    assert who.returncode == 0, who
    assert json.loads(who.stdout)["name"] == "eve@example.org"


@pytest.mark.attack
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer khan_0000000000000000000000000000000000000000000"},
        {"authorization": "Basic cm9vdDpyb290"},
        {"x_goog_authenticated_user_email": "accounts.google.com:boss@example.org"},
        {"x_goog_authenticated_user_id": "accounts.google.com:1", "x_khan_user": "root"},
        {"x_forwarded_user": "root", "x_forwarded_email": "boss@example.org", "x_remote_user": "root"},
        {"x_forwarded_for": "127.0.0.1", "forwarded": "for=127.0.0.1", "x_real_ip": "127.0.0.1"},
        {"cookie": "authorization=Bearer x; GCP_IAP_UID=1"},
        {"x_goog_iap_jwt_assertion": "e30.e30."},
    ],
)
def test_who_shows_nothing_that_is_signed_is_told_nothing(site: Open, proxied: Open, headers: dict[str, str]) -> None:
    for daemon in (site, proxied):
        for path in ("/whoami", "/runs", "/events", "/auth/bindings", "/audit"):
            answer = daemon.ask(path, **headers)
            assert answer.status_code == 401, answer.text
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/api/v1", "/openapi.json", "/metrics", "/healthz"):
            assert daemon.http.get(daemon.url + path).status_code == 401


def test_behind_the_proxy_everybody_is_who_the_proxy_says(proxied: Open) -> None:
    boss = proxied.asserted("boss@example.org")
    assert proxied.ask(x_goog_iap_jwt_assertion=boss).json()["role"] == "admin"
    ann = {"x_goog_iap_jwt_assertion": proxied.asserted("ann@example.org")}
    assert proxied.ask(**ann).json()["role"] == "anyone"
    # what the client has shown to the proxy itself is not ours, and headers that nobody signs say nothing
    more = {"authorization": "Bearer of-the-proxy", "x_goog_authenticated_user_email": "boss@example.org"}
    assert proxied.ask(**ann, **more).json()["name"] == "ann@example.org"


@pytest.mark.attack
@pytest.mark.parametrize(
    ("changed", "key", "said"),
    [
        ({"aud": "/projects/1/global/backendServices/9"}, KEYS[0], "for somebody else"),
        ({"iss": "https://accounts.google.com"}, KEYS[0], "another issuer"),
        ({"exp": 1_700_000_000}, KEYS[0], "has expired"),
        ({}, KEYS[1], "not taken"),
        ({}, Key("k1"), "signature or form is wrong"),
        ({}, Key("k7"), "does not have"),
    ],
)
def test_a_header_that_the_proxy_has_not_signed_for_us_opens_nothing(
    proxied: Open, changed: dict[str, Any], key: Key, said: str
) -> None:
    answer = proxied.ask(x_goog_iap_jwt_assertion=proxied.asserted("boss@example.org", key, **changed))
    assert answer.status_code == 401
    assert said in answer.json()["title"]


@pytest.mark.attack
def test_a_header_that_comes_twice_or_in_other_spellings_is_not_taken(proxied: Open) -> None:
    good, other = proxied.asserted("ann@example.org"), proxied.asserted("boss@example.org")
    port = int(proxied.url.rpartition(":")[2])
    for lines in (
        [f"{ASSERTION}: {good}", f"{ASSERTION}: {other}"],
        [f"x_goog_iap_jwt_assertion: {other}"],
        [f"{ASSERTION}: {good}, {other}"],
        [f"{ASSERTION}:", f" {other}"],  # folded, as HTTP once allowed
        [f"{ASSERTION} : {other}"],
        [f"X-Goog-Iap-Jwt-Assertion\t: {other}"],
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            head = ["GET /api/v1/whoami HTTP/1.1", "Host: khantui", "Connection: close", *lines]
            raw.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
            said = b""
            while part := raw.recv(65536):
                said += part
        assert said.split(b" ")[1] in (b"400", b"401"), (lines, said)
        assert b"boss" not in said


@pytest.mark.attack
def test_one_request_is_not_taken_for_two(proxied: Open) -> None:
    """A request with two lengths, or a length and chunks, could hide another from a proxy."""
    port = int(proxied.url.rpartition(":")[2])
    good = proxied.asserted("boss@example.org")
    hidden = f"GET /api/v1/auth/bindings HTTP/1.1\r\nHost: khantui\r\n{ASSERTION}: {good}\r\n\r\n"
    for lines in (
        [f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"],
        ["Content-Length: 0", f"Content-Length: {len(hidden)}"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked", f"Content-Length: {len(hidden)}"],
        [f"Content-Length: +{len(hidden)}"],
        [f"Content-Length: {len(hidden)}, {len(hidden)}"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding:\x0bchunked"],
        ["X: y\rTransfer-Encoding: chunked"],
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            head = ["POST /api/v1/lint HTTP/1.1", "Host: khantui", *lines]
            raw.sendall(("\r\n".join(head) + "\r\n\r\n0\r\n\r\n" + hidden).encode())
            raw.shutdown(socket.SHUT_WR)
            said = b""
            while part := raw.recv(65536):
                said += part
        assert b"HTTP/1.1 200" not in said, (lines, said)


@pytest.mark.attack
def test_wrong_tokens_hold_up_who_shows_them_and_no_neighbour(
    tmp_path: Path, served: IssuerServer, etcd_binary: object
) -> None:
    served.keys = list(KEYS)
    flags = ("--behind-proxy", "--forwarded", "2", "--admin", "boss@example.org", "--login-failures", "3")
    site = Open(tmp_path, served, *flags, tls=False)
    try:
        boss = {ASSERTION: site.asserted("boss@example.org")}
        there = {"X-Forwarded-For": "203.0.113.9, 35.1.1.1"}
        assert site.http.get("/whoami", headers=boss | there).json()["origin"] == "203.0.113.9"
        wrong = [{"Authorization": f"Bearer khan_{number}"} for number in range(20)]
        said = [site.http.get("/whoami", headers=each | there) for each in wrong]
        assert [each.status_code for each in said] == [401] * 3 + [429] * 17
        assert int(said[3].headers["Retry-After"]) >= 1
        # others, who put that address in front of their own, are not held up for it; nor is who was let in before
        spoofed = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 35.1.1.1"}
        assert site.http.get("/whoami", headers=wrong[0] | spoofed).status_code == 401
        assert site.http.get("/whoami", headers=boss | there).status_code == 200
        new = {ASSERTION: site.asserted("ann@example.org")}
        assert site.http.get("/whoami", headers=new | there).status_code == 429
        assert site.http.get("/whoami", headers=new | spoofed).status_code == 200
        entries = site.daemon.http.get("/audit", params={"outcome": "denied"}).json()["items"]
        assert [e["origin"] for e in entries] == ["198.51.100.7"] + ["203.0.113.9"] * 3
    finally:
        site.close()


@pytest.mark.attack
def test_roles_cannot_be_had_by_asking_for_them(site: Open) -> None:
    site.bind("editor@example.org", "editor", pipelines="sales-*")
    editor = {"authorization": f"Bearer {site.issuer.token(email='editor@example.org', groups=[])}"}
    bind = {"subject": "editor@example.org", "role": "admin"}
    for method, path, body in (
        ("POST", "/auth/bindings", bind),
        ("POST", "/auth/tokens", {"name": "mine", "role": "admin"}),
        ("DELETE", "/auth/bindings/x", None),
        ("GET", "/auth/bindings", None),
        ("GET", "/auth/explain?user=boss@example.org", None),
        ("PUT", "/images/evil", {"tools": ["sh"]}),
    ):
        answer = site.http.request(method, path, json=body, headers=editor)
        assert answer.status_code == 403, (path, answer.text)
    document = {"name": "payroll", "stages": {"a": {"image": "shell", "script": "true"}}}
    for changed in ({}, {"name": "sales-x", "inputs": {"p": {"from": "payroll/report"}}}):
        body = {"document": json.dumps(document | changed)}
        assert site.http.post("/pipelines", json=body, headers=editor).status_code in (403, 404, 422)
    schedule = {"pipeline": "payroll", "kind": "cron", "cron": ["0 6 * * *"]}
    assert site.http.put("/schedules/s", json=schedule, headers=editor).status_code == 404


@pytest.mark.attack
def test_a_proxy_before_the_loopback_port_gives_nobody_the_rights_of_its_user(
    tmp_path: Path, etcd_binary: object
) -> None:
    daemon = Daemon(tmp_path)
    try:
        url = daemon.start("--port", "0")
        assert httpx.get(f"{url}/api/v1/whoami").json()["role"] == "admin"
        for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Goog-Iap-Jwt-Assertion"):
            answer = httpx.get(f"{url}/api/v1/whoami", headers={header: "1.2.3.4"})
            assert (answer.status_code, "through a proxy" in answer.text) == (403, True)
    finally:
        daemon.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_of_the_machine_has_what_is_bound_to_them(tmp_path: Path, etcd_binary: object) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    socket_ = Path(f"/tmp/khantui-test-{os.getpid()}.sock")
    daemon = Daemon(folder, socket_)
    asks = (
        "import os, socket, sys; os.setgid(65534); os.setgroups([]); os.setuid(65534);"
        f"c = socket.socket(socket.AF_UNIX); c.connect({str(socket_)!r});"
        "c.sendall(f'GET /api/v1{sys.argv[1]} HTTP/1.1\\r\\nHost: k\\r\\nX-Khan-User: root\\r\\n'"
        "'Connection: close\\r\\n\\r\\n'.encode());"
        "head, _, body = b''.join(iter(lambda: c.recv(65536), b'')).partition(b'\\r\\n\\r\\n');"
        "print(head.split()[1].decode(), body.decode())"
    )

    def nobody(path: str) -> str:
        return subprocess.run([sys.executable, "-c", asks, path], stdout=subprocess.PIPE, text=True, timeout=60).stdout

    try:
        daemon.start("--socket", str(socket_), "--socket-mode", "666")
        assert socket_.stat().st_mode & 0o777 == 0o666
        who = json.loads(nobody("/whoami").partition(" ")[2])
        assert (who["name"], who["role"], who["origin"]) == ("unix:nobody", "anyone", "unix")
        assert nobody("/runs").startswith("403 ")
        daemon.http.post("/auth/bindings", json={"subject": "user:unix:nobody", "role": "viewer"})
        assert nobody("/runs").startswith("200 ")
        assert nobody("/audit").startswith("403 ")
    finally:
        daemon.close()


def test_a_session_is_its_users_and_goes_on_when_the_proxys_word_has_ended(proxied: Open) -> None:
    begun = proxied.ask("/auth/session", "POST", x_goog_iap_jwt_assertion=proxied.asserted("cat@example.org"))
    assert begun.status_code == 201, begun.text
    token = begun.json()["token"]
    assert begun.json()["user"] == "cat@example.org"
    ann = {"x_goog_iap_jwt_assertion": proxied.asserted("ann@example.org")}
    # behind this proxy everything comes through it: the session says who, the header that somebody has come so
    who = proxied.ask(**ann, authorization=f"Bearer {token}").json()
    assert (who["name"], who["role"]) == ("cat@example.org", "anyone")
    proxied.bind("cat@example.org", "viewer")
    assert proxied.ask("/runs", **ann, authorization=f"Bearer {token}").status_code == 200
    # and it makes no other, nor does the daemon's own user
    assert proxied.ask("/auth/session", "POST", **ann, authorization=f"Bearer {token}").status_code == 403
    assert proxied.daemon.http.post("/auth/session").status_code == 403
    assert proxied.ask("/images/x", "DELETE", **ann, authorization=f"Bearer {token}").status_code == 403
    journal = proxied.daemon.http.get("/audit", params={"who": "cat@example.org"}).json()["items"]
    assert [(e["what"], e["outcome"], e["proof"]) for e in journal] == [
        ("delete_image", "denied", "session"), ("begin_session", "denied", "session"), ("begin_session", "done", "iap"),
    ]  # fmt: skip
    (session,) = proxied.daemon.http.get("/auth/sessions").json()["items"]
    assert session["user"] == "cat@example.org"
    assert proxied.daemon.http.delete(f"/auth/sessions/{session['id']}").status_code == 204
    assert proxied.ask("/runs", **ann, authorization=f"Bearer {token}").status_code == 401


@pytest.mark.attack
def test_a_token_of_a_machine_begins_no_session_that_would_outlive_it(site: Open) -> None:
    made = site.daemon.http.post("/auth/tokens", json={"name": "short", "role": "viewer", "seconds": 60})
    bearer = f"Bearer {made.json()['token']}"
    assert site.ask("/auth/session", "POST", authorization=bearer).status_code == 403
    assert site.daemon.http.delete("/auth/tokens/short").status_code == 204


def test_a_page_in_a_browser_has_the_rights_of_whom_the_proxy_names(site: Open) -> None:
    """`khantui web --sign-in`: what its sessions are started with, over a real websocket."""
    site.bind("dora@example.org", "viewer")
    site.daemon.http.post("/pipelines/sales-eu/runs", json={}).raise_for_status()  # for her to see
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "khantui", "web", "--port", str(port), "--behind-proxy", "--sign-in"]
    around = environment() | {"KHANTUI_ADDRESS": site.url, "KHANTUI_CA": str(site.ca)}
    process = subprocess.Popen(argv, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        assert b"403 Forbidden" in upgraded(port, "")
        assert b"403 Forbidden" in upgraded(port, site.asserted("dora@example.org", Key("k1")))
        assert b"101 Switching" in upgraded(port, site.asserted("dora@example.org"), until="viewer")
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "eyJ" not in errors
    assert "khan_" not in errors
    journal = site.daemon.http.get("/audit", params={"who": "dora@example.org"}).json()["items"]
    assert "begin_session" in [e["what"] for e in journal]


def connected(port: int) -> socket.socket:
    """A connection to what is about to listen there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def upgraded(port: int, assertion: str, until: str = "") -> bytes:
    """What is answered to a browser that wants a websocket; until its first screen has come, if it is let in."""
    lines = [
        "GET /ws?width=100&height=30 HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Origin: http://127.0.0.1:{port}",
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"{ASSERTION}: {assertion}"] if assertion else []),
    ]
    with connected(port) as raw:
        raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        said = raw.recv(65536)
        while until and b"sales-eu" not in said:  # she sees a run of it
            part = raw.recv(65536)
            assert part, said[-2000:]
            said += part
    return said


@pytest.mark.attack
def test_who_has_a_session_is_nobody_else_by_headers_that_are_not_signed(proxied: Open) -> None:
    ann = proxied.asserted("ann@example.org")
    session = proxied.http.post("/auth/session", headers={ASSERTION: ann}).json()["token"]
    mine = {ASSERTION: ann, "Authorization": f"Bearer {session}"}
    boss = "accounts.google.com:boss@example.org"
    for more in (
        {"X-Goog-Authenticated-User-Email": boss, "X-Goog-Authenticated-User-Id": boss},
        {"X-Forwarded-User": "boss@example.org", "Remote-User": "boss@example.org", "X-Khan-User": "boss@example.org"},
        {"x_goog_iap_jwt_assertion": proxied.asserted("boss@example.org")},
        {"X-Original-Url": "/api/v1/auth/bindings", "X-Rewrite-Url": "/api/v1/auth/bindings"},
        {"X-Http-Method-Override": "DELETE", "X-Forwarded-For": "127.0.0.1"},
    ):
        who = proxied.http.get("/whoami", headers=mine | more).json()
        assert (who["name"], who["role"], who["origin"]) == ("ann@example.org", "anyone", "127.0.0.1")
    forged = proxied.asserted("boss@example.org", Key("k1"))
    assert proxied.http.get("/whoami", headers=mine | {ASSERTION: forged}).status_code == 401
