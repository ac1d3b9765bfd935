"""What is loaded where: the client of Kubernetes is large, and sandboxes do without it."""

from __future__ import annotations

import subprocess
import sys


def test_a_daemon_of_sandboxes_does_not_load_the_client_of_kubernetes() -> None:
    program = "import sys, backend.daemon; print([m for m in ('kubernetes', 'aiohttp', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
