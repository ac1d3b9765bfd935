"""Signed tokens of a real issuer: those that are good, and all that are not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from backend.access.model import Principal
from backend.issuers import Refused, Trusted, Unavailable, Verifier
from backend.issuers.keys import FRESH, PAUSE, STALE, KeySet
from backend.issuers.tokens import LEEWAY, principal
from backend.trust import IAP, Issuer, Trust
from tests.issuer_fixture import IssuerServer, Key


def of(server: IssuerServer, **changed: Any) -> Verifier:
    """A verifier of the issuer's tokens."""
    issuer = Issuer(**{"issuer": server.url, "audience": "khantui", **changed})
    return Verifier(issuer, server.ca)


def proxy(server: IssuerServer) -> Verifier:
    """A verifier as it is made for the Identity-Aware Proxy."""
    issuer = Issuer(IAP, "/projects/1/global/backendServices/2", f"{server.url}/keys", groups="", algorithms=("ES256",))
    return Verifier(issuer, server.ca)


def asserted(server: IssuerServer, **changed: Any) -> dict[str, Any]:
    """The claims of the proxy's header."""
    return server.claims(**{"iss": IAP, "aud": "/projects/1/global/backendServices/2", **changed})


def part(value: Any) -> str:
    """A part of a token, made by hand."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("key", [0, 1])
async def test_a_good_token_says_who_it_is(issuer: IssuerServer, key: int) -> None:
    who = await of(issuer).verify(issuer.token(key))
    assert who == Principal("ann@example.org", groups=frozenset({"analysts"}))
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


async def test_the_proxys_header_says_who_it_is_and_needs_no_discovery(issuer: IssuerServer) -> None:
    verifier = proxy(issuer)
    who = await verifier.verify(issuer.keys[0].sign(asserted(issuer, groups=["admins"])))
    assert who == Principal("ann@example.org")  # that proxy knows no groups, whatever a claim says
    assert issuer.asked == {"/keys": 1}


async def test_which_claims_are_names_and_groups_can_be_said(issuer: IssuerServer) -> None:
    verifier = of(issuer, email="sub", groups="roles", prefix="ci:")
    assert await verifier.verify(issuer.token(roles="deploy")) == Principal("ci:1234", groups=frozenset({"ci:deploy"}))
    several = issuer.token(aud=["other", "khantui"])
    assert (await of(issuer).verify(several)).name == "ann@example.org"


async def test_clocks_may_differ_a_little(issuer: IssuerServer) -> None:
    now = int(time.time())
    verifier = of(issuer)
    await verifier.verify(issuer.token(exp=now - LEEWAY // 2))
    await verifier.verify(issuer.token(iat=now + LEEWAY // 2))


Make = Callable[[IssuerServer], str]
NOW = int(time.time())
FORGED: dict[str, tuple[Make, str]] = {
    "expired": (lambda i: i.token(exp=NOW - LEEWAY - 5), "has expired"),
    "of the future": (lambda i: i.token(iat=NOW + 3600, exp=NOW + 7200), "of the future"),
    "not yet valid": (lambda i: i.token(nbf=NOW + 3600), "of the future"),
    "without an end": (lambda i: i.token(exp=None), "form is wrong"),
    "without a beginning": (lambda i: i.token(iat=None), "form is wrong"),
    "with an end that is no number": (lambda i: i.token(exp="never"), "form is wrong"),
    "for somebody else": (lambda i: i.token(aud="another"), "for somebody else"),
    "for nobody": (lambda i: i.token(aud=None), "form is wrong"),
    "for a prefix of us": (lambda i: i.token(aud="khan"), "for somebody else"),
    "of another issuer": (lambda i: i.token(iss="https://evil.example"), "of another issuer"),
    "of an issuer with a slash more": (lambda i: i.token(iss=i.url + "/"), "of another issuer"),
    "signed by another key of the same name": (lambda i: Key("k1").sign(i.claims()), "signature or form is wrong"),
    "alg none": (lambda i: jwt.encode(i.claims(), "", "none", {"kid": "k1"}), "in a way that is not taken"),
    "alg None": (lambda i: f"{part({'alg': 'None', 'kid': 'k1'})}.{part(i.claims())}.", "in a way that is not taken"),
    "alg none with a signature": (
        lambda i: f"{part({'alg': 'none', 'kid': 'k1'})}.{part(i.claims())}.{i.token().split('.')[2]}",
        "in a way that is not taken",
    ),
    "no alg": (lambda i: f"{part({'kid': 'k1'})}.{part(i.claims())}.AA", "not taken"),
    "HMAC by the public key, as PEM": (lambda i: hmac(i, i.keys[1].pem), "in a way that is not taken"),
    "HMAC by the public key, as JWK": (
        lambda i: hmac(i, json.dumps(i.keys[1].public).encode()), "in a way that is not taken"
    ),
    "an algorithm of another kind of key": (lambda i: confused(i), "a key that its issuer does not have"),
    "an algorithm that is not allowed": (lambda i: stronger(i), "in a way that is not taken"),
    "a key that is not there": (lambda i: Key("k9").sign(i.claims()), "a key that its issuer does not have"),
    "no key": (lambda i: i.keys[0].sign(i.claims(), kid=None), "by which key"),
    "a key that is a path": (lambda i: i.keys[0].sign(i.claims(), kid="../../../../dev/null"), "does not have"),
    "a key that is an address": (lambda i: i.keys[0].sign(i.claims(), kid="https://evil.example/k"), "does not have"),
    "a key that is a query": (lambda i: i.keys[0].sign(i.claims(), kid="x' UNION SELECT 'k1"), "does not have"),
    "a key that is no text": (lambda i: header(i, kid=["k1"]), "the token is none|by which key"),
    "a key of a thousand letters": (lambda i: i.keys[0].sign(i.claims(), kid="k" * 1000), "by which key"),
    "its own key, in its header": (lambda i: brought(i, "jwk"), "signature or form is wrong"),
    "its own keys, by an address in its header": (lambda i: brought(i, "jku"), "signature or form is wrong"),
    "its own certificate, by an address": (lambda i: brought(i, "x5u"), "signature or form is wrong"),
    "an extension that must be understood": (lambda i: i.keys[0].sign(i.claims(), crit=["x"], x=1), "extensions|none"),
    "other claims under a good signature": (lambda i: spliced(i), "signature or form is wrong"),
    "a signature of zeros": (lambda i: resigned(i, bytes(64)), "signature or form is wrong"),
    "no signature": (lambda i: i.token().rpartition(".")[0] + ".", "signature or form is wrong"),
    "a signature in another form": (lambda i: resigned(i, b"\x30\x06\x02\x01\x01\x02\x01\x01"), "form is wrong"),
    "claims that are a list": (lambda i: listed(i), "form is wrong"),
    "no token": (lambda i: "a.b.c", "the token is none"),
    "nothing": (lambda i: "..", "the token is none"),
    "brackets": (lambda i: f"{part(b'[' * 8000)}.e30.AA", "the token is none"),
    "too long": (lambda i: i.token(groups=["g" * 20_000]), "too long"),
    "an address that nobody has verified": (lambda i: i.token(email_verified=False), "not verified"),
    "no address": (lambda i: i.token(email=None), "has no email"),
    "an address of several lines": (lambda i: i.token(email="a@b\nc"), "has no email"),
    "a user of this machine": (lambda i: i.token(email="unix:root"), "colon"),
    "more groups than there can be": (lambda i: i.token(groups=[str(n) for n in range(501)]), "than 500 groups"),
}  # fmt: skip


def hmac(issuer: IssuerServer, secret: bytes) -> str:
    """What a verifier takes that lets a token say how it is signed: the library would not even make it of a PEM."""
    import hashlib
    import hmac as of_library

    signed = f"{part({'alg': 'HS256', 'kid': 'r1'})}.{part(issuer.claims())}"
    return f"{signed}.{part(of_library.new(secret, signed.encode(), hashlib.sha256).digest())}"


def confused(issuer: IssuerServer) -> str:
    """RS256 by the name of a key that is for ES256."""
    return issuer.keys[1].sign(issuer.claims(), kid="k1")


def stronger(issuer: IssuerServer) -> str:
    """PS256, with a key that is one of the issuer's."""
    return jwt.encode(issuer.claims(), issuer.keys[1].private, "PS256", {"kid": "r1"})


