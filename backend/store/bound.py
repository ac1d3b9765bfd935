"""Becomes another program that is killed as soon as its parent is gone: `bound.py PARENT PROGRAM ARGUMENTS…`.

Run as a script, since the parent, which has threads, must not run code of its own between fork and exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone already")
    try:
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be run: {error}")
