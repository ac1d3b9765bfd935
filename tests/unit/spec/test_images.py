"""What a stage's image stands for, and that the images' own files say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.spec.images import IMAGES, Image, find, is_reference, reference

FOLDER = Path(__file__).parents[3] / "images"
OURS = sorted({image.container for image in IMAGES.values()})
BUILT = sorted(path.parent.name for path in FOLDER.glob("*/Dockerfile"))


@pytest.mark.parametrize(
    ("image", "container"),
    [
        ("python", "registry.example:5000/team/khantui-python:1.2"),
        ("sqlite", "registry.example:5000/team/khantui-shell:1.2"),
        ("ghcr.io/x/y:1", "ghcr.io/x/y:1"),
        ("busybox@sha256:" + "0" * 64, "busybox@sha256:" + "0" * 64),
    ],
)
def test_a_name_stands_for_a_container_image(image: str, container: str) -> None:
    found = find(image)
    assert found is not None
    assert reference(found, "registry.example:5000/team/", "1.2") == container


def test_what_is_registered_is_found_and_what_is_not_is_not() -> None:
    own = Image("own", "", ("sh",), "", ("own",))
    assert find("own", {"own": own}) is own
    assert reference(own, "x", "1") == ""
    assert find("pyhton") is None


def test_of_any_container_image_one_can_expect_a_shell_at_most() -> None:
    found = find("docker.io/library/busybox:1.37")
    assert found is not None
    assert (found.interpreter, found.suffix) == (("sh", "-eu"), ".sh")


def test_every_image_has_a_dockerfile_and_a_page() -> None:
    assert {*OURS, "base", "daemon", "etcd", "stager"} == {*BUILT}
    assert [name for name in BUILT if not (FOLDER / name / "README.md").is_file()] == []


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda i: i.name)
def test_an_image_holds_what_is_pinned_for_it(image: Image) -> None:
    lock = FOLDER / image.container / "requirements.txt"
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE)) if lock.exists() else {}
    pins = {"duckdb" if name == "duckdb-cli" else name: version for name, version in pins.items()}
    assert {name: pins[name] for name in image.holds if name in pins} == {
        name: version for name, version in image.holds.items() if name in pins
    }
    for line in (FOLDER / image.container / "requirements.in").read_text().splitlines() if pins else ():
        wanted = re.match(r"[a-z0-9-]+", line)
        if wanted and wanted[0] not in ("pip", "setuptools", "wheel", "duckdb-cli"):
            assert wanted[0] in image.holds


@pytest.mark.parametrize("name", [n for n in BUILT if n != "base"])
def test_every_image_runs_as_the_same_user_who_is_not_root_and_is_made_from_one_of_ours(name: str) -> None:
    text = (FOLDER / name / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000:1000"]
    bases = {"${BASE}", "${PYTHON}", "${BUILD}", "${DAEMON}"}
    assert {*re.findall(r"^FROM (\S+)", text, re.MULTILINE)} <= bases
    assert re.findall(r"^ARG \w+=(?!ghcr\.io/khantui/)", text, re.MULTILINE) == []
    assert not is_reference(name)


def test_the_base_may_be_another_s() -> None:
    assert "ARG BASE=debian:bookworm-slim" in (FOLDER / "base" / "Dockerfile").read_text()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/requirements.txt")), ids=lambda p: p.parent.name)
def test_every_package_is_pinned_by_hash_and_names_no_index(path: Path) -> None:
    text = path.read_text()
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [p.split()[0] for p in packages if "==" not in p.split()[0] or "--hash=sha256:" not in p] == []
    assert "://" not in text
