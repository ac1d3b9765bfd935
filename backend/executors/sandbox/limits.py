"""How much an attempt may take, and who sees to it.

File size and CPU time are the kernel's (rlimits, set by a small shell inside of the sandbox, only where asked for).
Memory and processes are watched from outside: an address-space limit would kill programs that only reserve space, and
control groups are not everywhere ours to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from backend.errors import ExecutorError
from backend.run.state import Reason
from backend.spec import quantity

PAGE = 4096


class Limits(Struct, frozen=True):
    """What every attempt on this machine is held to; memory is each stage's own. Sizes in bytes, times in seconds."""

    processes: int = 4096
    cpu_time: int | None = None
    file_size: int | None = None

    def prefix(self) -> list[str]:
        """What goes before the command so that the kernel's limits hold for it."""
        orders = []
        if self.cpu_time is not None:
            # the soft limit's SIGXCPU tells what it was; the hard one's SIGKILL is for who does not listen
            orders.append(f"ulimit -H -t {self.cpu_time + 5}; ulimit -S -t {self.cpu_time}")
        if self.file_size is not None:
            orders.append(f"ulimit -f {-(-self.file_size // 512)}")
        return ["/bin/sh", "-c", f'{"; ".join(orders)}; exec "$@"', "sh"] if orders else []


def read_limits(given: Iterable[str]) -> Limits:
    """From `processes=512`, `cpu-time=2h`, `file-size=10Gi`. Raises ExecutorError."""
    found: dict[str, int] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in _READ:
            raise ExecutorError(f"there is no limit {name!r}", hint=f"limits: {', '.join(_READ)}")
        try:
            found[name.replace("-", "_")] = amount = int(_READ[name](value))
        except ValueError as error:
            raise ExecutorError(f"the limit {text!r} is not understood: {error}") from None
        if amount < 1:
            raise ExecutorError(f"the limit {text!r} leaves nothing")
    return Limits(**found)


_READ: dict[str, Callable[[str], float]] = {
    "processes": int,
    "cpu-time": quantity.duration,
    "file-size": quantity.memory,
}


def show_size(size: int) -> str:
    """`512 MiB`."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:g} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"


def tree(root: int, most: int | None = None) -> list[int]:
    """A process and all below it. In a PID namespace of their own none can leave it.

    Looking ends where there are more than `most`: what multiplies is not to be counted to its end.
    """
    found = list[int]()
    pending = [root]
    while pending and (most is None or len(found) <= most):
        pid = pending.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def memory(pids: list[int]) -> int:
    """Bytes that these processes hold, what they share counted for each."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return total * PAGE


def proportional(pids: list[int]) -> int:
    """Bytes that these processes hold, what they share counted once. Slower: asked only when `memory` says too much."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def exceeded(pids: list[int], limits: Limits, memory_limit: int | None) -> tuple[Reason, str] | None:
    """The limit that these processes are beyond, if any, and how to say it."""
    if len(pids) > limits.processes:
        return Reason.PROCESSES, f"killed: more than {limits.processes} processes"
    if memory_limit is not None and memory(pids) > memory_limit and proportional(pids) > memory_limit:
        return Reason.MEMORY, f"killed: memory limit {show_size(memory_limit)}"
    return None
