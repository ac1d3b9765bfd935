"""The images that stages can name: what interprets their scripts, what runs them in each executor, what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct


class Image(Struct, frozen=True):
    """An image by its short name.

    `interpreter` is what a stage's `script` is handed to (its path follows); `suffix` is that file's. `tools` are the
    programs of the host of which the sandbox needs the first that is there; `python3:apache_beam` is a Python that has
    that module. `container` is what Kubernetes runs: a reference to a registry, or the name of one of the project's own
    images; empty where only the sandbox can. `holds` is what is in that container image, with versions.
    """

    name: str
    description: str
    interpreter: tuple[str, ...]
    suffix: str
    tools: tuple[str, ...]
    container: str = ""
    holds: dict[str, str] = {}


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            "shell",
            "A shell and the usual small programs",
            ("bash", "-euo", "pipefail"),
            ".sh",
            ("bash", "sh"),
            "shell",
            {"bash": "5.2", "curl": "7.88", "gawk": "5.2", "jq": "1.6", "sqlite3": "3.40", "zstd": "1.5"},
        ),
        Image(
            "python",
            "Python 3 with its standard library; in its container also pandas, pyarrow and httpx",
            ("python3", "-u"),
            ".py",
            ("python3",),
            "python",
            {"python": "3.11", "httpx": "0.28.1", "numpy": "2.4.6", "pandas": "3.1.1", "pyarrow": "26.0.1"},
        ),
        Image(
            "r",
            "R with its base packages; in its container also data.table, ggplot2 and jsonlite",
            ("Rscript", "--vanilla"),
            ".R",
            ("Rscript",),
            "r",
            {"r": "4.2", "data.table": "1.14", "ggplot2": "3.4", "jsonlite": "1.8"},
        ),
        Image(
            "duckdb",
            "DuckDB: SQL over CSV, Parquet and JSON files",
            ("duckdb", "-bail", "-f"),
            ".sql",
            ("duckdb",),
            "duckdb",
            {"duckdb": "1.5.6"},
        ),
        Image(
            "sqlite",
            "SQLite's command line",
            ("sqlite3", "-bail", "-batch", ":memory:", "-init"),
            ".sql",
            ("sqlite3",),
            "shell",
            {"sqlite3": "3.40"},
        ),
        Image(
            "bigquery",
            "SQL on Google BigQuery, with credentials of the service account",
            ("bqrun",),
            ".sql",
            ("bqrun",),
            "bigquery",
            {"python": "3.11", "google-cloud-bigquery": "3.47.0", "pyarrow": "26.0.1"},
        ),
        Image(
            "dataflow",
            "Apache Beam, on Google Dataflow or in the stage itself",
            ("python3", "-u"),
            ".py",
            ("python3:apache_beam",),
            "dataflow",
            {"python": "3.11", "apache-beam": "2.77.0"},
        ),
    )
}

_REFERENCE = re.compile(
    r"[a-z0-9]+([._-][a-z0-9]+)*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TOOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(:[A-Za-z_][\w.]*)?")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,16})?")


def is_reference(name: str) -> bool:
    """Whether this is a container image of a registry (`ghcr.io/x/y:1`), not one of ours."""
    return bool(_REFERENCE.fullmatch(name)) and any(c in name for c in "/:@")


def find(name: str, images: Mapping[str, Image] = IMAGES) -> Image | None:
    """What a stage's `image` is: one that is known, or any of a registry, of which one can expect a shell at most."""
    if name in images:
        return images[name]
    return Image(name, "", ("sh", "-eu"), ".sh", (), name) if is_reference(name) else None


def mistakes(image: Image) -> Iterator[str]:
    """What is wrong with an image that somebody registers."""
    if not _NAME.fullmatch(image.name):
        yield f"{image.name!r} cannot be an image's name: small letters, digits, - and _, 63 at most"
    if image.container and not is_reference(image.container):
        yield f"{image.container!r} is no container image: write it with its registry, e.g. ghcr.io/example/tools:1.4"
    if not image.container and not image.tools:
        yield "nothing runs it: name a container image, or programs of the daemon's machine that stand for it"
    if not image.interpreter or not all(image.interpreter):
        yield "it has no interpreter for scripts"
    if any("\0" in word for word in image.interpreter):
        yield "its interpreter has a NUL character"
    if not _SUFFIX.fullmatch(image.suffix):
        yield f"{image.suffix!r} is no ending of a file's name: e.g. .py"
    for tool in image.tools:
        if not _TOOL.fullmatch(tool):
            yield f"{tool!r} is no program's name: e.g. psql, or python3:dbt for a Python that has the module dbt"
    if len(image.description) > 500 or "\n" in image.description:
        yield "its description is longer than a line of 500 characters"


def reference(image: Image, registry: str, version: str) -> str:
    """The container image that Kubernetes runs, `ghcr.io/khantui/khantui-python:0.1.0`; empty if there is none."""
    if not image.container or is_reference(image.container):
        return image.container
    return f"{registry.rstrip('/')}/khantui-{image.container}:{version}"


def without_container(images: Mapping[str, Image]) -> dict[str, str]:
    """The images that cannot run on a cluster, and why."""
    return {name: "there is no container image for it" for name, image in images.items() if not image.container}
