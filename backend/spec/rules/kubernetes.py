"""Kubernetes: what the cluster would refuse, and what an executor takes no notice of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from backend.spec.model import Pipeline, Placement
from backend.spec.quantity import show_duration
from backend.spec.reader import Path
from backend.spec.rules.registry import INFO, Remark, Surroundings, rule, stages

OURS = "khantui.dev"
_PREFIX = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?"
_KEY = re.compile(rf"{_PREFIX}[A-Za-z0-9](?:[-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_VALUE_HINT = "letters, digits, and between them - _ . (63 at most)"


@rule(
    bad_kubernetes="Something that Kubernetes would refuse: a label, a name, a toleration.",
    kubernetes_ignored="Something for Kubernetes, where stages run in the sandbox.",
)
def placement(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """What is said to Kubernetes can be understood there, and is said to Kubernetes."""
    places: list[tuple[Path, Placement]] = [(("kubernetes",), pipeline.kubernetes)]
    places += [((*path, "kubernetes"), stage.kubernetes) for path, _, stage in stages(pipeline)]
    for path, given in places:
        if given == Placement():
            continue
        yield from _labels((*path, "node_selector"), given.node_selector)
        yield from _labels((*path, "labels"), given.labels, ours=True)
        yield from _keys((*path, "annotations"), given.annotations, ours=True)
        yield from _keys((*path, "devices"), given.devices)
        yield from _names(path, given)
        yield from _tolerations((*path, "tolerations"), given)
        if around.executor == "sandbox":
            message = "it is for Kubernetes; here stages run in the sandbox, which takes no notice of it"
            yield Remark("kubernetes-ignored", path, message, severity=INFO, key=True)


def _keys(path: Path, given: dict[str, str] | dict[str, int], *, ours: bool = False) -> Iterator[Remark]:
    for key in given:
        if not _KEY.fullmatch(key):
            hint = "example.org/name, or a name of letters, digits, and between them - _ . (63 at most)"
            yield Remark("bad-kubernetes", (*path, key), f"{key!r} cannot be a name there", hint, key=True)
        domain = key.partition("/")[0]
        if ours and any(domain == d or domain.endswith(f".{d}") for d in (OURS, "kubernetes.io", "k8s.io")):
            message = f"names of {domain} are not for pipelines to give"
            yield Remark("bad-kubernetes", (*path, key), message, "a domain of your own, or none", key=True)


def _labels(path: Path, given: dict[str, str], *, ours: bool = False) -> Iterator[Remark]:
    yield from _keys(path, given, ours=ours)
    for key, value in given.items():
        if not _VALUE.fullmatch(value):
            yield Remark("bad-kubernetes", (*path, key), f"{value!r} cannot be a label's value", _VALUE_HINT)


def _names(path: Path, given: Placement) -> Iterator[Remark]:
    names: list[tuple[Path, str]] = [
        ((*path, "image_pull_secrets", i), name) for i, name in enumerate(given.image_pull_secrets)
    ]
    if given.priority_class:
        names.append(((*path, "priority_class"), given.priority_class))
    for place, name in names:
        if not _NAME.fullmatch(name):
            hint = "small letters, digits, and between them - and ."
            yield Remark("bad-kubernetes", place, f"{name!r} cannot be a name there", hint)


def _tolerations(path: Path, given: Placement) -> Iterator[Remark]:
    for index, toleration in enumerate(given.tolerations):
        place = (*path, index)
        yield from _keys(place, {toleration.key: ""} if toleration.key else {})
        if toleration.operator == "Exists" and toleration.value:
            message = "Exists looks at no value"
            yield Remark("bad-kubernetes", (*place, "operator"), message, '"operator": "Equal", or no value')
        if toleration.operator == "Equal" and not toleration.key:
            yield Remark("bad-kubernetes", place, "a value of which taint?", '"key": …')
        if toleration.seconds is not None and toleration.effect != "NoExecute":
            message = f"{show_duration(toleration.seconds)} of what: only NoExecute drives a pod away"
            yield Remark("bad-kubernetes", (*place, "for"), message, '"effect": "NoExecute"')
