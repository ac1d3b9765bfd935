"""Secrets at rest: what opens them, and what does not."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.errors import VaultError
from backend.vault import Key, Keyring, reseal, seal, unseal

VALUE = b"correct horse battery staple"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "secrets.key", own=True)


def line() -> str:
    return base64.b64encode(os.urandom(32)).decode() + "\n"


def test_a_value_opens_as_what_it_was_sealed_for_and_as_nothing_else(keyring: Keyring) -> None:
    sealed = seal(VALUE, "the secret a", keyring.current())
    assert VALUE not in sealed.data + sealed.wrapped
    assert unseal(sealed, "the secret a", keyring) == VALUE
    with pytest.raises(VaultError, match="the secret b cannot be decrypted"):
        unseal(sealed, "the secret b", keyring)
    other = seal(b"something else", "the secret a", keyring.current())
    turned = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    changes = ({"data": other.data}, {"wrapped": other.wrapped}, {"data": turned}, {"data": b""})
    for forged in (replace(sealed, **change) for change in changes):
        with pytest.raises(VaultError):
            unseal(forged, "the secret a", keyring)


def test_no_two_are_alike(keyring: Keyring) -> None:
    one, two = (seal(VALUE, "the secret a", keyring.current()) for _ in range(2))
    assert one.data != two.data
    assert one.wrapped != two.wrapped


def test_a_new_key_wraps_what_is_there_and_the_old_one_goes(keyring: Keyring, tmp_path: Path) -> None:
    sealed, first = seal(VALUE, "a", keyring.current()), keyring.current()
    assert keyring.renew() != first
    fresh = reseal(sealed, "a", keyring)
    assert (fresh.data, fresh.key) == (sealed.data, keyring.current().id)
    keyring.drop_old()
    assert unseal(fresh, "a", keyring) == VALUE
    with pytest.raises(VaultError, match=f"the key {first.id} that wraps a secret is not in"):
        unseal(sealed, "a", keyring)
    again = Keyring(tmp_path / "secrets.key", own=True)
    assert unseal(fresh, "a", again) == VALUE


def test_the_own_file_is_private_and_holds_no_more_than_keys(keyring: Keyring, tmp_path: Path) -> None:
    file = tmp_path / "secrets.key"
    assert not file.exists()
    key = keyring.current()
    assert file.stat().st_mode & 0o777 == 0o600
    assert base64.b64decode(file.read_text()) == key.secret
    assert repr(key) == f"Key({key.id!r})"
    file.chmod(0o640)
    with pytest.raises(VaultError, match="can be read by others"):
        keyring.current()


def test_a_file_that_was_named_is_read_again_and_never_written(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keyring = Keyring(file, own=False)
    with pytest.raises(VaultError, match="are not there"):
        keyring.current()
    old, new = line(), line()
    file.write_text(old)
    file.chmod(0o600)
    sealed = seal(VALUE, "a", keyring.current())
    second = tmp_path / "second"
    second.write_text(new + old)
    second.chmod(0o600)
    second.replace(file)
    assert keyring.renew() == Key.of(base64.b64decode(new))
    assert unseal(reseal(sealed, "a", keyring), "a", keyring) == unseal(sealed, "a", keyring) == VALUE
    keyring.drop_old()
    assert file.read_text() == new + old


@pytest.mark.parametrize("text", ["", "not base64!\n", base64.b64encode(b"short").decode()])
def test_a_file_that_is_none_is_told_of_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(VaultError) as raised:
        Keyring(file, own=False).current()
    assert not text or text.strip() not in f"{raised.value.message} {raised.value.hint}"


def test_a_fingerprint_is_another_for_each_key(tmp_path: Path) -> None:
    one, two = (Keyring(tmp_path / name, own=True) for name in "ab")
    assert one.fingerprint(b"x") == one.fingerprint(b"x") != two.fingerprint(b"x")
