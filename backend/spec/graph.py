"""The graph that nobody wrote down: which stage instances there are and which wait for which.

`each` is expanded here, statically, so that the width of a run is known before it starts.
"""

from __future__ import annotations

from msgspec import Struct


class Source(Struct, frozen=True):
    """Where an instance's input comes from: an input of the pipeline, or an entry another instance writes.

    `entry` is empty where the artifact is written whole by one instance; else it is the writer's own part
    of it (`2025`), and the reader sees a folder of all entries.
    """

    artifact: str
    instance: str = ""  # empty: an input of the pipeline, from outside
    output: str = ""  # the writer's own name for it
    entry: str = ""


class Instance(Struct, frozen=True):
    """One stage, with one choice of its `each` variables."""

    name: str  # "plot", or "plot.2025" where the stage has `each`
    stage: str
    each: dict[str, str]
    needs: tuple[str, ...]  # names of the instances that must have succeeded before
    inputs: dict[str, tuple[Source, ...]]  # name in the stage -> what is put there
    outputs: dict[str, str]  # name in the stage -> artifact
    entry: str = ""  # its own part of each artifact it writes


class Plan(Struct, frozen=True):
    """How a run will go: instances in an order in which they could run one by one, and how parallel it is."""

    instances: dict[str, Instance]
    levels: tuple[tuple[str, ...], ...]  # those of one level can all run at once
    width: int  # the most instances that can run at once
    critical_path: tuple[str, ...]  # the longest chain of instances that wait for one another
