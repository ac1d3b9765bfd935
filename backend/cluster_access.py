"""Where stages run on Kubernetes: flags and variables, for every program that has them. Nothing is looked up here."""

from __future__ import annotations

import argparse
import os

from msgspec import Struct

from backend import __version__

REGISTRY = "ghcr.io/khantui"


class ClusterAccess(Struct, frozen=True):
    """Which cluster and namespace, and what stages are given there. What is empty is found out, or not used."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    volume: str = ""  # CLAIM or CLAIM/FOLDER: the volume that holds the data folder
    artifacts_secret: str = ""  # a Secret with the credentials of the artifact store
    store_network: tuple[str, ...] = ()  # where the object store is: what NetworkPolicies must let pods reach
    registry: str = REGISTRY  # where the project's own images are
    image_version: str = __version__  # their tag
    stager_image: str = ""
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()  # ACCOUNT=NAME: a pipeline's service account, and the ServiceAccount it stands for
    waits: tuple[str, ...] = ()  # NAME=TIME: how long something may be in a stage's way


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; each is a variable KHANTUI_… where it is not given."""
    group = parser.add_argument_group("stages on Kubernetes (--executor kubernetes)")

    def text(name: str, metavar: str, words: str, default: str = "") -> None:
        group.add_argument(f"--{name}", default=os.environ.get(_variable(name), default), metavar=metavar, help=words)

    def texts(name: str, variable: str, metavar: str, words: str) -> None:
        given = os.environ.get(f"KHANTUI_{variable}", "").split()
        group.add_argument(f"--{name}", action="append", default=given, metavar=metavar, help=words)

    text("kubeconfig", "FILE", "instead of KUBECONFIG, a pod's own cluster, or ~/.kube/config")
    text("context", "NAME", "a context of the kubeconfig, instead of the current one")
    text("namespace", "NAME", "where Jobs are made, instead of the context's namespace")
    text("volume", "CLAIM[/FOLDER]", "the PersistentVolumeClaim that holds the data folder, and where in it")
    text("artifacts-secret", "NAME", "a Secret whose keys are variables with credentials for --artifacts")
    texts("store-network", "STORE_NETWORK", "HOST[:PORT]", "where the artifact store is: pods with no network reach it")
    text("registry", "PREFIX", "where the images of short names are: PREFIX/khantui-python (%(default)s)", REGISTRY)
    text("image-version", "TAG", "the tag of those images (%(default)s)", __version__)
    text("stager-image", "IMAGE", "what moves artifacts to and from the store, instead of PREFIX/khantui-stager")
    text("pull-policy", "POLICY", "imagePullPolicy of stages that say none (%(default)s)", "IfNotPresent")
    texts("pull-secret", "PULL_SECRETS", "NAME", "a Secret with the registry's credentials, for stages that say none")
    texts("account", "ACCOUNTS", "ACCOUNT=NAME", "a pipeline's service account, and the ServiceAccount it stands for")
    texts("wait", "WAITS", "NAME=TIME", "how long something may be in a stage's way: image, start, room, node")


def read(parser: argparse.ArgumentParser, given: argparse.Namespace) -> ClusterAccess:
    """What was given. Leaves by `parser.error` where it cannot be meant."""
    if given.pull_policy not in ("Always", "IfNotPresent", "Never"):
        parser.error("--pull-policy must be Always, IfNotPresent or Never")
    for account in given.account:
        if not all(account.partition("=")):
            parser.error(f"--account {account}: write ACCOUNT=NAME")
    return ClusterAccess(
        kubeconfig=given.kubeconfig,
        context=given.context,
        namespace=given.namespace,
        volume=given.volume.strip("/"),
        artifacts_secret=given.artifacts_secret,
        store_network=tuple(given.store_network),
        registry=given.registry.rstrip("/"),
        image_version=given.image_version,
        stager_image=given.stager_image,
        pull_policy=given.pull_policy,
        pull_secrets=tuple(given.pull_secret),
        accounts=tuple(given.account),
        waits=tuple(given.wait),
    )


def _variable(name: str) -> str:
    return "KHANTUI_" + name.upper().replace("-", "_")
