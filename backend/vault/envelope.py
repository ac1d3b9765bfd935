"""One value, encrypted with AES-256-GCM under a data key of its own, which is wrapped by a key-encryption key."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace

from backend.errors import VaultError
from backend.vault.keyring import Key, Keyring

NONCE = 12  # bytes before each ciphertext: random, since no key encrypts more than once or a few times


class Sealed(Struct, frozen=True):
    """A value that nobody reads without the key `key`."""

    key: str  # names the key-encryption key
    wrapped: bytes  # the data key
    data: bytes


def seal(value: bytes, about: str, key: Key) -> Sealed:
    """Encrypt a value; `about` is what it is, and must be given again to open it."""
    data_key = AESGCM.generate_key(256)
    return Sealed(key.id, _encrypt(key.secret, data_key, f"key {about}"), _encrypt(data_key, value, about))


def unseal(sealed: Sealed, about: str, keyring: Keyring) -> bytes:
    """The value. Raises VaultError."""
    return _decrypt(_data_key(sealed, about, keyring), sealed.data, about)


def reseal(sealed: Sealed, about: str, keyring: Keyring) -> Sealed:
    """The same value with its data key wrapped by the current key-encryption key. Raises VaultError."""
    key = keyring.current()
    data_key = _data_key(sealed, about, keyring)
    return replace(sealed, key=key.id, wrapped=_encrypt(key.secret, data_key, f"key {about}"))


def _data_key(sealed: Sealed, about: str, keyring: Keyring) -> bytes:
    return _decrypt(keyring.find(sealed.key).secret, sealed.wrapped, f"key {about}")


def _encrypt(key: bytes, value: bytes, about: str) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, value, about.encode())


def _decrypt(key: bytes, data: bytes, about: str) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:NONCE], data[NONCE:], about.encode())
    except (InvalidTag, ValueError):
        raise VaultError(
            f"{about.removeprefix('key ')} cannot be decrypted: it was changed in the store, or is of another",
            hint="set the secret again",
        ) from None
