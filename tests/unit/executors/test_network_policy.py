"""What a NetworkPolicy of ours lets through, by the rules of the API (networking.k8s.io/v1), written down here anew.

A cluster may not enforce policies at all; this holds that what it is given means what an account declares.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backend.accounts.destination import Destinations
from backend.accounts.grant import Grant
from backend.executors.kubernetes import access
from backend.executors.kubernetes.settings import ObjectStorage, Settings, SharedVolume

VOLUME = Settings("i", SharedVolume("claim", "khan/data"), "example.org/khantui", "1.0")
PRIVATE = ["10.2.0.9", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fe80::1"]


def made(*network: str, settings: Settings = VOLUME, account: str = "loader") -> dict[str, Any]:
    """The policy of an account that declares these destinations."""
    policy = access.policy(account, Grant(network=network, declared=True), settings)
    assert policy is not None
    return policy


def lets(policy: dict[str, Any], address: str, port: int, protocol: str = "TCP", *, pod: bool = False) -> bool:
    """Whether a pod that it selects may connect there: what any rule allows is allowed, and nothing else.

    A rule allows what is in its `to` and its `ports`; of either, one that is left out (or empty) means all.
    `pod`: the address is that of a pod of some namespace.
    """
    spec = policy["spec"]
    if "Egress" not in spec["policyTypes"]:
        return True
    return any(_to(rule, address, pod) and _ports(rule, port, protocol) for rule in spec.get("egress", []))


def _to(rule: dict[str, Any], address: str, pod: bool) -> bool:
    if not rule.get("to"):
        return True
    return any(_peer(peer, address, pod) for peer in rule["to"])


def _peer(peer: dict[str, Any], address: str, pod: bool) -> bool:
    if block := peer.get("ipBlock"):
        return _inside(address, block["cidr"]) and not any(_inside(address, cidr) for cidr in block.get("except", []))
    assert peer == {"namespaceSelector": {}}  # all pods of all namespaces, and nothing that is no pod
    return pod


def _inside(address: str, cidr: str) -> bool:
    at, network = ip_address(address), ip_network(cidr)
    return at.version == network.version and at in network


def _ports(rule: dict[str, Any], port: int, protocol: str) -> bool:
    if not rule.get("ports"):
        return True
    return any(each["port"] == port and each.get("protocol", "TCP") == protocol for each in rule["ports"])


def test_none_lets_nothing_out() -> None:
    for policy in (made(), made(account="none")):
        for address in ("8.8.8.8", "2001:4860::1", *PRIVATE):
            for port, protocol in ((443, "TCP"), (53, "UDP"), (53, "TCP")):
                assert not lets(policy, address, port, protocol, pod=address == "10.2.0.9")


@pytest.mark.parametrize(
    ("network", "reached", "kept_from"),
    [
        (("192.0.2.7",), [("192.0.2.7", 443), ("192.0.2.7", 80)], [("192.0.2.7", 22), ("192.0.2.8", 443)]),
        (("10.1.0.0/16:5432",), [("10.1.255.255", 5432)], [("10.2.0.0", 5432), ("10.1.0.1", 443)]),
        (("[2001:db8::1]:443",), [("2001:db8::1", 443)], [("2001:db8::2", 443), ("192.0.2.7", 443)]),
        (("192.0.2.7:*",), [("192.0.2.7", 1), ("192.0.2.7", 65535)], [("192.0.2.6", 1)]),
        (("api.example.org",), [("8.8.8.8", 443), ("2606::1", 80)], [("8.8.8.8", 22), *((p, 443) for p in PRIVATE)]),
        (("*.example.org:8443",), [("8.8.8.8", 8443)], [("8.8.8.8", 443), *((p, 8443) for p in PRIVATE)]),
        (("*",), [("8.8.8.8", 22), ("2606::1", 9)], [(p, 443) for p in PRIVATE]),
        (("*", "10.1.0.5:5432"), [("8.8.8.8", 22), ("10.1.0.5", 5432)], [("10.1.0.5", 443), ("10.1.0.6", 5432)]),
    ],
)
def test_it_lets_out_to_what_is_declared_alone(
    network: tuple[str, ...], reached: list[tuple[str, int]], kept_from: list[tuple[str, int]]
) -> None:
    policy = made(*network)
    assert [place for place in reached if not lets(policy, *place)] == []
    assert [place for place in kept_from if lets(policy, *place)] == []


def test_names_are_looked_up_in_the_cluster_and_nowhere_else() -> None:
    by_name, by_address = made("api.example.org"), made("192.0.2.7")
    for protocol in ("UDP", "TCP"):
        assert lets(by_name, "10.2.0.9", 53, protocol, pod=True)
        assert not lets(by_name, "10.2.0.9", 5353, protocol, pod=True)
        assert not lets(by_name, "10.2.0.9", 53, protocol)  # what is no pod
        assert not lets(by_address, "10.2.0.9", 53, protocol, pod=True)


def test_what_must_reach_the_store_reaches_it_whatever_it_declares() -> None:
    store = ObjectStorage("s3://b/p", "stager:1", "keys")
    assert access.policy("loader", Grant(network=("192.0.2.7",), declared=True), Settings("i", store, "r", "1")) is None
    settings = Settings("i", store, "r", "1", store_network=("10.9.0.0/16:9000",))
    for policy in (made(settings=settings), made("192.0.2.7", settings=settings)):
        assert lets(policy, "10.9.1.1", 9000)
        assert not lets(policy, "10.9.1.1", 443)
    assert not lets(made(settings=settings), "192.0.2.7", 443)


def test_nobody_connects_to_a_stage_and_only_its_own_pods_are_meant() -> None:
    policy = made("192.0.2.7")
    assert "Ingress" in policy["spec"]["policyTypes"]
    assert "ingress" not in policy["spec"]
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels == {
        "app.kubernetes.io/managed-by": "khantui", "khantui.dev/instance": "i", "khantui.dev/account": "loader",
    }  # fmt: skip


@given(
    some.lists(
        some.sampled_from(["192.0.2.0/24:443", "10.1.0.0/16:5432", "203.0.113.9", "127.0.0.1:5432"]), max_size=4
    ),
    some.ip_addresses(v=4).map(str) | some.sampled_from(["192.0.2.1", "10.1.2.3", "203.0.113.9"]),
    some.sampled_from([80, 443, 5432, 22]),
)
def test_to_addresses_it_lets_out_exactly_what_the_proxy_of_the_sandbox_does(
    network: list[str], address: str, port: int
) -> None:
    declared = Destinations(network)
    proxy = declared.names(address, port) and declared.reaches(address, port)
    assert lets(made(*network), address, port) == proxy
