"""Secrets at rest: each value under a key of its own, and that key under one that lies outside of etcd.

The only place that encrypts. A value is sealed for one name and version, and opens as nothing else.
"""

from backend.vault.envelope import Sealed, reseal, seal, unseal
from backend.vault.keyring import Key, Keyring

__all__ = ["Key", "Keyring", "Sealed", "reseal", "seal", "unseal"]
