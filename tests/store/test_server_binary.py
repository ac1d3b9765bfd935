"""Which etcd is run: the one that was named, else our own, else the system's, else one that is built, once."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from backend.errors import StoreError
from backend.store import server_binary
from backend.store.server_binary import EtcdBinary, build, cached, find, provide, unfit, version_of


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and a PATH that has nothing but `sh`'s own tools."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setattr(server_binary, "USUAL", (tmp_path / "usr" / "etcd",))
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def etcd(path: Path, version: str = "3.6.16") -> Path:
    """A program that calls itself an etcd of this version."""
    return program(path, f"echo 'etcd Version: {version}'; echo 'Git SHA: abc'; echo 'Go Version: go1.25.1'")


def quiet(_: str) -> None:
    pass


# The search


def test_the_order_of_the_search(machine: Path) -> None:
    places = [cached(), machine / "bin" / "etcd", machine / "usr" / "etcd"]
    assert find() is None
    for place in reversed(places):
        etcd(place)
        assert find() == EtcdBinary(place, (3, 6, 16))
    named = etcd(machine / "mine", "3.5.21")
    assert find(named) == EtcdBinary(named, (3, 5, 21))


@pytest.mark.parametrize("unusable", ["3.5.1", "3.3.27", None], ids=["loses writes", "too old", "broken"])
def test_one_that_cannot_be_used_is_passed_over(machine: Path, unusable: str | None) -> None:
    place = machine / "bin" / "etcd"
    _ = etcd(place, unusable) if unusable else program(place, "exit 1")
    good = etcd(machine / "usr" / "etcd")
    assert find() == EtcdBinary(good, (3, 6, 16))


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ((3, 3, 27), "3.4 or newer"),
        ((3, 4, 0), ""),
        ((3, 4, 23), ""),
        ((3, 5, 0), "lose acknowledged writes"),
        ((3, 5, 1), "lose acknowledged writes"),
        ((3, 5, 2), "lose acknowledged writes"),
        ((3, 5, 3), ""),
        ((3, 6, 16), ""),
        ((3, 7, 0), ""),
    ],
)
def test_which_versions_can_be_used(version: tuple[int, int, int], why: str) -> None:
    said = unfit(version)
    assert (why in said) if why else said == ""


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 'etcd Version: 3.5.21'", (3, 5, 21)),
        ("echo 'etcd Version: 3.6.0-rc.2'", (3, 6, 0)),
        ("echo 'etcd version 3.5.21'", None),
        ("echo", None),
        ("printf '\\377\\376\\000'", None),
        ("kill -9 $$", None),
    ],
)
def test_what_a_program_says_of_itself(tmp_path: Path, script: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(program(tmp_path / "etcd", script)) == version


def test_what_is_no_program_has_no_version(tmp_path: Path) -> None:
    assert version_of(tmp_path / "none") is None
    assert version_of(tmp_path) is None
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    assert version_of(broken) is None
    broken.chmod(0o755)
    assert version_of(broken) is None


def test_a_program_that_says_nothing_for_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "PATIENCE", 0.05)
    assert version_of(program(tmp_path / "etcd", "exec /bin/sleep 60")) is None


# One that was named is used, or an error, never replaced


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.5.1", "etcd 3.5.1: 3.5.0 to 3.5.2 lose acknowledged writes"), ("3.3.27", "etcd 3.3.27: 3.4 or newer")],
)
def test_a_named_one_that_cannot_be_used_is_refused(machine: Path, version: str, said: str) -> None:
    etcd(cached())
    named = etcd(machine / "mine", version)
    with pytest.raises(StoreError, match=said) as error:
        provide(quiet, named)
    assert str(named) in error.value.message
    assert "unset it" in error.value.hint


def test_a_named_one_that_is_no_etcd_is_refused(machine: Path) -> None:
    etcd(cached())
    for named in (machine / "none", machine, program(machine / "mine", "echo hello")):
        with pytest.raises(StoreError, match=f"KHANTUI_ETCD is {named}, which is no etcd") as error:
            provide(quiet, named)
        assert "unset it" in error.value.hint


# Building


def go(machine: Path, script: str) -> None:
    """A Go toolchain: `go version`, and a `go build … -o TARGET .` that runs this script with TARGET as $1."""
    program(machine / "bin" / "build", script)
    program(
        machine / "bin" / "go",
        f"""case $1 in
version) echo 'go version go1.99.0 linux/amd64' ;;
build) while [ "$1" != -o ]; do shift; done; exec {machine}/bin/build "$2" ;;
esac""",
    )


BUILDS = """printf '#!/bin/sh\\necho etcd Version: 3.6.16\\n' > "$1"; /bin/chmod 755 "$1" """


def test_one_is_built_once_where_there_is_none(machine: Path) -> None:
    go(machine, f"echo built >> {machine}/built; [ -f main.go ] && [ -f go.mod ] || exit 1\n{BUILDS}")
    said: list[str] = []
    assert provide(said.append) == EtcdBinary(cached(), (3, 6, 16))
    assert "building etcd" in said[0]
    assert str(cached().parent) in said[-1]
    assert provide(said.append) == EtcdBinary(cached(), (3, 6, 16))
    assert (machine / "built").read_text() == "built\n"
    assert sorted(p.name for p in cached().parent.iterdir()) == ["etcd", "lock"]


def test_a_broken_one_of_our_own_is_built_anew(machine: Path) -> None:
    go(machine, BUILDS)
    program(cached(), "exit 1")
    assert provide(quiet).version == (3, 6, 16)


def test_a_build_that_fails_says_why_and_leaves_nothing(machine: Path) -> None:
    go(machine, "echo 'go: downloading go.etcd.io/etcd v3.6.16'; echo 'main.go:7: no such package'; exit 1")
    with pytest.raises(StoreError, match=r"could not be built: main.go:7: no such package") as error:
        provide(quiet)
    assert "KHANTUI_ETCD" in error.value.hint
    assert not cached().exists()


def test_a_build_that_does_not_run_is_an_error(machine: Path) -> None:
    go(machine, """echo nonsense > "$1" """)
    with pytest.raises(StoreError, match="does not run"):
        provide(quiet)


def test_without_anything_to_build_with_it_says_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "_beside", lambda _: None)
    monkeypatch.setattr(server_binary, "USUAL_GO", machine / "none")
    with pytest.raises(StoreError, match="no etcd here") as error:
        provide(quiet)
    assert "install etcd" in error.value.hint


def test_a_cache_that_is_no_folder_is_named(machine: Path) -> None:
    go(machine, BUILDS)
    (machine / "cache").write_text("")
    with pytest.raises(StoreError, match=str(machine / "cache")):
        provide(quiet)


def test_one_waits_while_another_builds(machine: Path) -> None:
    go(machine, "echo 'must not be built again'; exit 1")
    cached().parent.mkdir(parents=True)
    waiting, said, found = threading.Event(), [], []

    def progress(message: str) -> None:
        said.append(message)
        waiting.set()

    with (cached().parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: found.append(build(progress)))
        thread.start()
        assert waiting.wait(10)
        etcd(cached())
    thread.join(10)
    assert "another khantui builds" in said[0]
    assert found == [EtcdBinary(cached(), (3, 6, 16))]
