"""Pipeline documents on this machine's disk: where they are, the code beside them, and which comes first."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from khantui.errors import Failure, Misuse

NAME = "pipeline.json"
_JUNK = frozenset(("__pycache__", "node_modules"))  # hidden files and folders are left out anyway
_JUNK_ENDINGS = (".pyc", ".pyo", "~", ".swp")


@dataclass(frozen=True)
class Document:
    """A document: the name that findings carry, its text, and the folder that its code is in (None: stdin)."""

    file: str
    text: str
    folder: Path | None

    @property
    def value(self) -> dict[str, Any]:
        """The JSON; empty where it is none."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def name(self) -> str:
        """The pipeline's name, or the file's where it has none."""
        name = self.value.get("name")
        return name if isinstance(name, str) else self.file


def find(paths: Sequence[str]) -> list[Document]:
    """The documents in files, folders and stdin (`-`). Raises Misuse for what cannot be read, or has none."""
    found: dict[str, Document] = {}
    for named in paths:
        if named == "-":
            found["-"] = Document("<stdin>", sys.stdin.read(), None)
            continue
        path = Path(named)
        documents = list(_below(path)) if path.is_dir() else [_read(path)]
        if not documents:
            raise Misuse(f"there is no pipeline document in {named}", "`khantui init` writes one")
        found.update((str(Path(d.file).resolve()), d) for d in documents)
    return list(found.values())


def _read(path: Path) -> Document:
    try:
        return Document(str(path), path.read_bytes().decode("utf-8-sig"), path.parent)
    except UnicodeDecodeError as error:
        raise Misuse(f"{path} is no text: byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from error


def _below(folder: Path) -> Iterator[Document]:
    """Documents in a folder: every pipeline.json, and what else is JSON and has stages."""

    def give_up(error: OSError) -> None:
        raise Misuse(f"{error.filename} cannot be read: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=give_up):
        folders[:] = sorted(name for name in folders if _wanted(name))
        for name in sorted(files):
            if name.endswith(".json") and _wanted(name):
                document = _read(Path(place) / name)
                if name == NAME or isinstance(document.value.get("stages"), dict):
                    yield document


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name not in _JUNK and not name.endswith(_JUNK_ENDINGS)


def code_files(document: Document) -> dict[str, Path]:
    """What a document's `code` names, folders with all that is in them: path as in the bundle -> file.

    What is not there, or named outside of the folder, is left out: lint says so. Raises Misuse for links that lead out.
    """
    entries = document.value.get("code")
    if not isinstance(entries, list) or document.folder is None:
        return {}
    root = document.folder.resolve()
    files: dict[str, Path] = {}
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip("/."):
            continue
        path = document.folder / entry
        if Path(entry).is_absolute() or ".." in Path(entry).parts or "\0" in entry:
            continue
        found = [path] if path.is_file() else sorted(_files_below(path)) if path.is_dir() else []
        for file in found:
            if not file.resolve().is_relative_to(root):
                raise Misuse(f"{file} is a link that leads out of {document.folder}", "copy what it points to")
            files[file.relative_to(document.folder).as_posix()] = file
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _wanted(name)]
        yield from (Path(place) / name for name in files if _wanted(name))


def references(document: Document) -> set[str]:
    """The pipelines that a document takes stages (`uses`) or artifacts (`from`) from."""
    value = document.value
    inputs, stages = value.get("inputs"), value.get("stages")
    named = [i.get("from") for i in inputs.values() if isinstance(i, dict)] if isinstance(inputs, dict) else []
    named += [s.get("uses") for s in stages.values() if isinstance(s, dict)] if isinstance(stages, dict) else []
    return {text.partition("/")[0] for text in named if isinstance(text, str)} - {document.name}


def in_order(documents: Sequence[Document]) -> list[Document]:
    """Those that others refer to first; else as they came. Raises Failure for a circle."""
    by_name = {d.name: d for d in documents}
    ordered: dict[str, Document] = {}
    underway: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name not in by_name:
            return
        if name in underway:
            circle = " → ".join([*underway[underway.index(name) :], name])
            raise Failure(f"these pipelines take from one another in a circle: {circle}")
        underway.append(name)
        for other in sorted(references(by_name[name])):
            visit(other)
        underway.pop()
        ordered[name] = by_name[name]

    for document in documents:
        visit(document.name)
    return list(ordered.values())
