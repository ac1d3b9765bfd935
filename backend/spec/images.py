"""The images that stages can name: what interprets their scripts, and which programs of the host stand for them."""

from __future__ import annotations

import re

from msgspec import Struct


class Image(Struct, frozen=True):
    """An image by its short name.

    `interpreter` is what a stage's `script` is handed to (its path follows); `suffix` is that file's. `tools` are the
    programs of the host of which the sandbox needs the first that is there.
    """

    name: str
    description: str
    interpreter: tuple[str, ...]
    suffix: str
    tools: tuple[str, ...]


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image("shell", "A shell and the usual small programs", ("bash", "-euo", "pipefail"), ".sh", ("bash", "sh")),
        Image("python", "Python 3 with its standard library", ("python3", "-u"), ".py", ("python3",)),
        Image("r", "R with its base packages", ("Rscript", "--vanilla"), ".R", ("Rscript",)),
        Image("duckdb", "DuckDB: SQL over CSV, Parquet and JSON files", ("duckdb", "-bail", "-f"), ".sql", ("duckdb",)),
        Image("sqlite", "SQLite's command line", ("sqlite3", "-bail", ":memory:"), ".sql", ("sqlite3",)),
        Image(
            "bigquery", "Google BigQuery's client, with credentials of the service account", ("bq",), ".sql", ("bq",)
        ),
        Image("dataflow", "Apache Beam pipelines on Google Dataflow", ("python3", "-u"), ".py", ("beam",)),
    )
}

_REFERENCE = re.compile(
    r"[a-z0-9]+([._-][a-z0-9]+)*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def is_reference(name: str) -> bool:
    """Whether this is a container image of a registry (`ghcr.io/x/y:1`), not one of ours."""
    return bool(_REFERENCE.fullmatch(name)) and any(c in name for c in "/:@")
