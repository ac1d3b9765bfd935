"""All whose word is taken, and which of them a token is from."""

from __future__ import annotations

import jwt

from backend.access.model import Principal
from backend.issuers.tokens import LARGEST, Refused, Verifier
from backend.trust import Trust


class Trusted:
    """The verifiers of the proxy and of the issuers that the settings name."""

    def __init__(self, trust: Trust) -> None:
        self.iap = Verifier(trust.iap, trust.ca) if trust.iap is not None else None
        self._issuers = {issuer.issuer: Verifier(issuer, trust.ca) for issuer in trust.issuers}

    @property
    def issuers(self) -> bool:
        """Whether there are issuers beside the proxy."""
        return bool(self._issuers)

    def speaks(self, token: str) -> bool:
        """Whether a bearer's token could be one of an issuer."""
        return bool(self._issuers) and token.count(".") == 2

    async def bearer(self, token: str) -> Principal:
        """Who shows an issuer's token. Raises Refused, and Unavailable where it cannot be told."""
        for verifier in self._issuers.values():
            if (who := verifier.remembered(token)) is not None:
                return who
        verifier = self._issuers.get(_issuer(token))  # type: ignore[assignment]
        if verifier is None:
            raise Refused("the token's issuer is none whose word is taken")
        return await verifier.verify(token)


def _issuer(token: str) -> str:
    """Whom a token says that it is from: enough to know who is to check it, and nothing more."""
    if len(token) > LARGEST:
        raise Refused("the token is too long")
    try:
        payload = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Refused("the token is none") from None
    issuer = payload.get("iss")
    return issuer if isinstance(issuer, str) else ""
