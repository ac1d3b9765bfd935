"""Code files: those that are listed are there, and those that are run are listed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from backend.spec.bundle import LARGEST
from backend.spec.model import Pipeline
from backend.spec.rules.registry import WARNING, Remark, Surroundings, meant, rule, stages

_FILE = re.compile(r"(?:[\w.-]+/)*[\w-]+\.(?:py|R|r|sh|sql|js|jl|pl|rb)")


@rule(
    code_outside="A code file outside of the document's folder.",
    code_missing="A code file that is listed but not there.",
    code_too_large="More code than a bundle may hold.",
)
def listed(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """What is listed is there and not too large."""
    for index, name in enumerate(pipeline.code):
        path = PurePosixPath(name)
        place = ("code", index)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            yield Remark(
                "code-outside", place, f"{name!r} is outside of the document's folder", "put it beside the document"
            )
        elif around.code is not None and not _has(around.code, name):
            yield Remark("code-missing", place, f"there is no {name!r} beside the document", meant(name, around.code))
    if around.code is not None:
        size = sum(around.code.values())
        if size > LARGEST:
            largest = max(around.code, key=lambda f: around.code[f])  # type: ignore[index]
            message = f"{size / 2**20:.0f} MiB of code, {largest} the largest; {LARGEST >> 20} MiB are the most"
            yield Remark("code-too-large", ("code",), message, "data belongs into inputs")


@rule(code_unlisted="A stage runs a file that `code` does not list.")
def ran(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """What stages run is among the code."""
    for path, _name, stage in stages(pipeline):
        if stage.uses:
            continue
        for index, word in enumerate(stage.run):
            if _FILE.fullmatch(word) and not any(_covers(listed_name, word) for listed_name in pipeline.code):
                message = f"{word!r} is not among the code: the stage will not find it"
                yield Remark("code-unlisted", (*path, "run", index), message, f'"code": ["{word}"]', WARNING)


def _has(files: object, name: str) -> bool:
    assert hasattr(files, "__iter__")
    folder = name.rstrip("/") + "/"
    return any(file == name or file.startswith(folder) for file in files)


def _covers(listed_name: str, file: str) -> bool:
    return file == listed_name or file.startswith(listed_name.rstrip("/") + "/")
