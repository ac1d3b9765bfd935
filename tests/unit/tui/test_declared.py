"""What an account declares, on one line of a form: what is written is what is read, and nonsense says what is meant."""

from __future__ import annotations

import pytest

from backend.accounts.account import SecretUse
from khantui.errors import Misuse
from khantui.state.declared import network_of, network_text, pairs, pairs_text, secrets_of, secrets_text

USES = (SecretUse("a", "A"), SecretUse("b", file="b.json"), SecretUse("c", "C_FILE", "c.json"))


def test_secrets_are_read_as_they_are_written() -> None:
    assert secrets_text(USES) == "a=$A b=b.json c=c.json,$C_FILE"
    assert secrets_of(secrets_text(USES)) == USES
    assert secrets_of("c=$C_FILE,c.json") == (USES[2],)
    assert secrets_of("  ") == ()


@pytest.mark.parametrize("text", ["a", "a=", "=$A", "a=$", "a=$A,$B", "a=x,y"])
def test_what_does_not_say_how_a_secret_is_given_is_refused(text: str) -> None:
    with pytest.raises(Misuse) as raised:
        secrets_of(text)
    assert text in raised.value.message


def test_the_network_is_none_all_or_what_is_listed() -> None:
    assert network_of("") == network_of("none") == "none"
    assert network_of("all") == "all"
    assert network_of("a.example, 10.0.0.0/8:5432") == ("a.example", "10.0.0.0/8:5432")
    for network in ((), ("*",), ("a.example", "[2001:db8::1]:443")):
        assert network_of(network_text(network)) == (network or "none")


def test_annotations_may_have_spaces_and_quotes() -> None:
    found = {"a.org/role": "the loader's", "b": "", "c": "x=y"}
    assert pairs(pairs_text(found), "annotation", "") == found
    for wrong in ("a", "a=b c", "a='b"):
        with pytest.raises(Misuse):
            pairs(wrong, "annotation", "")
