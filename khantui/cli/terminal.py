"""Opening the terminal interface. Here, and only here, the command line imports the application."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

from khantui.cli.session import Session
from khantui.errors import Failure

if TYPE_CHECKING:
    from khantui.cli.child import Child
    from khantui.cli.examples import Tour


def is_terminal() -> bool:
    """Whether a person sits there."""
    if "TEXTUAL_DRIVER" in os.environ:  # a browser: `khantui web`
        return True
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def open_interface(
    session: Session, *, tour: Tour | None = None, child: Child | None = None, read_only: bool = False
) -> int:
    """Show the interface until it is left: the exit code. Raises Failure if a daemon that is ours dies."""
    import gc

    gc.disable()  # nothing of what is imported here is ever garbage
    from khantui.app import KhantuiApp

    gc.freeze()
    gc.enable()
    if "TEXTUAL_DRIVER" not in os.environ:  # the terminal knows better, also when it is resized
        for stale in ("COLUMNS", "LINES"):
            os.environ.pop(stale, None)
    app = KhantuiApp(session.client.address, read_only=read_only, reason=session.reason)
    left = threading.Event()

    def start_examples() -> None:
        assert tour is not None
        try:
            tour.start_all()
        except Failure:
            return  # the interface shows that the daemon is away

    def watch_child() -> None:
        assert child is not None
        child.process.wait()
        if not left.is_set():
            app.call_from_thread(app.exit, 1)

    for needed, work in ((tour, start_examples), (child, watch_child)):
        if needed is not None:
            threading.Thread(target=work, daemon=True).start()
    threading.Thread(target=watch_terminal, args=(left, child), daemon=True).start()
    code = app.run()
    left.set()
    if child is not None and child.died():
        raise child.obituary()
    return code or 0


def watch_terminal(left: threading.Event, child: Child | None) -> None:
    """End at once when the terminal goes away, and a daemon that is ours in order. Blocks.

    There need not be a signal: only a session's first process gets one. Leaving as one does by a key would paint, and
    wait for ever for the thread that writes to the terminal, which is gone too. What was typed is on disk.
    """
    terminal = select.poll()
    terminal.register(sys.stdin.fileno(), 0)  # no event but that it is gone
    terminal.poll()
    if left.is_set():
        return
    if child is not None:
        child.process.terminate()
    os._exit(128 + signal.SIGHUP)
