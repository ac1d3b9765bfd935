"""Inputs of very many entries, on a shared volume: gathered into one folder, since a pod cannot have a mount for each.

Nothing is copied where the volume has hard links: a gathered entry is the same file under another name.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from backend.executors.base import AttemptSpec
from backend.layout import Layout

MOST = 64  # entries of an input that are mounted one by one


def gathered(spec: AttemptSpec) -> set[str]:
    """The inputs that are to be gathered, by name."""
    return {name for name, entries in Counter(mount.name for mount in spec.inputs).items() if entries > MOST}


def folder(layout: Layout, spec: AttemptSpec, name: str) -> Path:
    """Where an input is gathered."""
    return layout.attempt(*spec.key) / "in" / name


def gather(layout: Layout, spec: AttemptSpec) -> None:
    """Make the folders of all inputs that are to be gathered, each whole or not at all. Again, it changes nothing."""
    for name in gathered(spec):
        target = folder(layout, spec, name)
        if target.exists():
            continue
        new = target.with_name(f".{name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for mount in spec.inputs:
            if mount.name == name:
                _link(layout.artifact(mount.location), new / mount.entry)
        new.rename(target)


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the volume has no hard links
        shutil.copy2(source, target)
