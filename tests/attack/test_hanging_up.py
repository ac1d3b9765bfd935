"""Who asks by the loopback port is told by the kernel's table of sockets, which has only what is still held."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from backend.api.identity import owner_of

pytestmark = pytest.mark.attack
HERE = "127.0.0.1"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as found:
        yield found


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_owner_of_a_connection_is_who_holds_it(listener: socket.socket, family: socket.AddressFamily) -> None:
    server = listener.getsockname()
    with socket.socket(family) as client:
        client.connect(server if family == socket.AF_INET else (f"::ffff:{HERE}", server[1]))
        held, end = listener.accept()
        with held:
            assert owner_of(end, server) == os.getuid()


def test_who_asks_and_hangs_up_is_not_taken_for_root(listener: socket.socket) -> None:
    """The kernel lists a socket that its process has closed as root's, while the request lies there to be read."""
    server = listener.getsockname()
    with socket.create_connection(server) as client:
        client.sendall(b"POST /api/v1/pipelines HTTP/1.1\r\n\r\n")
        held, end = listener.accept()
    with held:
        assert held.recv(100)
        assert owner_of(end, server) is None


def test_another_connection_with_the_same_ports_is_not_mistaken(listener: socket.socket) -> None:
    server = listener.getsockname()
    other = ("127.0.0.2", server[1])
    with socket.create_server(other), socket.create_connection(other) as client:
        assert owner_of((HERE, client.getsockname()[1]), server) is None
