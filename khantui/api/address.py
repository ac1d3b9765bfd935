"""Where the daemon is: an address, or a data folder with its socket in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from khantui.errors import Misuse

if TYPE_CHECKING:
    from khantui.api.contexts import Context

SOCKET = "api.sock"
LONGEST_SOCKET = 107  # bytes of a unix socket's path that Linux takes


class Address(NamedTuple):
    """A unix socket's path, or the base URL of a daemon that listens on a port."""

    socket: Path | None
    base: str
    token_file: str = ""  # what opens it; "": what the environment says
    token_command: str = ""  # or what prints it
    ca: str = ""  # whose certificate it must have; "": what the environment says, else the system's authorities

    def environment(self) -> dict[str, str]:
        """What opens it, as variables for another program that is told the address."""
        given = {
            "KHANTUI_TOKEN_FILE": self.token_file,
            "KHANTUI_TOKEN_COMMAND": self.token_command,
            "KHANTUI_CA": self.ca,
        }
        return {name: value for name, value in given.items() if value}

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.socket else self.base


def parse(text: str) -> Address:
    """What `unix:///path` or `http://host:port` means. Raises Misuse."""
    parts = urlsplit(text)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return of_socket(Path(parts.path))
    if parts.scheme in ("http", "https") and parts.netloc:
        return Address(None, text.rstrip("/"))
    raise Misuse(f"{text!r} is no address", "write unix:///path/to/api.sock or http://127.0.0.1:PORT")


def of_socket(path: Path) -> Address:
    """The address of that socket. Raises Misuse if the path is longer than the system takes."""
    if len(bytes(path)) > LONGEST_SOCKET:
        raise Misuse(f"the socket's path is longer than {LONGEST_SOCKET} bytes: {path}", "use a shorter data folder")
    return Address(path, "http://khantui")


def of_context(context: Context) -> Address:
    """The address of a context, with what opens it. Raises Misuse."""
    return parse(context.address)._replace(
        token_file=context.token_file, token_command=context.token_command, ca=context.ca
    )


def default_data() -> Path:
    """The platform's folder for what an application keeps of a user."""
    from platformdirs import user_data_path

    return user_data_path("khantui")


def data_folder(given: str | None, environment: Mapping[str, str]) -> Path:
    """The data folder: as given, else KHANTUI_DATA, else the platform's."""
    named = given or environment.get("KHANTUI_DATA")
    return Path(named).expanduser().absolute() if named else default_data()


def resolve(address: str | None, data: str | None, environment: Mapping[str, str]) -> Address:
    """Where the daemon is: as given, else as the environment says, else the current context's. Raises Failure."""
    if address:
        return parse(address)
    if not data and (named := environment.get("KHANTUI_ADDRESS")):
        return parse(named)
    if not data and not environment.get("KHANTUI_DATA"):
        from khantui.api.contexts import load

        known = load()
        if known.current:
            return of_context(known.get(known.current))
    return of_socket(data_folder(data, environment) / SOCKET)
