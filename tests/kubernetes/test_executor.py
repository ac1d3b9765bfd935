"""Attempts as Jobs on a real cluster: what they see, how they end, and that nothing runs twice."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from backend.errors import ExecutorError
from backend.executors.base import AttemptKey, Mount
from backend.executors.kubernetes.names import job_name
from backend.run.state import Reason
from backend.spec.model import Placement, Resources, Toleration
from tests.kubernetes.bench import Bench

pytestmark = pytest.mark.kubernetes

LOOK = """
import json, os, sys
def tries(path):
    try:
        open(path, "a").close()
        return True
    except OSError:
        return False
print(json.dumps({
    "environment": dict(os.environ), "folder": os.getcwd(), "here": sorted(os.listdir(".")), "user": os.getuid(),
    "inputs": {n: open(os.environ[n]).read() for n in ("KHAN_INPUT_one",)},
    "entries": {n: open("/khan/in/many/" + n).read() for n in sorted(os.listdir(os.environ["KHAN_INPUT_many"]))},
    "writes": [p for p in ("/khan/in/one", "/khan/code/x", "/etc/x", "/x", "/tmp/x", "/khan/out/x") if tries(p)],
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "capabilities": next(l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")),
    "confined": next(l.split()[1] for l in open("/proc/self/status") if l.startswith("Seccomp:")),
    "argv": sys.argv,
}))
open(os.environ["KHAN_OUTPUT_a-b".replace("-", "_")], "w").write("done")
"""


async def test_what_a_stage_sees(bench: Bench) -> None:
    layout = bench.layout
    for where, text in (("artifacts/inputs/1", "one"), ("artifacts/inputs/2", "two"), ("code/c0de/a.py", "pass")):
        path = layout.root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    key = await bench.start(
        LOOK,
        "python",
        inputs=(
            Mount("one", "artifacts/inputs/1", "file"),
            Mount("many", "artifacts/inputs/1", "file", "2025"),
            Mount("many", "artifacts/inputs/2", "file", "2026"),
        ),
        outputs=("a-b",),
        code="c0de",
        environment={"PRICE": "$(HOME) $$ $HOME", "EMPTY": ""},
    )
    ended = await bench.ended(key)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 0, Reason.OK), bench.log(key)
    said = json.loads(bench.log(key))
    given = said["environment"]
    assert {n: given[n] for n in ("HOME", "TMPDIR", "LANG", "PRICE", "EMPTY")} == {
        "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PRICE": "$(HOME) $$ $HOME", "EMPTY": "",
    }  # fmt: skip
    assert (given["KHAN_INPUT_one"], given["KHAN_OUTPUT_a_b"]) == ("/khan/in/one", "/khan/out/a-b")
    assert (said["folder"], said["here"], said["argv"]) == ("/khan/code", ["a.py"], ["/khan/script.py"])
    assert said["inputs"] == {"KHAN_INPUT_one": "one"}
    assert said["entries"] == {"2025": "one", "2026": "two"}
    assert said["writes"] == ["/tmp/x", "/khan/out/x"]
    assert (said["user"], said["token"], int(said["capabilities"], 16), said["confined"]) == (1000, False, 0, "2")
    assert bench.out(key, "a-b").read_text() == "done"


async def test_an_input_of_very_many_entries(bench: Bench) -> None:
    root = bench.layout.root / "artifacts"
    for n in range(300):
        path = root / str(n) / "part" if n % 2 else root / str(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{n}\n")
    mounts = tuple(Mount("many", f"artifacts/{n}", "folder" if n % 2 else "file", f"e{n}") for n in range(300))
    script = 'cat "$KHAN_INPUT_many"/e*[02468] "$KHAN_INPUT_many"/e*[13579]/part | sort -n | uniq | wc -l'
    key = await bench.start(script, inputs=mounts)
    assert (await bench.ended(key)).exit_code == 0
    assert bench.log(key).strip() == "300"
    assert len(bench.pods(key)[0]["spec"]["containers"][0]["volumeMounts"]) < 10
    await bench.executor.forget(key)
    assert not (bench.layout.attempt(*key) / "in").exists()
    assert (root / "1" / "part").read_text() == "1\n"


@pytest.mark.parametrize(
    ("script", "reason", "code", "words"),
    [
        ("exit 3", Reason.EXIT, 3, "exit 3"),
        ("nosuchcommand", Reason.EXIT, 127, "exit 127: a command was not found (see the log)"),
        ("kill -SEGV $$", Reason.SIGNAL, 139, "killed by SIGSEGV (exit 139)"),
    ],
)
async def test_words_for_an_end(bench: Bench, script: str, reason: Reason, code: int, words: str) -> None:
    seen = await bench.run(script)
    assert (seen.reason, seen.exit_code, seen.message) == (reason, code, words)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("nosuchprogram", "-x"), "command not found: nosuchprogram"),
        (("/khan/code",), "cannot run /khan/code: permission denied"),
        (("/nowhere/x",), "command not found: /nowhere/x"),
    ],
)
async def test_a_program_that_cannot_be_run(bench: Bench, argv: tuple[str, ...], words: str) -> None:
    seen = await bench.run("", argv=argv)
    assert (seen.reason, seen.message) == (Reason.START, words)


async def test_arguments_arrive_as_they_are(bench: Bench) -> None:
    words = ("$(HOME)", "$$", "a b", "", "ü\n")
    log = await bench.good("", "python", argv=("python3", "-c", "import sys; print(sys.argv[1:])", *words))
    assert log.strip() == repr(list(words))


async def test_memory_beyond_the_limit(bench: Bench) -> None:
    seen = await bench.run(
        "x = []\nwhile True: x.append(bytes(1 << 20))", "python", resources=Resources(memory=48 << 20)
    )
    assert (seen.reason, seen.message) == (Reason.MEMORY, "killed: memory limit 48Mi")


async def test_everything_can_be_found_with_kubectl(bench: Bench) -> None:
    placement = Placement(labels={"team": "data"}, annotations={"example.org/why": "a test"})
    key = AttemptKey(bench.run_id, "by_region.Ünicode", 2)
    spec = bench.spec("true", key=key, pipeline="weekly_learners-", kubernetes=placement, timeout=60.0)
    await bench.executor.ensure(spec)
    await bench.ended(key)
    for kind in ("jobs", "pods"):
        (found,) = bench.cluster.items(kind, "-l", f"khantui.dev/run={key.run}")
        labels, notes = found["metadata"]["labels"], found["metadata"]["annotations"]
        assert labels["app.kubernetes.io/managed-by"] == "khantui"
        assert (labels["team"], labels["khantui.dev/attempt"], labels["khantui.dev/network"]) == ("data", "2", "none")
        assert labels["khantui.dev/pipeline"].startswith("weekly_learners-")
        exact = [notes[f"khantui.dev/{n}"] for n in ("pipeline", "run", "stage", "attempt")]
        assert exact == ["weekly_learners-", key.run, key.stage, "2"]
        assert notes["example.org/why"] == "a test"


async def test_placement_reaches_the_pod(bench: Bench) -> None:
    placement = Placement(
        node_selector={"kubernetes.io/os": "linux"},
        tolerations=(Toleration("gpu", "Exists", effect="NoExecute", seconds=60.0),),
        image_pull_policy="Never",
        image_pull_secrets=("registry",),
        ephemeral_storage=1 << 30,
    )
    resources = Resources(cpu=0.05, memory=64 << 20)
    key = await bench.start("true", kubernetes=placement, resources=resources, timeout=600.0)
    assert (await bench.ended(key)).exit_code == 0
    (pod,) = bench.pods(key)
    spec = pod["spec"]
    (stage,) = spec["containers"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60} in spec["tolerations"]
    assert stage["imagePullPolicy"] == "Never"
    assert stage["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "1Gi"}
    assert spec["activeDeadlineSeconds"] > 600


async def test_a_service_account_that_is_declared(bench: Bench) -> None:
    bench.cluster.kubectl("create", "serviceaccount", "loader")
    await bench.close()
    bench.settings = replace(bench.settings, accounts={"analytics": "loader"})
    await bench.open()
    look = "test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo has a token"
    assert await bench.good(look, account="analytics") == "has a token\n"
    with pytest.raises(ExecutorError, match="the service account 'other' stands for none of the cluster's"):
        await bench.start("true", account="other")


async def test_what_can_never_start(bench: Bench) -> None:
    with pytest.raises(ExecutorError, match="image 'pyhton' is not known here"):
        await bench.start("true", "pyhton")
    with pytest.raises(ExecutorError, match="a script of more than 200,000 bytes is too long for Kubernetes"):
        await bench.start("#" * 200_001)
    with pytest.raises(ExecutorError, match="longer than 131,071 bytes"):
        await bench.start("true", environment={"X": "x" * 140_000})
    assert not bench.cluster.items("jobs", "-l", f"khantui.dev/run={bench.run_id}")


# again, and by others


async def test_ensuring_twice_runs_once(bench: Bench) -> None:
    spec = bench.spec('echo ran; echo ran >> "$KHAN_OUTPUT_out"')
    await asyncio.gather(*(bench.executor.ensure(spec) for _ in range(5)))
    await bench.ended(spec.key)
    bench.said.clear()
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).exit_code == 0  # said again
    assert bench.out(spec.key).read_text() == "ran\n"
    assert len(bench.pods(spec.key)) == 1


async def test_a_new_daemon_takes_up_what_runs_and_what_has_ended(bench: Bench) -> None:
    running = bench.spec('while ! test -e "$KHAN_OUTPUT_out"; do sleep 0.1; done')
    over = bench.spec("exit 4")
    for spec in (running, over):
        await bench.executor.ensure(spec)
    await bench.until(running.key, "running")
    await bench.ended(over.key)
    await bench.again()
    for spec in (running, over):
        await bench.executor.ensure(spec)
    assert (await bench.ended(over.key)).message == "exit 4"
    await bench.until(running.key, "running")
    bench.out(running.key).touch()
    assert (await bench.ended(running.key)).exit_code == 0
    for spec in (running, over):
        assert len(bench.pods(spec.key)) == 1


@pytest.mark.parametrize("known_by", ["its mark", "the store"])
async def test_one_that_vanished_while_nobody_looked_is_lost(bench: Bench, known_by: str) -> None:
    spec = bench.spec("sleep 60")
    await bench.executor.ensure(spec)
    await bench.until(spec.key, "running")
    await bench.close()
    bench.cluster.kubectl("delete", "job", job_name(spec.key), "--cascade=foreground")
    if known_by == "the store":
        (bench.layout.attempt(*spec.key) / "job").unlink()
        spec = bench.spec("sleep 60", key=spec.key, seen=True)
    bench.said.clear()
    await bench.open()
    await bench.executor.ensure(spec)
    seen = await bench.ended(spec.key)
    assert (seen.state, seen.message) == ("lost", "its Job vanished while no daemon looked: somebody deleted it")
    assert not bench.cluster.items("jobs", "-l", f"khantui.dev/run={spec.key.run}")


async def test_what_is_forgotten_is_deleted(bench: Bench) -> None:
    key = await bench.start("true")
    await bench.ended(key)
    await bench.executor.forget(key)
    await asyncio.to_thread(bench.cluster.kubectl, "wait", "--for=delete", f"job/{job_name(key)}", "--timeout=30s")
    await asyncio.to_thread(
        bench.cluster.kubectl, "wait", "--for=delete", "pod", "-l", f"job-name={job_name(key)}", "--timeout=30s"
    )
    await bench.executor.forget(key)  # again, it is nothing


async def test_a_new_daemon_sweeps_what_an_earlier_one_left(bench: Bench) -> None:
    key = await bench.start("true")
    await bench.ended(key)
    await bench.again()
    await bench.executor.sweep({key.run})
    assert bench.cluster.items("jobs", "-l", f"khantui.dev/run={key.run}")
    await bench.executor.sweep(())
    await asyncio.to_thread(bench.cluster.kubectl, "wait", "--for=delete", f"job/{job_name(key)}", "--timeout=30s")


# cancelling

TRAP = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


async def test_cancelling_asks_first_and_the_log_stays(bench: Bench) -> None:
    key = await bench.start(TRAP)
    await bench.until(key, "running")
    await _logged(bench, key, "ready")
    await bench.executor.cancel(key)
    seen = await bench.ended(key)
    assert (seen.state, seen.reason, seen.message) == ("exited", Reason.CANCELLED, "cancelled")
    assert bench.log(key) == "ready\ncleaned\n"


async def test_who_does_not_listen_is_made_to_end(bench: Bench) -> None:
    key = await bench.start("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    await _logged(bench, key, "ready")
    await bench.executor.cancel(key)
    seen = await bench.ended(key)
    assert (seen.reason, seen.exit_code) == (Reason.CANCELLED, 137)


async def test_cancelling_what_has_not_started(bench: Bench) -> None:
    key = await bench.start("true", resources=Resources(cpu=5000.0))
    await bench.until(key, "waiting")
    await bench.executor.cancel(key)
    assert (await bench.ended(key)).reason is Reason.CANCELLED
    assert not bench.cluster.items("jobs", "-l", f"khantui.dev/run={key.run}")


async def test_cancelling_before_it_is_there(bench: Bench) -> None:
    spec = bench.spec("true")
    await bench.executor.cancel(spec.key)
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).reason is Reason.CANCELLED
    racing = bench.spec("sleep 30")
    await asyncio.gather(bench.executor.ensure(racing), bench.executor.cancel(racing.key))
    assert (await bench.ended(racing.key)).reason is Reason.CANCELLED


async def test_a_cancel_by_an_earlier_daemon_still_counts(bench: Bench) -> None:
    spec = bench.spec("sleep 60")
    await bench.executor.ensure(spec)
    await bench.until(spec.key, "running")
    await bench.executor.cancel(spec.key)
    await bench.again()
    await bench.executor.cancel(spec.key)  # as the controller does for one that the store says is cancelled
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).reason is Reason.CANCELLED


async def test_the_kubelet_ends_what_no_daemon_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.executors.kubernetes.manifest.BACKSTOP", 0)
    seen = await bench.run("sleep 60", timeout=1.0)
    assert (seen.reason, seen.message) == (Reason.TIMEOUT, "killed: took longer than 1 s")


async def _logged(bench: Bench, key: AttemptKey, words: str) -> None:
    await bench.until(key, "running")
    async with asyncio.timeout(20):
        while words not in await asyncio.to_thread(bench.log, key):
            await asyncio.sleep(0.1)