def header(issuer: IssuerServer, **changed: Any) -> str:
    """A good token with another header, that it is signed with."""
    key = issuer.keys[0]
    signed = f"{part({'alg': 'ES256', 'kid': 'k1', **changed})}.{part(issuer.claims())}"
    return f"{signed}.{part(raw_signature(key, signed.encode()))}"


def raw_signature(key: Key, message: bytes) -> bytes:
    algorithm = jwt.get_algorithm_by_name(key.algorithm)
    return bytes(algorithm.sign(message, key.private))


def brought(issuer: IssuerServer, how: str) -> str:
    """Signed by a key that the token brings along."""
    own = Key("k1")
    value: Any = own.public if how == "jwk" else f"{issuer.url}/evil"
    issuer.answers["/evil"] = (200, {}, json.dumps({"keys": [own.public]}).encode())
    return own.sign(issuer.claims(), **{how: value})


def spliced(issuer: IssuerServer) -> str:
    first, _, last = issuer.token().split(".")
    return f"{first}.{part(issuer.claims(email='root@example.org'))}.{last}"


def resigned(issuer: IssuerServer, signature: bytes) -> str:
    return f"{issuer.token().rpartition('.')[0]}.{part(signature)}"


@pytest.mark.attack
@pytest.mark.parametrize("what", FORGED)
async def test_a_token_that_is_not_good_is_refused(issuer: IssuerServer, what: str) -> None:
    verifier = of(issuer)
    await verifier.verify(issuer.token())  # it has the keys
    make, said = FORGED[what]
    token = make(issuer)
    for _ in range(2):  # and is not good when it comes again
        with pytest.raises(Refused, match=said) as refused:
            await verifier.verify(token)
        assert token not in str(refused.value)
    assert "/evil" not in issuer.asked


