"""What can be shown of an artifact, or of a file in one: fetched as far as that takes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from backend.api.wire import ArtifactView
from khantui.api import peek
from khantui.api.client import Client
from khantui.api.download import save_file, save_folder
from khantui.api.peek import Member, Stopped
from khantui.errors import Failure
from khantui.render.moments import size
from khantui.render.preview import BEGINNING, Preview, preview, table
from khantui.render.rows import artifact_name
from khantui.render.sheet import ROWS
from khantui.render.text import visible
from khantui.state import duck

LOOKED_INTO = 64 << 20  # bytes of a Parquet file that are fetched for what stands beside the list


class Source(NamedTuple):
    """An artifact of a run, or the file `path` in it, of `bytes` bytes."""

    run: str
    artifact: ArtifactView
    path: str = ""
    bytes: int = 0

    @property
    def folder(self) -> bool:
        """Whether it is the whole of a folder."""
        return self.artifact.record.kind == "folder" and not self.path

    @property
    def title(self) -> str:
        """What it is called."""
        return artifact_name(self.artifact) + (f"/{self.path}" if self.path else "")

    @property
    def length(self) -> int:
        """Its bytes."""
        return self.bytes if self.path else self.artifact.record.bytes

    @property
    def filename(self) -> str:
        """The name whose ending may say what is in it."""
        return self.path or self.artifact.record.uri or self.artifact.entry or self.artifact.name


class Sample(NamedTuple):
    """What is shown of it; of a folder also its files."""

    preview: Preview
    members: Sequence[Member] = ()


def fetch(client: Client, source: Source, stopped: Stopped) -> Sample:
    """Look at it. Raises Failure. When `stopped` says so the answer does not matter any more."""
    parts = client.artifact(source.run, source.artifact, source.path)
    if source.folder:
        return listed(*peek.members(parts, stopped))
    data = peek.beginning(parts, BEGINNING, stopped)
    shown = preview(data, source.length, source.filename)
    if shown.kind == "Parquet":
        return Sample(_parquet(client, source, shown, stopped))
    return Sample(shown)


def listed(members: Sequence[Member], complete: bool) -> Sample:
    """A folder's files as what is shown of it."""
    rows = [["file", "bytes"], *([m.name + (f" → {m.target}" if m.target else ""), f"{m.bytes:,}"] for m in members)]
    shown = table(rows[: ROWS * 5 + 1], "folder", more=False, titled=True)
    said = f"{len(members):,} file{'s' * (len(members) != 1)}{'' if complete else ', and there are more'}"
    return Sample(shown._replace(said=said), tuple(members))


def _parquet(client: Client, source: Source, shown: Preview, stopped: Stopped) -> Preview:
    about = f"Parquet, {size(source.length)}"
    if source.length > LOOKED_INTO:
        return shown._replace(lines=[[(f"{about}: v fetches it, to page through it", "faint")]])
    with tempfile.TemporaryDirectory(prefix="khantui-") as folder:
        path = Path(folder, "content.parquet")
        with path.open("wb") as file:
            for part in client.artifact(source.run, source.artifact, source.path):
                if stopped():
                    return shown
                file.write(part)
        found = duck.read(path, ROWS)
    if found is None:
        return shown._replace(lines=[[(f"{about}: it cannot be read, the file may be damaged", "faint")]])
    drawn = table(found.rows, "Parquet", more=found.total > ROWS, total=found.total, titled=True)
    return drawn._replace(said=f"{drawn.said}, {size(source.length)}")


def save(client: Client, source: Source, said: str) -> Path:
    """Write it where somebody said, whole or not at all, over nothing. Returns where that is. Raises Failure."""
    try:
        target = Path(said).expanduser().absolute()
        if target.is_dir() and not source.folder:
            target = target / Path(source.title).name
        parts = client.artifact(source.run, source.artifact, source.path)
        (save_folder if source.folder else save_file)(parts, target)
    except (OSError, RuntimeError, ValueError) as error:  # no such home, a NUL in the path
        raise Failure(f"{visible(said)} was not written: {error}", "name another place") from error
    return target
