"""Code that travels with a document: files packed into one tar, the same bytes for the same files everywhere."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

LARGEST = 32 << 20  # bytes, unpacked
MOST = 10_000  # files; and folders as well
DEEPEST = 64  # folders and a name, in one path


def pack(files: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """A tar of `files`: path -> (content, executable). Paths are relative, with /."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files):
            content, executable = files[path]
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o555 if executable else 0o444
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def address(bundle: bytes) -> str:
    """What a bundle is known by: the SHA-256 of its bytes, in hexadecimal."""
    return hashlib.sha256(bundle).hexdigest()
