"""What a service account declares, on a real cluster: Secrets, a ServiceAccount and a NetworkPolicy."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import pytest

from backend.accounts.account import ClusterIdentity
from backend.accounts.grant import GivenSecret, Grant
from backend.errors import ExecutorError
from backend.executors.kubernetes import access
from tests.kubernetes.bench import Bench

pytestmark = pytest.mark.kubernetes

VALUE = "s3cr3t $(HOME) 'quoted'\n and more"
TOKEN = GivenSecret("api_token", "v1", VALUE.encode(), env="TOKEN")
KEY = GivenSecret("gcp-key", "v1", b"\0binary", env="KEY_FILE", file="key.bin")
TOKEN_PLACE = "/var/run/secrets/kubernetes.io/serviceaccount/token"


async def test_secrets_are_kubernetes_secrets_and_the_job_does_not_have_them(bench: Bench) -> None:
    grant = Grant(secrets=(TOKEN, KEY), declared=True)
    right = hashlib.sha256(VALUE.encode()).hexdigest()
    script = f"""
import hashlib, os, sys
assert hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest() == "{right}"
assert open(os.environ["KEY_FILE"], "rb").read() == b"\\0binary"
assert not os.path.exists("{TOKEN_PLACE}")
"""
    key = await bench.start(script, "python", grant=grant, account="loader")
    assert (await bench.ended(key)).exit_code == 0
    (pod,) = bench.pods(key)
    assert "s3cr3t" not in json.dumps(pod)
    assert pod["spec"]["volumes"]
    name = access.secret_name(bench.settings, TOKEN.ref)
    made = next(s for s in bench.cluster.items("secrets") if s["metadata"]["name"] == name)
    assert base64.b64decode(made["data"]["value"]).decode() == VALUE
    assert (made["immutable"], made["metadata"]["labels"]["khantui.dev/secret"]) == (True, "api_token")
    seen = await bench.ended(await bench.start('test -n "$TOKEN"', grant=grant, account="loader"))
    assert seen.exit_code == 0  # made once, given twice
    await bench.executor.revoke(TOKEN.ref)
    await bench.executor.revoke(TOKEN.ref)
    assert name not in {s["metadata"]["name"] for s in bench.cluster.items("secrets")}
    assert (await bench.ended(await bench.start('test -n "$TOKEN"', grant=grant, account="loader"))).exit_code == 0


async def test_a_cloud_identity_is_a_service_account_of_khantuis_own(bench: Bench) -> None:
    def grant(**annotations: str) -> Grant:
        notes = {f"iam.example.org/{name}": value for name, value in annotations.items()}
        return Grant(kubernetes=ClusterIdentity(annotations=notes), declared=True)

    for given in (grant(role="one", other="x"), grant(role="two")):
        key = await bench.start(f"test ! -e {TOKEN_PLACE}", grant=given, account="loader")
        assert (await bench.ended(key)).exit_code == 0
        (pod,) = bench.pods(key)
        name = pod["spec"]["serviceAccountName"]
        assert name == f"khantui-{bench.settings.instance}-loader"
        made = json.loads(bench.cluster.kubectl("get", "serviceaccount", name, "-o", "json"))
        assert made["metadata"]["annotations"] == given.kubernetes.annotations
        assert made["automountServiceAccountToken"] is False


async def test_an_account_of_the_namespace_with_a_token_only_where_that_is_declared(bench: Bench) -> None:
    bench.cluster.kubectl("create", "serviceaccount", "reader")
    for token in (False, True):
        grant = Grant(kubernetes=ClusterIdentity("reader", token=token), declared=True)
        key = await bench.start(f"test -s {TOKEN_PLACE} && echo yes || echo no", grant=grant, account="a")
        assert (await bench.ended(key)).exit_code == 0
        assert bench.log(key) == ("yes\n" if token else "no\n")


async def test_policies_say_what_is_declared_and_follow_it(bench: Bench) -> None:
    assert (await bench.ended(await bench.start("true"))).exit_code == 0
    policies = {p["metadata"]["labels"]["khantui.dev/account"]: p for p in bench.cluster.items("networkpolicies")}
    none = policies["none"]["spec"]
    assert (none["policyTypes"], none.get("egress", [])) == (["Ingress", "Egress"], [])
    for network in (("10.1.0.0/16:5432", "192.0.2.7"), ("api.example.org", "*:8443")):
        key = await bench.start("true", grant=Grant(network=network, declared=True), account="web_1")
        assert (await bench.ended(key)).exit_code == 0
        (pod,) = bench.pods(key)
        made = [p for p in bench.cluster.items("networkpolicies")
                if p["metadata"]["labels"].get("khantui.dev/account") == "web_1"]  # fmt: skip
        assert len(made) == 1
        selector = made[0]["spec"]["podSelector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
        rules = made[0]["spec"]["egress"]
        if network[0].startswith("10"):
            assert [(r["to"][0]["ipBlock"]["cidr"], [p["port"] for p in r["ports"]]) for r in rules] == [
                ("10.1.0.0/16", [5432]), ("192.0.2.7/32", [443, 80]),
            ]  # fmt: skip
        else:
            assert [[p["port"] for p in r["ports"]] for r in rules] == [[443, 80], [8443], [53, 53]]
            assert "10.0.0.0/8" in rules[0]["to"][0]["ipBlock"]["except"]


async def test_what_was_made_for_an_account_goes_with_it_and_nothing_else(bench: Bench) -> None:
    notes = {"iam.example.org/role": "x"}
    grant = Grant(kubernetes=ClusterIdentity(annotations=notes), network=("192.0.2.7",), declared=True)
    theirs = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "labels": {"khantui.dev/account": "gone"}},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }  # fmt: skip
    bench.cluster.apply(theirs)

    def made(account: str) -> set[str]:
        return {
            f"{kind}/{item['metadata']['name']}"
            for kind in ("networkpolicies", "serviceaccounts")
            for item in bench.cluster.items(kind)
            if item["metadata"].get("labels", {}).get("khantui.dev/account") == account
        }

    for account in ("gone", "stays"):
        assert (await bench.ended(await bench.start("true", grant=grant, account=account))).exit_code == 0
    stays = made("stays")
    assert len(made("gone")) == 3
    assert len(stays) == 2
    key = await bench.start("sleep 600", grant=grant, account="gone")
    assert not await bench.executor.retire("gone")  # it would reach everything
    assert len(made("gone")) == 3
    await bench.executor.cancel(key, grace=0)
    await bench.ended(key)
    async with asyncio.timeout(60):
        while not await bench.executor.retire("gone"):
            await asyncio.sleep(0.1)
    assert made("gone") == {"networkpolicies/theirs"}
    assert made("stays") == stays
    assert (await bench.ended(await bench.start("true", grant=grant, account="gone"))).exit_code == 0
    assert len(made("gone")) == 3  # it is made anew when it is needed


async def test_what_is_not_there_any_more_does_not_start(bench: Bench) -> None:
    with pytest.raises(ExecutorError, match="there is no service account"):
        await bench.start("true", grant=Grant(refused="there is no service account 'x'"), account="x")
