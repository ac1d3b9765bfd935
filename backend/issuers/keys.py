"""The public keys of an issuer: fetched over https, kept for a while, and fetched again when it has changed them."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

log = logging.getLogger(__name__)

FRESH = 3600.0  # seconds after which a key set is fetched again
STALE = 6 * 3600.0  # seconds after which one that could not be fetched again is not used any more
PAUSE = 30.0  # seconds between two fetches, whatever is asked for: strangers can name keys that there are not
TIMEOUT = 10.0  # seconds that a fetch may take in all, also of an issuer that answers drop by drop
_MOST = 1 << 20  # bytes of an answer
_MOST_KEYS = 100
_DISCOVERY = "/.well-known/openid-configuration"
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}  # beginning of an algorithm -> its keys' type


class Unavailable(Exception):
    """There are no keys that could be used: a token can be neither trusted nor refused."""


class KeySet:
    """The keys of one issuer."""

    def __init__(
        self, issuer: str, url: str, ca: Path | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`url` is where they are; "": where the issuer's discovery document says. `now` is in seconds."""
        self._issuer = issuer
        self._url = url
        self._ca = ca
        self._now = now
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()
        self._context: ssl.SSLContext | None = None
        self.fetches = 0  # for tests, and whoever wonders

    async def key(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """The key of that name, for that algorithm; None if there is none. Raises Unavailable."""
        await self._see_to(kid)
        found = self._keys.get(kid)
        if found is None or found.get("kty") != _KINDS.get(algorithm[:2]):
            return None
        if found.get("alg", algorithm) != algorithm or found.get("use", "sig") != "sig":
            return None
        try:
            return jwt.PyJWK.from_dict(found, algorithm)
        except jwt.PyJWTError:
            return None

    def has(self, kid: str) -> bool:
        """Whether a key that was found before is still among them."""
        return kid in self._keys

    async def _see_to(self, kid: str) -> None:
        if self._now() - self._fetched < FRESH and kid in self._keys:
            return
        async with self._lock:  # who waits here finds what the one before has fetched
            age = self._now() - self._fetched
            wanted = age >= FRESH or kid not in self._keys
            if wanted and self._now() - self._tried >= PAUSE:
                self._tried = self._now()
                try:
                    async with asyncio.timeout(TIMEOUT):
                        self._keys = await self._fetch()
                    self._fetched = self._now()
                except (httpx.HTTPError, OSError, ValueError) as error:
                    why = str(error) or "it does not answer"
                    log.warning("the keys of %s cannot be fetched: %s", self._issuer, why)
            if self._now() - self._fetched >= STALE:
                self._keys = {}
                raise Unavailable(f"the keys of {self._issuer} cannot be fetched at the moment")

    async def _fetch(self) -> dict[str, dict[str, Any]]:
        """The keys as they are now. Raises ValueError for what is no key set, and what httpx raises."""
        self.fetches += 1
        self._context = self._context or ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        async with httpx.AsyncClient(verify=self._context, timeout=TIMEOUT / 2, follow_redirects=False) as client:
            url = self._url or await self._discovered(client)
            found = (await _json(client, url)).get("keys")
        if not isinstance(found, list) or len(found) > _MOST_KEYS:
            raise ValueError(f"{url} has no key set")
        # keys that are shared secrets ("oct") are nobody's signature
        usable = [k for k in found if isinstance(k, dict) and isinstance(k.get("kid"), str) and k.get("kty") != "oct"]
        return {k["kid"]: k for k in usable}

    async def _discovered(self, client: httpx.AsyncClient) -> str:
        document = await _json(client, self._issuer.rstrip("/") + _DISCOVERY)
        if document.get("issuer") != self._issuer:
            raise ValueError(f"the discovery document is of {document.get('issuer')!r}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith("https://"):
            raise ValueError("the discovery document names no https:// address of keys")
        return url


async def _json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise ValueError(f"{url} answered {response.status_code}")
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MOST:
                raise ValueError(f"the answer of {url} is too long")
    found = msgspec.json.decode(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} answered no object")
    return found
