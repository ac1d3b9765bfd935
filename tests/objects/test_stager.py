"""The stager: what one pod publishes another fetches, byte for byte; what cannot be is said as the daemon would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backend.artifacts import CodeStore, FolderStore, ObjectStore
from backend.layout import Layout
from backend.objects import open_bucket
from backend.objects.plan import Fetched, Plan
from backend.run.state import ArtifactRecord
from backend.spec.bundle import pack
from tests.objects.conftest import RUN, Pod, attempt_of
from tests.s3_fixture import S3Server

pytestmark = pytest.mark.s3

ODD = ["a b/c d.txt", "ünïcode", "100%.csv", "a%20b", "new\nline", "q?#&+*[]{}~^|<>'\"\\", "deep/er/and/deeper/f", "-x"]


def folder(root: Path) -> None:
    """A folder with all that may be in one."""
    for name in ODD:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"this is {name!r}")
    (root / os.fsdecode(b"no text \xff\xfe")).write_text("bytes")
    (root / "tool").write_text("#!/bin/sh")
    (root / "tool").chmod(0o755)
    (root / "nothing").touch()
    (root / "empty" / "inner").mkdir(parents=True)
    (root / "large").write_bytes(os.urandom(1 << 20) * 23)
    (root / "link").symlink_to("a b/c d.txt")
    (root / "up").mkdir()
    (root / "up" / "link").symlink_to("../deep/er")


async def published(url: str, tmp_path: Path, *outputs: str, number: int = 1) -> dict[str, ArtifactRecord]:
    store = ObjectStore(open_bucket(url), Layout(tmp_path / "data"))
    return await store.publish(RUN, "s", number, outputs)


async def local(pod: Pod, tmp_path: Path, *outputs: str) -> dict[str, ArtifactRecord]:
    """The records that the local store makes of the same outputs."""
    layout = Layout(tmp_path / "local")
    layout.attempt(RUN, "s", 1).mkdir(parents=True)
    layout.attempt(RUN, "s", 1).joinpath("out").symlink_to(pod.root / "out")
    return await FolderStore(layout).publish(RUN, "s", 1, outputs)


async def test_what_one_pod_publishes_another_fetches(bucket: str, pod: Pod, other_pod: Pod, tmp_path: Path) -> None:
    pod.write({"table": "1,2\n", "empty": "", "big": os.urandom(1 << 20) * 17})
    folder(pod.root / "out" / "tree")
    names = ("table", "empty", "big", "tree")
    assert pod.run("publish", Plan(bucket, attempt_of(1), outputs=names)) is None
    records = await published(bucket, tmp_path, *names)
    expected = await local(pod, tmp_path, *names)
    assert records == expected  # the same kinds, sizes, hashes and locations as on this machine

    def differing() -> bytes:
        there = pod.root / "out"
        return subprocess.run(["diff", "-r", "--no-dereference", there, here], capture_output=True).stdout

    here = other_pod.root / "in" / "many"
    inputs = tuple(Fetched(f"many/{n}", r.location, r.kind, r.sha256) for n, r in records.items())
    assert other_pod.run("fetch", Plan(bucket, attempt_of(2), inputs=inputs)) is None
    assert differing() == b""
    assert (here / "tree" / "tool").stat().st_mode & 0o777 == 0o555
    assert (here / "table").stat().st_mode & 0o777 == 0o444
    assert other_pod.run("fetch", Plan(bucket, attempt_of(2), inputs=inputs)) is None  # again: the same
    assert differing() == b""


async def test_code_and_script_are_where_the_stage_finds_them(bucket: str, pod: Pod, tmp_path: Path) -> None:
    code = CodeStore(Layout(tmp_path / "data"), open_bucket(bucket))
    address = await code.put(pack({"clean.py": (b"print(1)", False), "bin/go": (b"#!/bin/sh", True)}))
    plan = Plan(bucket, attempt_of(1), code=address, script="print('hällo')", script_name="script.py")
    for _ in range(2):
        assert pod.run("fetch", plan) is None
    assert (pod.root / "code" / "bin" / "go").stat().st_mode & 0o777 == 0o555
    assert (pod.root / "code" / "clean.py").read_text() == "print(1)"
    assert (pod.root / "script.py").read_text() == "print('hällo')"

    elsewhere = CodeStore(Layout(tmp_path / "elsewhere"), open_bucket(bucket))
    assert await elsewhere.has(address)
    assert await elsewhere.manifest(address) == {"bin/go": 9, "clean.py": 8}
    assert not await elsewhere.has("0" * 64)
    gone = Plan(bucket, attempt_of(1), code="0" * 64)
    assert pod.run("fetch", gone) == {
        "reason": "missing-input",
        "message": "the code bundle 000000000000 is not here, or damaged (apply the pipeline again)",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "link", "pipe", "socket", "inner pipe", "out", "absolute"])
async def test_what_cannot_be_passed_on_is_refused_in_the_local_stores_words(
    bucket: str, s3: S3Server, pod: Pod, tmp_path: Path, kind: str
) -> None:
    pod.write({"fine": "1"})
    path = pod.root / "out" / "bad"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind != "missing":
        path.mkdir()
        (path / "also").write_text("x")
        if kind == "inner pipe":
            os.mkfifo(path / "p")
        else:
            (path / "l").symlink_to("/etc/passwd" if kind == "absolute" else "../../secret")
    with pytest.raises(Exception, match=r".") as caught:
        await local(pod, tmp_path, "fine", "bad")
    said = pod.run("publish", Plan(bucket, attempt_of(1), outputs=("fine", "bad")))
    error = caught.value
    hint = getattr(error, "hint", "")
    assert said == {"reason": "missing-output", "message": f"{error} ({hint})" if hint else str(error)}
    assert s3.objects(bucket.split("/")[2]) == []  # nothing was sent


def test_an_input_that_is_gone_is_named(bucket: str, pod: Pod) -> None:
    for kind in ("file", "folder"):
        inputs = (Fetched("raw", "artifacts/inputs/123", kind),)  # type: ignore[arg-type]
        said = pod.run("fetch", Plan(bucket, attempt_of(1), inputs=inputs))
        assert said is not None
        assert said["reason"] == "missing-input"
        assert said["message"].startswith(f"the input 'raw': {bucket}/artifacts/inputs/123 is not there")


async def test_what_was_changed_in_the_store_is_refused(bucket: str, pod: Pod, other_pod: Pod, tmp_path: Path) -> None:
    pod.write({"table": "1,2\n", "tree/a": "a", "tree/b": "b"})
    assert pod.run("publish", Plan(bucket, attempt_of(1), outputs=("table", "tree"))) is None
    records = await published(bucket, tmp_path, "table", "tree")
    store, at = open_bucket(bucket), f"{attempt_of(1)}/out"
    for name, changed, data in (
        ("table", "table", b"1;2\n"),
        ("tree", "tree/a", b"A"),
        ("tree", "tree/b", b""),
        ("tree", "tree.manifest", b"[]"),
    ):
        before = await store.get(f"{at}/{changed}")
        await store.put(f"{at}/{changed}", data)
        fetched = Fetched(name, records[name].location, records[name].kind, records[name].sha256)
        said = other_pod.run("fetch", Plan(bucket, attempt_of(2), inputs=(fetched,)))
        assert said is not None
        assert said["reason"] == "missing-input", said
        assert f"{changed} is " in said["message"]
        await store.put(f"{at}/{changed}", before)
        other_pod.said.write_text("")


def test_a_publisher_that_has_published_does_nothing_more(bucket: str, s3: S3Server, pod: Pod) -> None:
    plan = Plan(bucket, attempt_of(1), outputs=("out",))
    pod.write({"out": "first"})
    assert pod.run("publish", plan) is None
    pod.write({"out": "changed"})
    assert pod.run("publish", plan) is None
    assert s3.objects(bucket.split("/")[2]) == [
        f"a/prefix/{attempt_of(1)}/out/out", f"a/prefix/{attempt_of(1)}/outputs.json"
    ]  # fmt: skip


def test_a_plan_for_a_thousand_inputs_fits_into_a_variable(bucket: str, pod: Pod) -> None:
    pod.write({"out": "x"})
    assert pod.run("publish", Plan(bucket, attempt_of(1), outputs=("out",))) is None
    inputs = tuple(Fetched(f"many/{i}", f"{attempt_of(1)}/out/out", "file") for i in range(1000))
    assert pod.run("fetch", Plan(bucket, attempt_of(2), inputs=inputs)) is None
    assert len([*(pod.root / "in" / "many").iterdir()]) == 1000


@pytest.mark.parametrize("plan", ["", "{", "nonsense", '{"store": "s3://b"}'])
def test_a_plan_that_is_none_is_refused(pod: Pod, plan: str) -> None:
    said = pod.run("fetch", Plan("s3://b", "x"), KHAN_PLAN=plan)
    assert said is not None
    assert said["message"].startswith("KHAN_PLAN is no plan")


def test_it_imports_little() -> None:
    """Start-up and size of its image depend on it."""
    code = "import backend.stager.__main__, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    ours_and_theirs = {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert ours_and_theirs - {"sitecustomize"} <= {"backend", "msgspec", "typing_extensions"}
    listed = subprocess.run([sys.executable, "-m", "backend.stager", "modules"], capture_output=True, text=True).stdout
    heavy = ("backend.api", "backend.control", "backend.store", "backend.executors", "backend.logs", "backend.kube")
    assert not [name for name in listed.split() if name.startswith(heavy)]
