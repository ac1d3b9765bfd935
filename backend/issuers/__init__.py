"""Signed tokens of others: their key sets, and the checks that a token must stand. Nothing else uses their library."""

from backend.issuers.keys import KeySet, Unavailable
from backend.issuers.tokens import Refused, Verifier
from backend.issuers.trusted import Trusted

__all__ = ["KeySet", "Refused", "Trusted", "Unavailable", "Verifier"]
