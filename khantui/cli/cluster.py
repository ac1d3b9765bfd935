"""Kubernetes, as the command line knows it: flags that go to the daemon's side, and what its doctor finds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from khantui.cli.checks import Check

F = TypeVar("F", bound=Callable[..., Any])
FLAGS = ("context", "namespace", "registry", "volume", "artifacts_secret")
_OPTIONS = (
    click.option("--artifacts-secret", metavar="NAME", help="The Secret with credentials for --artifacts, for pods."),
    click.option("--volume", metavar="CLAIM", help="The volume claim that holds the data folder."),
    click.option("--registry", metavar="PREFIX", help="Where the images of short names are."),
    click.option("--namespace", metavar="NAME", help="Where Jobs are made, instead of the context's namespace."),
    click.option("--context", metavar="NAME", help="A context of the kubeconfig, instead of the current one."),
)


def cluster_options(command: F) -> F:
    """The options that say which cluster, and what is there."""
    for option in _OPTIONS:
        command = option(command)
    return command


def cluster_argv(flags: Mapping[str, Any]) -> list[str]:
    """Those that were given, as the daemon's side takes them."""
    argv = []
    for name in FLAGS:
        if value := flags.get(name):
            argv += [f"--{name.replace('_', '-')}", str(value)]
    return argv


def cluster_checks(flags: Mapping[str, Any], *, tried: bool = False) -> Iterator[Check]:
    """What the daemon's side finds of the cluster, as it is found."""
    import msgspec

    from khantui.cli.checks import Check

    argv = [sys.executable, "-m", "backend.admin", "doctor", *cluster_argv(flags), *(["--try"] if tried else [])]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as doctor:
        assert doctor.stdout is not None
        for line in doctor.stdout:
            yield Check(**msgspec.json.decode(line))
    if doctor.returncode:
        yield Check("cluster", "missing", "it could not be looked at", "see what was said above", True)
