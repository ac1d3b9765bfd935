"""How images are built: with what this machine's network needs, and loaded where they are used."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "images" / "build.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("images_build", FILE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH, to which programs are put."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, says: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("context", "there", "command"),
    [
        ("kind-data", "kind", ["kind", "load", "docker-image", "--name", "data"]),
        ("minikube", "minikube", ["minikube", "image", "load"]),
        ("kind-data", "minikube", []),
        ("gke_acme_europe-west1_data", "kind", []),
    ],
)
def test_images_are_loaded_into_the_cluster_of_this_machine(
    build: ModuleType, programs: Path, context: str, there: str, command: list[str]
) -> None:
    program(programs, "kubectl", context)
    program(programs, there)
    assert build._loader("docker", "") == command


def test_a_command_of_one_s_own_comes_first(build: ModuleType, programs: Path) -> None:
    program(programs, "kubectl", "minikube")
    program(programs, "minikube")
    assert build._loader("podman", "./load --into 'my node'") == ["./load", "--into", "my node"]


def test_what_the_network_needs_is_handed_over_as_secrets(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*build.CERTIFICATES, "APT_CONFIG", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://index.example/simple\nextra-index-url =\n  a\n  b%20c\n"
    )
    (tmp_path / "apt.conf").write_text('Acquire::http::Proxy "http://proxy.example:3128";\n')
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels/of/this/machine")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    folder = tmp_path / "secrets"
    folder.mkdir()
    secrets = build._secrets(folder)
    pip, apt = secrets["pip"].read_text(), secrets["apt"].read_text()
    assert secrets["certificates"] == tmp_path / "ca.pem"
    assert "index-url = https://index.example/simple\n" in pip
    assert "extra-index-url = a b%20c\n" in pip
    assert "cert = /run/secrets/certificates\n" in pip
    assert "find-links" not in pip
    assert 'CAInfo "/run/secrets/certificates"' in apt
    assert "proxy.example" in apt
    given = type("Given", (), {"flags": "--network host", "base": "debian:12", "version": "1", "registry": "r"})
    argv = build._build("podman", "shell", tmp_path, given, secrets)
    assert argv[:4] == ["podman", "build", "--network", "host"]
    assert argv[argv.index("--build-arg") + 1] == "BASE=r/khantui-base:1"
    assert f"id=pip,src={secrets['pip']}" in argv
    assert not [word for word in argv if "example" in word]


def test_bases_are_made_from_what_is_named(build: ModuleType, tmp_path: Path) -> None:
    given = type("Given", (), {"flags": "", "base": "mirror.example/debian:12", "version": "1", "registry": "r"})
    argv = build._build("docker", "base-python", tmp_path, given, {})
    assert argv[2:6] == ["--tag", "r/khantui-base-python:1", "--target", "python"]
    assert "BASE=mirror.example/debian:12" in argv


def test_where_nothing_is_special_nothing_is_handed_over(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in build.CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    assert "certificates" not in build._secrets(tmp_path)


def test_an_image_that_there_is_not_is_wrong_usage(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "shel"])
    with pytest.raises(SystemExit) as ended:
        build.main()
    assert ended.value.code == 2
    assert "there is no image shel" in capsys.readouterr().err


def test_without_an_engine_it_is_said_which_are_meant(
    build: ModuleType, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py"])
    monkeypatch.delenv("IMAGE_ENGINE", raising=False)
    assert build.main() == 1
    assert "podman nor docker" in capsys.readouterr().err
