"""The daemon as a child process of `khantui up`."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from khantui.cli.session import Session, note
from khantui.errors import Failure

LOG = "daemon.log"
# how log lines, tracebacks and last words begin; progress does not
_NO_PROGRESS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\s|$|Traceback|khantui:|[\w.]*(?:Error|Exception)\b")
_LOOK = 0.05  # seconds between looks at the child
_LAST = 12  # lines of its log that are shown if it dies


@dataclass
class Child:
    """A daemon that was started here."""

    process: subprocess.Popen[bytes]
    log: Path
    since: int  # where its own output begins in the log, in bytes

    def died(self) -> bool:
        """Whether it is gone."""
        return self.process.poll() is not None

    def obituary(self) -> Failure:
        """What to say of a daemon that died: its last words."""
        with self.log.open("rb") as file:
            file.seek(self.since)
            lines = file.read().decode(errors="replace").splitlines()
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Failure("\n".join([f"the daemon {how}:", *lines[-_LAST:]]), f"all it said: {self.log}")


def running_daemon(session: Session) -> bool:
    """Whether a daemon answers in the data folder already."""
    try:
        session.client.daemon()
    except Failure:
        return False
    return True


def start(argv: list[str], data: Path) -> Child:
    """Start the daemon and wait until it is ready, passing its progress on to stderr. Raises Failure if it dies."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = data / LOG
    with log.open("ab") as output:
        since = output.tell()
        process = subprocess.Popen(  # a session of its own: Ctrl-C is for us, not for it
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    child = Child(process, log, since)
    note(f"starting the daemon in {data} …")
    try:
        for line in _lines(child):
            if line.startswith("ready "):
                note(line)
                return child
            if not _NO_PROGRESS.match(line):
                note(f"  {line}")
    except BaseException:
        _end(process)
        raise
    raise child.obituary()


def _lines(child: Child) -> Iterator[str]:
    """The daemon's output, line by line, as it comes; ends when the daemon has."""
    rest = b""
    with child.log.open("rb") as file:
        file.seek(child.since)
        while True:
            died = child.died()
            part = file.read()
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            if died and not part:
                return
            if not part:
                time.sleep(_LOOK)


def await_answer(session: Session, alive: Callable[[], bool], patience: float = 900.0) -> bool:
    """Wait until a daemon answers that somebody else starts; False if it is gone before."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if running_daemon(session):
            return True
        if not alive():
            return False
        time.sleep(_LOOK * 4)
    return False


def until_it_ends(child: Child | None) -> int:
    """Stay until the daemon ends, or a signal says to leave."""
    if child is not None:
        child.process.wait()
        raise child.obituary()
    return 0


def stop(session: Session, child: Child) -> None:
    """Stop the daemon that was started here, and say what goes on without it."""
    if child.died():
        return
    try:
        going = [r.pipeline for r in session.client.runs(limit=20, state="running")]
    except Failure:
        going = []
    _end(child.process)
    if going:
        note(
            f"the daemon is stopped; stages of {', '.join(going)} go on,"
            " and are taken up again at the next `khantui up`"
        )
    else:
        note("the daemon is stopped")


def _end(process: subprocess.Popen[bytes], grace: float = 15.0) -> None:
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP act like Ctrl-C meanwhile, so that the daemon is stopped in order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
