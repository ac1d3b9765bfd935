"""Khantui's face: the command line and the screens. It reaches the daemon over HTTP only."""

__version__ = "0.1.0"

import sys

# httpx has a command line of its own, which nobody calls here: it would load Pygments and more, a tenth of a second
# at every start. Where it is not to be had, httpx does without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
