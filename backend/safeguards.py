"""What the daemon is held to: how much may be asked of it, what it writes down, what inputs may reach."""

from __future__ import annotations

import argparse
import os
import re
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from msgspec import Struct

_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


class Safeguards(Struct, frozen=True):
    """Settings of it; what is here is what holds where nothing is said."""

    rate: int = 100  # requests a second of one identity, for long; 0: any
    burst: int = 500  # at once
    failures: int = 10  # wrong tokens in a row from one address until it is held up; 0: it never is
    reasons: tuple[str, ...] = ()  # operations that must say why, with * and ?
    audit_days: int = 400  # how long the journal is kept; 0: for ever
    audit_entries: int = 100_000  # how much of it; 0: all
    files: tuple[Path, ...] | None = (
        None  # folders that file:// may be below; None: any, where only this machine is served
    )
    inputs: tuple[str, ...] = ()  # hosts and networks, otherwise out of reach, that http:// inputs may be on

    def needs_reason(self, operation: str) -> bool:
        """Whether whoever does this must say why."""
        return any(fnmatchcase(operation, pattern) for pattern in self.reasons)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of it; each is a variable KHANTUI_… where it is not given."""
    group = parser.add_argument_group("safeguards")
    group.add_argument(
        "--rate",
        default=os.environ.get("KHANTUI_RATE", "100:500"),
        metavar="N[:BURST]",
        help="requests a second of one caller, and how many at once; the daemon's own user is not held to it, 0: nobody"
        " is (%(default)s)",
    )
    group.add_argument(
        "--login-failures",
        type=int,
        default=_number("LOGIN_FAILURES", 10),
        metavar="N",
        help="wrong tokens from one address, or of one user here, until it has to wait, twice as long each time; 0: it"
        " never has to (%(default)s)",
    )
    group.add_argument(
        "--require-reason",
        action="append",
        default=os.environ.get("KHANTUI_REQUIRE_REASON", "").split(),
        metavar="OPERATION",
        help="an operation that must say why, with * and ?: delete_pipeline, '*_role'",
    )
    group.add_argument(
        "--audit-days",
        type=int,
        default=_number("AUDIT_DAYS", 400),
        metavar="N",
        help="how long the journal is kept; 0: for ever (%(default)s)",
    )
    group.add_argument(
        "--audit-entries",
        type=int,
        default=_number("AUDIT_ENTRIES", 100_000),
        metavar="N",
        help="how many of its entries are kept; 0: all (%(default)s)",
    )
    group.add_argument(
        "--files",
        action="append",
        type=Path,
        default=[Path(each) for each in os.environ.get("KHANTUI_FILES", "").split(":") if each],
        metavar="DIR",
        help="a folder that file:// may be below (with --listen none, else any but the daemon's own)",
    )
    group.add_argument(
        "--allow-inputs",
        action="append",
        default=os.environ.get("KHANTUI_ALLOW_INPUTS", "").split(),
        metavar="HOST|NETWORK",
        help="a host or network inside that http:// inputs may be on: files.example, *.corp.example, 10.1.0.0/16",
    )


def read(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Safeguards:
    """What was given. Leaves by `parser.error` where it cannot be."""
    rate, _, burst = given.rate.partition(":")
    if not rate.isdigit() or (burst and not (burst.isdigit() and int(burst))):
        parser.error(f"--rate is N or N:BURST, e.g. 100:500, not {given.rate}")
    if given.login_failures < 0:
        parser.error("--login-failures is 0 or more")
    if given.audit_days < 0 or given.audit_entries < 0:
        parser.error("--audit-days and --audit-entries are 0 or more")
    for place in given.allow_inputs:
        if network(place) is None and not _HOST.fullmatch(place.lower()):
            parser.error(f"--allow-inputs is a host or a network, e.g. files.example or 10.1.0.0/16, not {place}")
    return Safeguards(
        int(rate),
        int(burst) if burst else 5 * int(rate),
        given.login_failures,
        tuple(given.require_reason),
        given.audit_days,
        given.audit_entries,
        tuple(path.expanduser().absolute() for path in given.files) or (() if given.listen else None),
        tuple(place.lower() for place in given.allow_inputs),
    )


def network(text: str) -> IPv4Network | IPv6Network | None:
    """The network that is meant; an address is a network of one. None for a host's name."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _number(name: str, usual: int) -> int:
    given = os.environ.get(f"KHANTUI_{name}", "")
    return int(given) if given.isdigit() else usual
