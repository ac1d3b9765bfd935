"""The company's proxy before this machine: how it is named, and which hosts are reached without it."""

from __future__ import annotations

import pytest

from backend.egress.parent import parent_of


def test_it_is_named_by_the_variables_that_programs_know() -> None:
    assert parent_of({}) is None
    assert parent_of({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}) is None
    plain = parent_of({"HTTPS_PROXY": "http://proxy.corp:3128"})
    assert plain is not None
    assert (plain.host, plain.port, plain.tls, plain.authorization) == ("proxy.corp", 3128, False, "")
    small = parent_of({"HTTPS_PROXY": "http://one:1", "https_proxy": "https://ann:s%40crt@two"})
    assert small is not None
    assert (small.host, small.port, small.tls, small.authorization) == ("two", 443, True, "Basic YW5uOnNAY3J0")
    bare = parent_of({"https_proxy": "proxy.corp:8080"})
    assert bare is not None
    assert (bare.host, bare.port) == ("proxy.corp", 8080)
    with pytest.raises(ValueError, match="HTTPS_PROXY is no") as raised:
        parent_of({"https_proxy": "socks5://ann:secret@p"})
    assert "secret" not in str(raised.value)


def test_it_is_asked_for_a_connection() -> None:
    parent = parent_of({"https_proxy": "http://u:p@h:1"})
    assert parent is not None
    assert parent.request("a.example", 443) == (
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    )
    assert parent.request("2001:db8::1", 443).startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("spared", "host", "port", "addresses", "without"),
    [
        ("", "api.example.org", 443, ["8.8.8.8"], False),
        ("*", "api.example.org", 443, [], True),
        ("example.org", "example.org", 443, [], True),
        ("example.org", "api.example.org", 443, [], True),
        (".example.org", "api.example.org", 443, [], True),
        ("*.example.org", "api.example.org", 443, [], True),
        ("example.org", "notexample.org", 443, [], False),
        ("a.example, EXAMPLE.ORG ", "api.example.org", 443, [], True),
        ("example.org:8443", "example.org", 8443, [], True),
        ("example.org:8443", "example.org", 443, [], False),
        ("10.0.0.0/8", "db.corp", 5432, ["10.1.2.3"], True),
        ("10.0.0.0/8", "db.corp", 5432, ["11.1.2.3"], False),
        ("192.0.2.7", "192.0.2.7", 443, [], True),
        ("192.0.2.7:80", "192.0.2.7", 443, [], False),
        ("2001:db8::/32", "2001:db8::1", 443, [], True),
        ("::1", "192.0.2.7", 443, [], False),
        ("", "localhost", 5432, ["127.0.0.1"], True),  # it would be the proxy's own machine
        ("", "127.0.0.1", 5432, [], True),
        (",,", "example.org", 443, [], False),
    ],
)
def test_no_proxy_says_what_is_reached_without_it(
    spared: str, host: str, port: int, addresses: list[str], without: bool
) -> None:
    parent = parent_of({"https_proxy": "http://p:1", "no_proxy": spared})
    assert parent is not None
    assert parent.spares(host, port, addresses) is without
