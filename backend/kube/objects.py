"""What is read of the cluster's objects: only the fields that somebody uses, decoded straight from the answer's bytes.

A pod is 5 to 10 KiB of JSON, most of it fields that nobody here reads; a struct of those that are read is what stays
in memory. Every field has a default, since the API leaves out what is empty.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct


class Meta(Struct, frozen=True, rename="camel"):
    """An object's metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()


class Object(Struct, frozen=True, rename="camel"):
    """Any object: what they have in common. Kinds that are read derive from it."""

    metadata: Meta = Meta()


class ListMeta(Struct, frozen=True, rename="camel"):
    """A list's metadata: where it stands in the history, and how to ask for its next page."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


T = TypeVar("T", bound=Object)


class Page(Struct, Generic[T], frozen=True, rename="camel"):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] = ()


class WatchEvent(Struct, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class Cause(Struct, frozen=True):
    """One of the things that are wrong with what was sent."""

    field: str = ""
    message: str = ""


class Details(Struct, frozen=True, rename="camel"):
    """What a failure is about."""

    name: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(Struct, frozen=True):
    """How the API says that something failed."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details = Details()
