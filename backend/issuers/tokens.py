"""A signed token, checked in every respect: algorithm, key, signature, whom it is from and for, and when."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from msgspec import Struct

from backend.access.model import LONGEST, MOST_GROUPS, Principal, folded, printable
from backend.issuers.keys import KeySet
from backend.trust import Issuer

LEEWAY = 30  # seconds by which clocks may differ
LARGEST = 16 << 10  # bytes of a token
_REMEMBERED = 4096  # tokens that were found good
_AGAIN = 300.0  # seconds after which a token is checked again, though it holds for longer


class Refused(Exception):
    """The token is not good. What is said of it holds nothing of it but claims that are checked."""


class _Good(Struct, frozen=True):
    """A token that was found good."""

    who: Principal
    kid: str
    until: float  # seconds since 1970


class Verifier:
    """Checks the tokens of one issuer. One that was good is good until it expires, by its hash, for some minutes."""

    def __init__(self, issuer: Issuer, ca: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.keys = KeySet(issuer.issuer, issuer.keys, ca)
        self._now = now
        self._good: OrderedDict[bytes, _Good] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """Who shows it. Raises Refused, and Unavailable where it cannot be told."""
        if len(token) > LARGEST:
            raise Refused("the token is too long")
        if (who := self.remembered(token)) is not None:
            return who
        good = await self._check(token)
        self._good[_digest(token)] = good
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return good.who

    def remembered(self, token: str) -> Principal | None:
        """Who shows it, if it was found good a moment ago and its key is still one of the issuer's."""
        digest = _digest(token)
        known = self._good.get(digest)
        if known is None:
            return None
        if self._now() >= known.until or not self.keys.has(known.kid):
            del self._good[digest]
            return None
        self._good.move_to_end(digest)
        return known.who

    async def _check(self, token: str) -> _Good:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("the token is none") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self.issuer.algorithms:  # before any key is looked for
            raise Refused("the token is signed in a way that is not taken")
        if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST:
            raise Refused("the token does not say by which key it is signed")
        if "crit" in header:
            raise Refused("the token asks for extensions that are not known")
        # where a header says that keys are to be found (jku, x5u, jwk) is not looked at: they are those of the issuer
        key = await self.keys.key(kid, algorithm)
        if key is None:
            raise Refused("the token is signed by a key that its issuer does not have")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.issuer.audience,
                issuer=self.issuer.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss"], "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise Refused("the token is for somebody else") from None
        except jwt.InvalidIssuerError:
            raise Refused("the token is of another issuer") from None
        except jwt.ImmatureSignatureError:
            raise Refused("the token is of the future") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Refused("the token's signature or form is wrong") from None
        return _Good(principal(self.issuer, claims), kid, min(float(claims["exp"]), self._now() + _AGAIN))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def principal(issuer: Issuer, claims: dict[str, Any]) -> Principal:
    """Whom the claims of an issuer speak of. Raises Refused."""
    name = claims.get(issuer.email)
    if not isinstance(name, str) or not printable(name):
        raise Refused(f"the token has no {issuer.email}")
    if issuer.email == "email" and claims.get("email_verified") in (False, "false"):
        raise Refused("the token's address is not verified by its issuer")
    domain = name.rpartition("@")[2].lower()
    if issuer.domains and ("@" not in name or domain not in issuer.domains):
        raise Refused("the token's issuer may not speak for such addresses")
    if ":" in name and not issuer.prefix:  # such are users of this machine, unix:…
        raise Refused(f"the token's {issuer.email} has a colon in it")
    return Principal(folded(issuer.prefix + name), groups=_groups(issuer, claims))


def _groups(issuer: Issuer, claims: dict[str, Any]) -> frozenset[str]:
    given = claims.get(issuer.groups, []) if issuer.groups else []
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if len(names) > MOST_GROUPS:
        raise Refused(f"the token names more than {MOST_GROUPS} groups")
    found = (n for n in names if isinstance(n, str) and printable(n) and (issuer.prefix or not n.startswith("unix:")))
    return frozenset(issuer.prefix + n for n in found)
