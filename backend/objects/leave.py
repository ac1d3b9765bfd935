"""How a process ends that may have used obstore.

Its threads hand results to Python. One that does so while the interpreter is being taken down is ended by it (before
Python 3.14), and then the whole process is, with SIGABRT: after all work was done well, its exit code says that it
failed. So the process ends without taking the interpreter down.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process, when all has been closed: as `sys.exit`, or at once if there are such threads."""
    if "obstore" not in sys.modules:
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
