"""`khantui up --executor kubernetes` from a person's machine: the daemon and etcd here, stages in the cluster."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import environment, until_ready
from tests.etcd_fixture import etcd_binary
from tests.kubernetes.cluster import Cluster
from tests.s3_fixture import S3Server, s3_for_pods

__all__ = ["etcd_binary", "s3_for_pods"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.s3, pytest.mark.slow]
SECRET = "khantui-up"
PIPELINE = {
    "name": "two",
    "intermediates": {"word": {}},
    "stages": {
        "say": {"image": "shell", "script": 'echo hello > "$KHAN_OUTPUT_word"', "outputs": ["word"]},
        "hear": {"image": "shell", "script": 'cat "$KHAN_INPUT_word"', "inputs": ["word"]},
    },
}


@pytest.fixture
def variables(tmp_path: Path, cluster: Cluster, s3_for_pods: S3Server) -> dict[str, str]:
    """The environment of the person, with the store's credentials, which pods get as a Secret."""
    literals = [f"--from-literal={key}={value}" for key, value in s3_for_pods.environment.items()]
    cluster.kubectl("create", "secret", "generic", SECRET, *literals)
    return environment() | s3_for_pods.environment | {"KHANTUI_DATA": str(tmp_path / "d")}


@pytest.fixture
def flags(cluster: Cluster, s3_for_pods: S3Server, variables: dict[str, str]) -> list[str]:
    bucket = s3_for_pods.bucket(f"up-{secrets.token_hex(3)}")
    return ["--namespace", cluster.namespace, "--artifacts", f"{bucket}/khantui", "--artifacts-secret", SECRET]


def test_stages_run_in_the_cluster_and_the_rest_here(
    tmp_path: Path, variables: dict[str, str], flags: list[str], etcd_binary: object
) -> None:
    argv = [sys.executable, "-m", "khantui"]
    with (tmp_path / "stderr").open("w+") as errors:
        up = subprocess.Popen(
            [*argv, "up", "--headless", "--executor", "kubernetes", *flags],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            until_ready(up)
            said = (tmp_path / "stderr").read_text()
            assert re.search(r"stages run on Kubernetes 1\.\d+.* \(context .*\), namespace khantui-test-", said)
            (tmp_path / "p").mkdir()
            (tmp_path / "p" / "pipeline.json").write_text(json.dumps(PIPELINE))
            for words in (("apply", str(tmp_path / "p")), ("run", "two", "--wait")):
                done = subprocess.run([*argv, *words], env=variables, capture_output=True, text=True, timeout=110)
                assert done.returncode == 0, done
            log = subprocess.run(
                [*argv, "logs", "two", "hear"], env=variables, capture_output=True, text=True, timeout=60
            )
            assert log.stdout == "hello\n"
        finally:
            up.terminate()
            up.communicate(timeout=30)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "their artifacts need an object store"),
        (("--artifacts", "s3://bucket/x", "--context", "nowhere"), 1, "has no context 'nowhere'"),
        (("--artifacts", "s3://bucket/x", "--namespace", "no-such-namespace"), 1, "there is no namespace"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_started(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    argv = [sys.executable, "-m", "khantui", "up", "--headless", "--executor", "kubernetes", *words]
    variables = environment() | {"KHANTUI_DATA": str(tmp_path / "d")}
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done
    assert said in done.stderr
    assert not (tmp_path / "d").exists()
