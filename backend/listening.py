"""Where the daemon listens, and who may come in: the flags and variables of it."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from msgspec import Struct

from backend.trust import Trust


class Listening(Struct, frozen=True):
    """The doors of one daemon. All but the socket and the loopback port ask for a token, or a proxy's word."""

    socket: Path | None = None  # None: `api.sock` in the data folder
    port: int | None = None  # loopback TCP; 0: any free one
    remote: tuple[str, int] | None = None  # host and port, for other machines
    cert: Path | None = None  # TLS there
    key: Path | None = None
    token_file: Path | None = None  # holds a token that may do everything
    socket_mode: int = 0o600  # who may open the socket at all
    behind_proxy: bool = False  # a proxy before the remote door ends TLS, and says who asks
    forwarded: int = 0  # addresses at the end of X-Forwarded-For that the proxies before that door have written
    probes: tuple[str, int] | None = None  # /healthz, /readyz and /metrics alone, for whoever asks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of it; most are a variable KHANTUI_… where they are not given."""
    group = parser.add_argument_group("where it listens")
    group.add_argument("--socket", type=Path, default=_path("SOCKET"), help="the unix socket (DATA/api.sock)")
    group.add_argument(
        "--socket-mode",
        default=os.environ.get("KHANTUI_SOCKET_MODE", "600"),
        metavar="MODE",
        help="who may open it: 660 its group as well, 666 everybody here; they may do what is bound to them (600)",
    )
    group.add_argument("--port", type=int, help="serve on loopback TCP as well (0: any free port)")
    group.add_argument(
        "--listen",
        default=os.environ.get("KHANTUI_LISTEN", ""),
        metavar="HOST:PORT",
        help="serve other machines, over TLS, to those who show a token",
    )
    group.add_argument("--token-file", type=Path, default=_path("TOKEN_FILE"), help="its token may do everything")
    group.add_argument("--tls-cert", type=Path, default=_path("TLS_CERT"), help="the certificate of --listen")
    group.add_argument("--tls-key", type=Path, default=_path("TLS_KEY"), help="the private key of that certificate")
    group.add_argument(
        "--behind-proxy",
        action="store_true",
        default=os.environ.get("KHANTUI_BEHIND_PROXY", "") not in ("", "0", "no"),
        help="no TLS for --listen: a proxy before it ends TLS; needs --iap-audience or --oidc",
    )
    group.add_argument(
        "--forwarded",
        type=int,
        default=os.environ.get("KHANTUI_FORWARDED") or "0",
        metavar="N",
        help="with --behind-proxy: the client's address is the Nth from the end of X-Forwarded-For, and no one before"
        " is believed (0: none is; Google's load balancer: 2)",
    )
    group.add_argument(
        "--probes",
        default=os.environ.get("KHANTUI_PROBES", ""),
        metavar="HOST:PORT",
        help="/healthz, /readyz and /metrics, for whoever asks",
    )


def read(parser: argparse.ArgumentParser, given: argparse.Namespace, trust: Trust) -> Listening:
    """What was given. Leaves by `parser.error` where it does not fit together."""
    if given.port is not None and not 0 <= given.port <= 65535:
        parser.error("--port must be from 0 to 65535")
    if bool(given.tls_cert) != bool(given.tls_key):
        parser.error("--tls-cert and --tls-key belong together: give both, or neither")
    if given.listen and not given.tls_cert and not given.behind_proxy:
        parser.error("--listen needs --tls-cert and --tls-key; or --behind-proxy, where a proxy before it ends TLS")
    if given.behind_proxy and not trust.any:
        parser.error("--behind-proxy needs --iap-audience or --oidc: somebody must say who asks")
    if given.forwarded < 0 or (given.forwarded and not given.behind_proxy):
        parser.error("--forwarded is 1 or more, and needs --behind-proxy: else anybody could say any address")
    if not re.fullmatch(r"0?6[06][06]", given.socket_mode):
        parser.error("--socket-mode is 600, 660 or 666")
    return Listening(
        given.socket.absolute() if given.socket else None,
        given.port,
        _place(parser, "--listen", given.listen),
        given.tls_cert,
        given.tls_key,
        given.token_file,
        int(given.socket_mode, 8),
        given.behind_proxy,
        given.forwarded,
        _place(parser, "--probes", given.probes),
    )


def _place(parser: argparse.ArgumentParser, flag: str, text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        parser.error(f"{flag} is HOST:PORT, e.g. 0.0.0.0:8443, not {text}")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  who leaves the host away means all of them


def _path(name: str) -> Path | None:
    value = os.environ.get(f"KHANTUI_{name}")
    return Path(value) if value else None
