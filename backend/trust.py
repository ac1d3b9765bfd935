"""Whose word is taken for who somebody is: the flags and variables of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from msgspec import Struct

IAP = "https://cloud.google.com/iap"
IAP_KEYS = "https://www.gstatic.com/iap/verify/public_key-jwk"
# signatures with a private key alone: what anybody can make who knows the public one (HS…, none) is not among them
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_PLAIN = ("RS256", "ES256")
_WORDS = ("issuer", "audience", "email", "groups", "algorithms", "prefix", "domains", "keys")


class Issuer(Struct, frozen=True):
    """Whose signed tokens are taken, and what they must be."""

    issuer: str  # as `iss` says it
    audience: str  # that `aud` must name: us
    keys: str = ""  # the URL of its key set; "": it is discovered
    email: str = "email"  # the claim that is the user's name
    groups: str = "groups"  # the claim that lists groups; "": none
    algorithms: tuple[str, ...] = _PLAIN
    prefix: str = ""  # before names and groups of this issuer
    domains: tuple[str, ...] = ()  # of addresses that it may speak for; empty: any


class Trust(Struct, frozen=True):
    """All of them."""

    iap: Issuer | None = None
    issuers: tuple[Issuer, ...] = ()
    ca: Path | None = None  # what the servers of key sets are checked against; None: what the system trusts
    admins: tuple[str, ...] = ()  # subjects that the settings make administrators

    @property
    def any(self) -> bool:
        """Whether anybody's word is taken at all."""
        return self.iap is not None or bool(self.issuers)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of it; each is a variable KHANTUI_… where it is not given."""
    group = parser.add_argument_group("who is believed (docs/access.md)")
    group.add_argument(
        "--iap-audience",
        default=os.environ.get("KHANTUI_IAP_AUDIENCE", ""),
        metavar="AUD",
        help="take the signed header of Google's Identity-Aware Proxy: /projects/NUMBER/global/backendServices/ID",
    )
    group.add_argument(
        "--iap-keys",
        default=os.environ.get("KHANTUI_IAP_KEYS", IAP_KEYS),
        metavar="URL",
        help="where the keys of that proxy are (%(default)s)",
    )
    group.add_argument(
        "--oidc",
        action="append",
        default=os.environ.get("KHANTUI_OIDC", "").split(),
        metavar="issuer=URL,audience=AUD",
        help="take the tokens of an OpenID issuer; also email=CLAIM,groups=CLAIM,algorithms=RS256+ES256,prefix=TEXT,"
        "domains=example.org+example.com,keys=URL; may be given several times",
    )
    ca = os.environ.get("KHANTUI_TRUST_CA")
    group.add_argument(
        "--trust-ca",
        type=Path,
        default=Path(ca) if ca else None,
        metavar="FILE",
        help="the authority that those URLs' certificates are from, where the system does not know it",
    )
    group.add_argument(
        "--admin",
        action="append",
        default=os.environ.get("KHANTUI_ADMINS", "").split(),
        metavar="SUBJECT",
        help="make ann@example.org, group:NAME, … an administrator; may be given several times",
    )


def read(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Trust:
    """What was given. Leaves by `parser.error` where it makes no sense."""
    iap = None
    if given.iap_audience:
        _secure(parser, "--iap-keys", given.iap_keys)
        iap = Issuer(IAP, given.iap_audience, given.iap_keys, groups="", algorithms=("ES256",))
    issuers = tuple(_issuer(parser, text) for text in given.oidc)
    if len({i.issuer for i in issuers}) < len(issuers):
        parser.error("--oidc: the same issuer is there twice")
    return Trust(iap, issuers, given.trust_ca, tuple(given.admin))


def _issuer(parser: argparse.ArgumentParser, text: str) -> Issuer:
    words = dict(part.partition("=")[::2] for part in text.split(",") if part)
    if unknown := sorted(words.keys() - set(_WORDS)):
        parser.error(f"--oidc: there is no {unknown[0]}; there are {', '.join(_WORDS)}")
    if not words.get("issuer") or not words.get("audience"):
        parser.error("--oidc needs an issuer and an audience: issuer=https://accounts.example.org,audience=khantui")
    _secure(parser, "--oidc issuer", words["issuer"])
    if words.get("keys"):
        _secure(parser, "--oidc keys", words["keys"])
    if words.get("prefix", "").startswith("unix:"):
        parser.error("--oidc: names with unix: before them are those of this machine's users")
    algorithms = tuple(words.get("algorithms", "+".join(_PLAIN)).split("+"))
    for name in algorithms:
        if name not in ALGORITHMS:
            parser.error(f"--oidc: the algorithm {name!r} is not taken; {', '.join(ALGORITHMS)} are")
    return Issuer(
        words["issuer"],
        words["audience"],
        words.get("keys", ""),
        words.get("email", "email"),
        words.get("groups", "groups"),
        algorithms,
        words.get("prefix", ""),
        tuple(d.lower() for d in words.get("domains", "").split("+") if d),
    )


def _secure(parser: argparse.ArgumentParser, flag: str, url: str) -> None:
    if not url.startswith("https://"):
        parser.error(f"{flag} must be an https:// address, not {url}: on its way it could be changed")
