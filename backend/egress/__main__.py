"""`python -m backend.egress FD PLAN`: the proxy of the stage at the other end of FD. It ends with the stage."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Sequence

from backend.egress.parent import parent_of
from backend.egress.places import Plan
from backend.egress.proxy import serve_all

_CREDENTIALS = struct.Struct("iII")  # pid, user, group


def main(argv: Sequence[str]) -> None:
    """Take the stage's listening sockets, and serve them for as long as its command runs."""
    plan = Plan.unpack(argv[1])
    with socket.socket(fileno=int(argv[0])) as channel:
        received = _receive(channel, len(plan.places))
        if received is None:  # the sandbox was never made
            return
        pid, listeners = received
        stage = os.pidfd_open(pid)
        channel.send(b".")
    asyncio.run(_serve(plan, listeners, stage))


def _receive(channel: socket.socket, count: int) -> tuple[int, list[socket.socket]] | None:
    """Who sends, and the listening sockets; None if nobody is there any more."""
    room = socket.CMSG_SPACE(count * 4) + socket.CMSG_SPACE(_CREDENTIALS.size)
    data, ancillary, _, _ = channel.recvmsg(1, room)
    pid, descriptors = 0, list[int]()
    for _, kind, content in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(content)[0]
        elif kind == socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"{len(content) // 4}i", content)
    if not data or not pid or len(descriptors) != count:
        return None
    return pid, [socket.socket(fileno=each) for each in descriptors]


async def _serve(plan: Plan, listeners: list[socket.socket], stage: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(stage, ended.set)
    await serve_all(plan, listeners, ended, parent_of(os.environ))
    os._exit(0)  # connections that are open have nobody left


main(sys.argv[1:])
