"""Where a stage may connect to."""

from __future__ import annotations

import pytest

from backend.accounts.destination import Destinations, literal, parse, public
from backend.egress.places import PORT, Plan, hosts_file, plan


@pytest.mark.parametrize(
    ("pattern", "host", "port", "meant"),
    [
        ("api.example.org", "api.example.org", 443, True),
        ("api.example.org", "API.Example.org.", 80, True),
        ("api.example.org", "api.example.org", 22, False),
        ("api.example.org:*", "api.example.org", 22, True),
        ("api.example.org:5432", "api.example.org", 443, False),
        ("api.example.org", "api.example.org.evil.test", 443, False),
        ("api.example.org", "xapi.example.org", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "evilexample.org", 443, False),
        ("*", "anything.test", 12345, True),
        ("*:443", "anything.test", 444, False),
        ("10.1.0.0/16:5432", "10.1.2.3", 5432, True),
        ("10.1.0.0/16:5432", "10.2.2.3", 5432, False),
        ("10.1.0.0/16:5432", "db.internal", 5432, False),
        ("[2001:db8::1]:443", "2001:db8::1", 443, True),
        ("2001:db8::/32", "2001:db8::7", 443, True),
        ("bücher.example", "xn--bcher-kva.example", 443, True),
    ],
)  # fmt: skip
def test_what_a_pattern_means(pattern: str, host: str, port: int, meant: bool) -> None:
    assert Destinations([pattern]).names(host, port) is meant


@pytest.mark.parametrize(
    "text",
    ["", ":443", "a b", "http://x", "x:0", "x:65536", "x:ssh", "*.*.org", "a.*.org", "-x.org", "1.2.3", "10.0.0.0/33",
     "127.0.0.1", "127.0.0.0/8", "127.0.0.1:*", "0.0.0.0/0", "::/0", "[::1]", "[::1]x", "x/y", "user@host", "٣:٣"],
)  # fmt: skip
def test_what_cannot_be_meant(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "100.64.0.1",
     "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "fd12::1", "fec0::1",
     "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b:1::1",
     "::7f00:1", "2001:db8::1", "fe80::1%eth0"],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    found = literal(address)
    assert found is not None
    assert not public(found)
    assert not Destinations(["*", "example.org:*"]).reaches(address, 443)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet(address: str) -> None:
    assert Destinations(["*"]).reaches(address, 443)


def test_a_private_address_is_reached_where_it_is_declared_itself() -> None:
    declared = Destinations(["db.internal:5432", "10.1.0.0/16:5432"])
    assert declared.names("db.internal", 5432)
    assert declared.reaches("10.1.2.3", 5432)
    assert not declared.reaches("10.1.2.3", 443)
    assert not declared.reaches("10.2.2.3", 5432)


def test_where_a_stage_finds_what_is_declared() -> None:
    made = plan(
        "a", ["db.example.org:5432", "db.example.org:5433", "web.example.org", "*.x.org:9000", "127.0.0.1:5432"]
    )
    assert [str(p) for p in made.places] == [
        f"127.0.0.1:{PORT}", "127.0.0.1:5432", "127.64.0.1:5432", "127.64.0.1:5433",
    ]  # fmt: skip
    assert Plan.unpack(made.pack()) == made
    assert hosts_file(made) == "127.0.0.1 localhost\n127.64.0.1 db.example.org\n"
