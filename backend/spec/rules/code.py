"""Code files: those that are listed are there, and those that are run are listed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
    there = _with_folders(around.code or ())
    for index, name in enumerate(pipeline.code):
        path = PurePosixPath(name)
        place = ("code", index)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            yield Remark(
                "code-outside", place, f"{name!r} is outside of the document's folder", "put it beside the document"
            )
        elif around.code is not None and name.rstrip("/") not in there:
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
    listed_names = {name.rstrip("/") for name in pipeline.code}
    for path, _name, stage in stages(pipeline):
        if stage.uses:
            continue
        for index, word in enumerate(stage.run):
            if _FILE.fullmatch(word) and listed_names.isdisjoint(_with_folders([word])):
                message = f"{word!r} is not among the code: the stage will not find it"
                yield Remark("code-unlisted", (*path, "run", index), message, f'"code": ["{word}"]', WARNING)


def _with_folders(files: Iterable[str]) -> set[str]:
    """The files, and every folder that one of them is in."""
    found = set(files)
    for file in files:
        folder = file
        while (folder := folder.rpartition("/")[0]) and folder not in found:
            found.add(folder)
    return found
