"""The environment that every executor gives a stage."""

from __future__ import annotations

from collections.abc import Iterable

from backend.errors import ExecutorError
from backend.executors.base import AttemptSpec

LONGEST = 128 * 1024 - 1  # bytes in one argument or variable: Linux' own limit


def variables(spec: AttemptSpec, *, inputs: str, outputs: str, tmp: str) -> dict[str, str]:
    """The stage's variables, given the folders that it sees."""
    given = {"HOME": tmp, "TMPDIR": tmp, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **spec.environment}
    for mount in spec.inputs:
        given[f"KHAN_INPUT_{_variable(mount.name)}"] = f"{inputs}/{mount.name}"
    for name in spec.outputs:
        given[f"KHAN_OUTPUT_{_variable(name)}"] = f"{outputs}/{name}"
    return given


def check(words: Iterable[str]) -> None:
    """Whether a program can be given these as arguments or variables. Raises ExecutorError."""
    for word in words:
        if len(word.encode()) > LONGEST:
            raise ExecutorError(
                f"an argument or variable of the stage is longer than {LONGEST:,} bytes: {word[:40]!r}…",
                hint="pass it as a file: a script, an input or code",
            )
        if "\0" in word:
            raise ExecutorError(f"an argument or variable of the stage has a NUL in it: {word[:40]!r}…")


def _variable(name: str) -> str:
    """Names may have a dash, variables may not."""
    return name.replace("-", "_")
