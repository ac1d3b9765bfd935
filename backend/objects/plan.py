"""What the stager is told: which artifacts to bring to a pod before its stage runs, and which to publish after it.

It crosses from the daemon to the pod as one environment variable, KHAN_PLAN: JSON, or where that would be too long for
a variable, the same compressed. It has nothing secret in it.
"""

from __future__ import annotations

import base64
import zlib
from typing import Literal

import msgspec
from msgspec import Struct

from backend.errors import InvalidRequest

VARIABLE = "KHAN_PLAN"
LONGEST = 120 << 10  # bytes of a variable: Linux takes 128 KiB, with its name
_PLAIN = 16 << 10  # bytes of JSON that are left readable


class Fetched(Struct, frozen=True):
    """An input: the artifact at `location` is brought to `<root>/in/<place>`."""

    place: str  # a Mount's `place`: "raw", or "many/2025"
    location: str  # in the artifact store
    kind: Literal["file", "folder"]
    sha256: str = ""  # what it must be; empty: whatever it is


class Plan(Struct, frozen=True, omit_defaults=True):
    """All that `fetch` and `publish` do for one attempt."""

    store: str  # the artifact store's URL, e.g. s3://bucket/prefix
    attempt: str  # the attempt's place in it: attempts/<run>/<stage>/<number>
    inputs: tuple[Fetched, ...] = ()
    code: str = ""  # content address of the code bundle, unpacked into <root>/code; empty: there is none
    script: str = ""  # the text that is written to <root>/<script_name>; empty: the stage has an argv
    script_name: str = ""  # e.g. script.py
    outputs: tuple[str, ...] = ()  # names; each is at <root>/out/<name>

    def pack(self) -> str:
        """The variable's value. Raises InvalidRequest for what is too long."""
        text = msgspec.json.encode(self)
        packed = text if len(text) <= _PLAIN else base64.b64encode(zlib.compress(text, 6))
        if len(packed) > LONGEST:
            raise InvalidRequest(
                f"the stage has a script or inputs that take {len(packed):,} bytes to tell; {LONGEST:,} are the most",
                hint="pass the script as code, or read fewer entries in one stage",
            )
        return packed.decode("ascii" if packed is not text else "utf-8")


def read_plan(value: str) -> Plan:
    """The plan in a variable's value. Raises InvalidRequest."""
    try:
        text = value.encode() if value.startswith("{") else zlib.decompress(base64.b64decode(value))
        return msgspec.json.decode(text, type=Plan)
    except (ValueError, zlib.error) as error:
        raise InvalidRequest(f"{VARIABLE} is no plan: {error}") from error
