"""What the nodes of a cluster know of container images, by the names that stages have for them."""

from __future__ import annotations

import msgspec

from backend.executors.base import HeldImage
from backend.executors.kubernetes.node_images import by_reference
from backend.executors.kubernetes.objects import Node

DIGEST = "sha256:" + "a" * 64


def node(*images: dict[str, object]) -> Node:
    return msgspec.convert({"metadata": {"name": "n"}, "status": {"images": images}}, Node)


def test_a_tag_has_the_digest_of_its_own_repository() -> None:
    names = [f"registry.example:5000/a@{DIGEST}", "registry.example:5000/a:1", "other.example/a:1"]
    found = by_reference([node({"names": names, "sizeBytes": 7})])
    assert found["registry.example:5000/a:1"] == HeldImage(7, DIGEST)
    assert found[f"registry.example:5000/a@{DIGEST}"] == HeldImage(7, DIGEST)
    assert found["other.example/a:1"] == HeldImage(7, "")


def test_a_node_that_knows_the_digest_is_believed() -> None:
    loaded = node({"names": ["r.example/a:1"], "sizeBytes": 7})
    pulled = node({"names": [f"r.example/a@{DIGEST}", "r.example/a:1"], "sizeBytes": 7})
    for nodes in ([loaded, pulled], [pulled, loaded]):
        assert by_reference(nodes)["r.example/a:1"].digest == DIGEST


def test_what_has_lost_its_names_is_nothing() -> None:
    assert by_reference([node({"names": None, "sizeBytes": 7}), node()]) == {}
