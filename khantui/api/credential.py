"""What opens a daemon: a token from the environment, a file, or a command that gets one, as often as it is needed.

A token is in no log, no error and no list of processes. It is sent over TLS, or to this machine.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from khantui.api.address import Address
from khantui.errors import Denied, Misuse

LONGEST = 60.0  # seconds that a command may take
SOON = 30.0  # seconds before its end that a token is not used any more
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_SECRET = re.compile(r"[A-Za-z0-9+/=_.~-]{20,}")  # in what a command says: it could be one
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class Credential(httpx.Auth):
    """Shows the token that a daemon asks for, and a new one where the one that was shown is not good any more."""

    def __init__(self, address: Address, environment: Mapping[str, str]) -> None:
        named = address.token_file or address.token_command
        self._file = address.token_file or ("" if named else environment.get("KHANTUI_TOKEN_FILE", ""))
        self._token = "" if named else environment.get("KHANTUI_TOKEN", "")
        command = address.token_command or ("" if named else environment.get("KHANTUI_TOKEN_COMMAND", ""))
        self._command = Command(command) if command and not (self._token or self._file) else None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it to a request. Raises Misuse or Denied if it cannot be had."""
        shown = self._current()
        if not shown:
            yield request
            return
        if request.url.scheme != "https" and request.url.host not in _LOOPBACK:
            raise Misuse(
                f"a token for {request.url.host} could be read on its way", "write its address with https:// instead"
            )
        request.headers["Authorization"] = f"Bearer {shown}"
        response = yield request
        if response.status_code != 401:
            return
        again = self._command.run(instead=shown) if self._command is not None else self._current()
        if again and again != shown:  # it has expired, or was exchanged meanwhile
            request.headers["Authorization"] = f"Bearer {again}"
            yield request

    def _current(self) -> str:
        if self._command is not None:
            return self._command.run()
        text = self._token or self._read()
        if text and not _TOKEN.fullmatch(text):
            raise Misuse("the token is of several lines, or has spaces in it", "see KHANTUI_TOKEN, KHANTUI_TOKEN_FILE")
        return text

    def _read(self) -> str:
        if not self._file:
            return ""
        try:
            return Path(self._file).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Misuse(f"the token {self._file} cannot be read: {error}", "see KHANTUI_TOKEN_FILE") from error


class Command:
    """A command that prints a token: as it is, or as the ExecCredential that kubectl's plugins print."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._token = ""
        self._until = 0.0  # seconds since 1970
        self._lock = threading.Lock()  # several requests at once ask for one token

    def run(self, instead: str = "") -> str:
        """The token, by the command if there is none that holds; `instead` of one that was refused."""
        with self._lock:
            if not self._token or time.time() >= self._until or self._token == instead:
                self._token, self._until = _understood(self._output(), self._text)
            return self._token

    def _output(self) -> str:
        try:
            argv = shlex.split(self._text)
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST)
        except (OSError, ValueError, IndexError) as error:
            raise Misuse(f"the command for a token cannot be run: {error}", f"it is: {self._text}") from None
        except subprocess.TimeoutExpired:
            raise Denied(f"the command for a token took more than {LONGEST:.0f} s", f"it is: {self._text}") from None
        if done.returncode:
            said = _SECRET.sub("…", done.stderr.strip().rpartition("\n")[2])[:300]
            raise Denied(
                f"the command for a token ended with {done.returncode}{f': {said}' if said else ''}",
                f"it is: {self._text}",
            )
        return done.stdout.strip()


def _understood(output: str, command: str) -> tuple[str, float]:
    """The token in a command's output, and until when it is used, in seconds since 1970. Raises Denied."""
    token, until = output, float("inf")
    if output.startswith("{"):
        try:
            status = json.loads(output)["status"]
            token = str(status["token"])
            if status.get("expirationTimestamp"):
                until = datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
        except (ValueError, KeyError, TypeError):
            raise Denied("the command for a token printed JSON that is no ExecCredential", command) from None
    if not _TOKEN.fullmatch(token):
        raise Denied("the command for a token printed none", f"it is: {command}")
    return token, min(until, _end(token)) - SOON


def _end(token: str) -> float:
    """When a signed token expires, as it says itself: to get a new one in time, and for nothing else."""
    parts = token.split(".")
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return float("inf")
