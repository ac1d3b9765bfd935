"""Services that tell people: the only place that knows the library for them, which is loaded when it is first used."""

from backend.channels.services import Sent, fingerprint, send, shown

__all__ = ["Sent", "fingerprint", "send", "shown"]
