"""Runs in a sandbox before the stage's command: opens its way out, and becomes the command.

It is started as a file of its own, by a bare Python: it must not import anything of ours.
"""

import os
import socket
import sys


def main() -> None:
    """`inside.py FD ADDRESS:PORT,… COMMAND…`: FD leads to the proxy."""
    _, descriptor, places, *command = sys.argv
    with socket.socket(fileno=int(descriptor)) as channel:
        listeners = [_listen(*place.rsplit(":", 1)) for place in places.split(",")]
        socket.send_fds(channel, [b"."], [each.fileno() for each in listeners])
        answer = channel.recv(1)
    for each in listeners:
        each.close()
    if not answer:
        sys.exit("khantui: the network that the service account declares could not be set up")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:  # said as bubblewrap says it, who starts commands otherwise
        print(f"bwrap: execvp {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(1)


def _listen(host: str, port: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(128)
    return listener


main()
