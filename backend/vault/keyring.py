"""The keys that wrap secrets' own keys: a file, the newest key first, a line of base64 each. It is never in etcd."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from backend.errors import VaultError

SIZE = 32  # bytes of a key: AES-256


class Key(NamedTuple):
    """A key-encryption key, and the name by which it is known; that tells nothing of it."""

    id: str
    secret: bytes

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """A key by its bytes."""
        return cls(hashlib.sha256(b"khantui key " + secret).hexdigest()[:12], secret)

    def __repr__(self) -> str:
        return f"Key({self.id!r})"


class Keyring:
    """The keys of one file, read again when it changes. `own`: the file is ours to make and to add to."""

    def __init__(self, file: Path, *, own: bool) -> None:
        """Nothing is read, and nothing made, before a key is asked for."""
        self._file = file
        self._own = own
        self._stamp = (0, 0)
        self._keys: tuple[Key, ...] = ()

    def current(self) -> Key:
        """The key that new secrets are wrapped with; the first is made where the file is ours. Raises VaultError."""
        self._refresh()
        if not self._keys:
            if not self._own:
                raise VaultError(f"{self._file} has no key", hint="openssl rand -base64 32 makes one")
            self._add()
        return self._keys[0]

    def find(self, identifier: str) -> Key:
        """The key of that name. Raises VaultError."""
        self._refresh()
        for key in self._keys:
            if key.id == identifier:
                return key
        raise VaultError(
            f"the key {identifier} that wraps a secret is not in {self._file}",
            hint="all daemons of one etcd need the same file: --secrets-key FILE; old keys stay behind the newest",
        )

    def renew(self) -> Key:
        """A new current key; where the file is somebody else's, the one that they have put first. Raises VaultError."""
        self.current()
        if self._own:
            self._add()
        return self._keys[0]

    def drop_old(self) -> None:
        """Forget all but the current key, where the file is ours: nothing is wrapped with them any more."""
        if self._own and len(self._keys) > 1:
            self._write(self._keys[:1])

    def fingerprint(self, data: bytes) -> str:
        """A hash of data that nobody can try guesses against, who has no key. Raises VaultError."""
        return hmac.new(self.current().secret, b"fingerprint " + data, hashlib.sha256).hexdigest()

    def _add(self) -> None:
        self._write((Key.of(secrets.token_bytes(SIZE)), *self._keys))

    def _write(self, keys: tuple[Key, ...]) -> None:
        """The file is there whole, or as it was."""
        text = "".join(base64.b64encode(key.secret).decode() + "\n" for key in keys)
        new = self._file.with_name(f"{self._file.name}.new")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._file)
        except OSError as error:
            raise VaultError(f"the keys of secrets cannot be written to {self._file}: {error.strerror}") from error
        self._keys = keys
        self._stamp = self._look()

    def _look(self) -> tuple[int, int]:
        found = self._file.stat()
        if found.st_mode & (0o077 if self._own else 0o007):
            raise VaultError(
                f"{self._file} can be read by others", hint=f"chmod 600 {self._file}; and rotate the key, if it was"
            )
        return found.st_mtime_ns, found.st_ino

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            keys = tuple(map(_read, self._file.read_bytes().split()))
        except FileNotFoundError:
            if not self._own:
                raise VaultError(f"the keys of secrets, {self._file}, are not there") from None
            self._keys = ()
            return
        except OSError as error:
            raise VaultError(f"{self._file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise VaultError(f"{self._file}: {error}", hint="a line for each key: openssl rand -base64 32") from None
        self._keys, self._stamp = keys, stamp


def _read(line: bytes) -> Key:
    try:
        secret = base64.b64decode(line, validate=True)
    except binascii.Error:
        raise ValueError("a line of it is not base64") from None
    if len(secret) != SIZE:
        raise ValueError(f"a key has {SIZE} bytes, not {len(secret)}")
    return Key.of(secret)
