"""Secrets and accounts by the command line, on a real daemon with a real etcd: nothing of a value is anywhere after."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

VALUE = "a-value-that-is-nowhere-else-8c1f"
ROTATED = "another-value-that-is-nowhere-2e77"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


def nowhere(folder: Path) -> None:
    """Neither etcd's data, nor logs, nor what is left of attempts."""
    looked = 0
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            looked += len(data)
            for value in (VALUE, ROTATED):
                assert value.encode() not in data, path
    assert looked > 1 << 20  # etcd's own files were among them


def test_from_set_to_delete(daemon: Daemon, tmp_path: Path) -> None:
    khantui = Program(daemon.folder)
    made = khantui("secrets", "set", "api-token", "--description", "for tests", stdin=VALUE + "\n")
    assert made.code == 0, made
    assert "no service account declares api-token yet" in made.err
    account = tmp_path / "account.json"
    account.write_text(json.dumps({"secrets": [{"secret": "api-token", "env": "TOKEN"}], "network": "none"}))
    assert khantui("accounts", "set", "loader", str(account)).code == 0
    script = 'echo "token $TOKEN"; while ! test -e /tmp/go; do sleep 0.02; done; echo "again $TOKEN"'
    document = {"name": "loads", "service_account": "loader", "stages": {"a": {"image": "shell", "script": script}}}
    khantui.apply(tmp_path / "loads", document)
    run = daemon.run("loads")
    stars = "*" * len(VALUE)
    daemon.until(run, lambda r: r["state"] == "running" and bool(r["stages"][0]["attempts"]))
    log = daemon.folder / "attempts" / run / "a" / "1" / "log"
    while not log.exists() or stars not in log.read_text():  # it is overwritten on the disk while the stage runs
        time.sleep(0.01)
    assert daemon.log(run, "a") == [f"token {stars}"]
    refused = khantui("secrets", "delete", "api-token")
    assert (refused.code, "declared by the service account loader" in refused.err) == (1, True)
    refused = khantui("accounts", "delete", "loader")
    assert (refused.code, "is used by loads" in refused.err) == (1, True)

    rotated = khantui("secrets", "rotate", "api-token", stdin=ROTATED)
    assert rotated.code == 0, rotated
    daemon.kill()  # and the next one still knows what the stage was given
    daemon.start()
    daemon.until(run, lambda r: r["state"] == "running")
    assert daemon.log(run, "a") == [f"token {stars}"]
    (log.parent / "tmp" / "go").touch()
    assert daemon.ended(run)["state"] == "succeeded"
    assert daemon.log(run, "a") == [f"token {stars}", f"again {stars}"]
    second = daemon.run("loads")
    daemon.until(second, lambda r: r["state"] == "running" and bool(r["stages"][0]["attempts"]))
    tmp = daemon.folder / "attempts" / second / "a" / "1" / "tmp"
    while not tmp.exists():
        time.sleep(0.01)
    (tmp / "go").touch()
    daemon.ended(second)
    assert daemon.log(second, "a")[0] == f"token {'*' * len(ROTATED)}"

    shown = khantui.json("secrets", "show", "api-token")
    assert (shown["version"], shown["accounts"]) == (2, ["loader"])
    assert [(u["run"], u["current"]) for u in shown["uses"]] == [(second, True), (run, False)]
    described = khantui("status", run, "-o", "json")
    assert json.loads(described.out)["environment"] == {"TOKEN": "***"}
    before = (daemon.folder / "secrets.key").read_text()
    wrapped = khantui("secrets", "rotate")
    assert "1 secrets are wrapped with the key" in wrapped.out
    assert (daemon.folder / "secrets.key").read_text() != before
    third = daemon.run("loads")
    daemon.until(third, lambda r: r["state"] == "running" and bool(r["stages"][0]["attempts"]))
    tmp = daemon.folder / "attempts" / third / "a" / "1" / "tmp"
    while not tmp.exists():
        time.sleep(0.01)
    (tmp / "go").touch()
    assert daemon.ended(third)["state"] == "succeeded"
    everything = "".join(
        (r.out + r.err)
        for r in (made, refused, rotated, described, wrapped, khantui("secrets", "-o", "json"), khantui("secrets"))
    )
    assert VALUE not in everything
    assert ROTATED not in everything
    nowhere(daemon.folder)

    assert khantui("delete", "loads", "-y").code == 0
    assert khantui("accounts", "delete", "loader").code == 0
    assert khantui("secrets", "delete", "api-token").code == 0
    assert khantui.json("secrets") == []
    nowhere(daemon.folder)


def test_what_cannot_be_said(daemon: Daemon, tmp_path: Path) -> None:
    khantui = Program(daemon.folder)
    file = tmp_path / "account.json"
    for text, words in [
        ("{", "declares no service account"),
        ('{"netwrok": "none"}', "unknown field `netwrok`"),
        ('{"network": ["http://x"]}', "is no"),
        ('{"network": ["127.0.0.1"]}', "each port must be named"),
        ('{"secrets": [{"secret": "x"}]}', "how is the secret 'x' to be given?"),
        ('{"secrets": [{"secret": "x", "env": "LD_PRELOAD"}]}', "cannot be the variable"),
        ('{"secrets": [{"secret": "x", "file": "../x"}]}', "cannot be the file"),
    ]:
        file.write_text(text)
        result = khantui("accounts", "set", "wrong", str(file))
        assert result.code in (1, 2), result
        assert words in result.err
    assert "at least 4 bytes" in khantui("secrets", "set", "short", stdin="abc\n").err
    assert khantui("accounts", "show", "wrong").code == 1
    document = {"name": "p", "service_account": "laoder", "stages": {"a": {"image": "shell", "script": "true"}}}
    file.write_text('{"secrets": [{"secret": "gone", "env": "X"}]}')
    made = khantui("accounts", "set", "loader", str(file))
    assert "there is no secret 'gone' yet" in made.err
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "pipeline.json").write_text(json.dumps(document))
    said = khantui("apply", str(tmp_path / "p"))
    assert (said.code, "did you mean 'loader'?" in said.out + said.err) == (1, True), said
    khantui.apply(tmp_path / "p", document | {"service_account": "loader"})
    run = daemon.ended(daemon.run("p"))
    assert run["state"] == "failed"
    assert "declares the secret 'gone', which is not there" in run["message"]