def listed(issuer: IssuerServer) -> str:
    signed = f"{part({'alg': 'ES256', 'kid': 'k1'})}.{part([])}"
    return f"{signed}.{part(raw_signature(issuer.keys[0], signed.encode()))}"


@pytest.mark.attack
@pytest.mark.parametrize(
    ("claims", "key", "said"),
    [
        ({}, 1, "in a way that is not taken"),  # RS256, by a key that is in the set
        ({"aud": "/projects/1/global/backendServices/3"}, 0, "for somebody else"),  # another service of the project
        ({"iss": "cloud.google.com/iap"}, 0, "of another issuer"),
        ({"iss": "https://accounts.google.com"}, 0, "of another issuer"),
        ({"exp": NOW - LEEWAY - 5}, 0, "has expired"),
        ({"iat": NOW + 600}, 0, "of the future"),
        ({"email": "accounts.google.com:ann@example.org"}, 0, "colon"),
    ],
)
async def test_a_header_that_the_proxy_has_not_made_is_refused(
    issuer: IssuerServer, claims: dict[str, Any], key: int, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        await proxy(issuer).verify(issuer.keys[key].sign(asserted(issuer, **claims)))


@pytest.mark.attack
async def test_a_shared_secret_in_a_key_set_signs_nothing(issuer: IssuerServer) -> None:
    issuer.more = [{"kty": "oct", "kid": "shared", "k": part(b"x" * 32), "alg": "HS256"}]
    token = jwt.encode(issuer.claims(), b"x" * 32, "HS256", {"kid": "shared"})
    with pytest.raises(Refused):
        await of(issuer).verify(token)


@pytest.mark.attack
async def test_an_issuer_speaks_for_its_own_addresses_alone(issuer: IssuerServer) -> None:
    verifier = of(issuer, domains=("example.org",))
    await verifier.verify(issuer.token())
    for email in ("ann@example.com", "ann@example.org.evil.example", "example.org"):
        with pytest.raises(Refused, match="may not speak for such"):
            await verifier.verify(issuer.token(email=email))


@pytest.mark.attack
async def test_what_one_issuer_has_signed_is_not_anothers(issuer: IssuerServer) -> None:
    other = Issuer("https://other.example", "khantui", f"{issuer.url}/keys")
    trusted = Trusted(Trust(issuers=(Issuer(issuer.url, "khantui"), other), ca=issuer.ca))
    assert (await trusted.bearer(issuer.token())).name == "ann@example.org"
    for iss in ("https://third.example", None, ""):
        with pytest.raises(Refused, match="none whose word is taken"):
            await trusted.bearer(issuer.keys[0].sign(issuer.claims(iss=iss)))


async def test_keys_that_are_changed_are_fetched_and_those_that_are_gone_hold_no_more(issuer: IssuerServer) -> None:
    now = 1000.0
    verifier = of(issuer)
    verifier.keys._now = lambda: now
    old = issuer.token()
    await verifier.verify(old)
    issuer.keys = [Key("k2")]
    now += PAUSE
    assert (await verifier.verify(issuer.token())).name == "ann@example.org"
    with pytest.raises(Refused, match="does not have"):  # though it was good a moment ago, and has not expired
        await verifier.verify(old)


@pytest.mark.attack
async def test_strangers_cannot_have_keys_fetched_as_often_as_they_like(issuer: IssuerServer) -> None:
    now = 1000.0
    verifier = of(issuer)
    verifier.keys._now = lambda: now
    for n in range(50):
        with pytest.raises(Refused):
            await verifier.verify(Key("k1").sign(issuer.claims(), kid=f"unknown-{n}"))
    assert issuer.asked["/keys"] == 1
    now += PAUSE
    for n in range(50):
        with pytest.raises(Refused):
            await verifier.verify(Key("k1").sign(issuer.claims(), kid=f"unknown-{n}"))
    assert issuer.asked["/keys"] == 2


async def test_keys_are_kept_for_a_while_and_longer_where_they_cannot_be_fetched(issuer: IssuerServer) -> None:
    now = 1000.0
    keys = KeySet(issuer.url, "", issuer.ca, lambda: now)
    assert await keys.key("k1", "ES256") is not None
    now += FRESH - 1
    assert await keys.key("k1", "ES256") is not None
    assert issuer.asked["/keys"] == 1
    now += 1
    assert await keys.key("k1", "ES256") is not None
    assert issuer.asked["/keys"] == 2
    issuer.answers["/keys"] = (503, {}, b"")
    now += FRESH
    assert await keys.key("k1", "ES256") is not None
    now += STALE
    with pytest.raises(Unavailable):
        await keys.key("k1", "ES256")


@pytest.mark.attack
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://other.example", "jwks_uri": "/keys"}),
        ("/.well-known/openid-configuration", {"jwks_uri": "http://127.0.0.1/keys"}),
        ("/keys", {"keys": "none"}),
        ("/keys", [1]),
        ("/keys", None),
    ],
)
async def test_a_key_set_that_is_none_opens_nothing(issuer: IssuerServer, path: str, answer: Any) -> None:
    if isinstance(answer, dict):
        answer = {"issuer": issuer.url, **answer} if "issuer" not in answer else answer
    moved = (302, {"Location": f"{issuer.url}/evil"}, b"")
    issuer.answers[path] = (200, {}, json.dumps(answer).encode()) if answer is not None else moved
    issuer.answers["/evil"] = (200, {}, json.dumps({"keys": [issuer.keys[0].public]}).encode())
    with pytest.raises(Unavailable):
        await of(issuer).verify(issuer.token())
    assert "/evil" not in issuer.asked


@pytest.mark.attack
async def test_a_server_of_keys_that_is_not_trusted_is_not_believed(issuer: IssuerServer) -> None:
    verifier = Verifier(Issuer(issuer.url, "khantui"))  # the system knows nothing of its authority
    with pytest.raises(Unavailable):
        await verifier.verify(issuer.token())


def test_groups_of_this_machine_come_from_this_machine() -> None:
    claims = {"email": "ann@example.org", "groups": ["unix:root", "analysts", 7, ""]}
    assert principal(Issuer("https://i", "a"), claims).groups == {"analysts"}
