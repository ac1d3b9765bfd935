"""What is loaded where: the client of Kubernetes and the library for notifications are large."""

from __future__ import annotations

import subprocess
import sys


def test_a_daemon_of_sandboxes_does_not_load_the_client_of_kubernetes_nor_services_to_tell() -> None:
    large = ("kubernetes", "aiohttp", "yaml", "apprise", "requests")
    program = f"import sys, backend.daemon; print([m for m in {large} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
