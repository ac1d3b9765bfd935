"""Who asks, what roles there are, and what gives somebody a role."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, get_args

from msgspec import Struct

from backend.errors import InvalidRequest

Role = Literal["anyone", "viewer", "operator", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may; "anyone" is whoever is known
Given = Literal["viewer", "operator", "editor", "admin"]  # roles that can be given
EVERYONE = "everyone"
KINDS = ("user", "group", "token")  # of subjects, before a colon
LONGEST = 256  # characters of a name
MOST_GROUPS = 500
_PATTERN = re.compile(r"[a-z0-9_*?-]{1,100}")
_KEY = re.compile(r"[^\x00-\x1f\x7f=]{1,63}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,253}")


class Principal(Struct, frozen=True):
    """Somebody who has proved who they are: by the socket, a proxy, an issuer's token, or one of ours.

    `name` is an e-mail address, `unix:LOGIN`, or a token's name. An owner runs this daemon, or holds the token of its
    --token-file: an owner may do everything.
    """

    name: str
    kind: Literal["user", "token"] = "user"
    groups: frozenset[str] = frozenset()
    owner: bool = False

    @property
    def subject(self) -> str:
        """As bindings name them."""
        return f"{self.kind}:{self.name}"


class Target(Struct, frozen=True):
    """What something is done to: a pipeline, with its labels. Runs, schedules and backfills are their pipeline's."""

    pipeline: str
    labels: dict[str, str] = {}


class Binding(Struct, frozen=True, omit_defaults=True):
    """A role for a subject: for all pipelines, or for those whose name and labels are such (both, where both are said).

    A subject is `user:ann@example.org`, `user:unix:ann`, `group:analysts`, `token:ci` or `everyone`.
    """

    subject: str
    role: Given
    pipelines: str = ""  # a name with * and ?; "": any name
    labels: dict[str, str] = {}  # each must be there
    created: datetime | None = None
    created_by: str = ""

    @property
    def id(self) -> str:
        """The same for the same subject, role and pipelines: to bind twice changes nothing."""
        labels = ",".join(f"{k}={v}" for k, v in sorted(self.labels.items()))
        text = "\0".join((self.subject, self.role, self.pipelines, labels))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def everywhere(self) -> bool:
        """Whether it is for all pipelines, and so for what is no pipeline's as well."""
        return not self.pipelines and not self.labels

    def covers(self, target: Target) -> bool:
        """Whether it is for this pipeline."""
        named = not self.pipelines or fnmatchcase(target.pipeline, self.pipelines)
        return named and all(target.labels.get(k) == v for k, v in self.labels.items())

    def where(self) -> str:
        """For which pipelines, in words."""
        parts = [self.pipelines] if self.pipelines else []
        parts += [f"{k}={v}" for k, v in sorted(self.labels.items())]
        return f"pipelines {' with '.join(parts)}" if parts else "all pipelines"


class ApiToken(Struct, frozen=True, omit_defaults=True):
    """A token for a machine. Of its text only a hash is kept; its name is that of who shows it."""

    name: str
    hash: str  # SHA-256, hexadecimal
    role: Given
    pipelines: str = ""
    labels: dict[str, str] = {}
    expires: datetime | None = None
    created: datetime | None = None
    created_by: str = ""

    @property
    def binding(self) -> Binding:
        """What it may do by itself."""
        return Binding(f"token:{self.name}", self.role, self.pipelines, self.labels, self.created, self.created_by)

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


class Session(Struct, frozen=True, omit_defaults=True):
    """Somebody whom a proxy or an issuer has named, for some hours: what a page in a browser shows in their name."""

    user: str
    groups: tuple[str, ...] = ()
    expires: datetime | None = None

    @property
    def principal(self) -> Principal:
        """Who shows it."""
        return Principal(self.user, groups=frozenset(self.groups))


def checked_subject(text: str) -> str:
    """A subject as it is kept; a bare address means a user. Raises InvalidRequest."""
    text = text.strip()
    if text == EVERYONE:
        return text
    kind, _, name = text.partition(":")
    if kind not in KINDS and "@" in text:
        kind, name = "user", text
    if kind not in KINDS or not printable(name):
        raise InvalidRequest(
            f"{text!r} is nobody that a role can be given to",
            hint="ann@example.org, user:unix:ann, group:analysts, token:ci or everyone",
        )
    return f"{kind}:{folded(name) if kind == 'user' else name}"


def printable(name: str) -> bool:
    """Whether it can be somebody's name."""
    return 0 < len(name) <= LONGEST and name.isprintable() and name == name.strip()


def folded(name: str) -> str:
    """An address as it is compared: in whatever case it is written, it is the same person's."""
    return name.lower() if "@" in name else name


def checked_pattern(text: str) -> str:
    """Raises InvalidRequest for what can be no pipeline's name."""
    if text and not _PATTERN.fullmatch(text):
        raise InvalidRequest(
            f"{text!r} fits no pipeline's name", hint="letters, digits, - and _, with * and ?: sales-*"
        )
    return "" if text == "*" else text


def checked_labels(labels: dict[str, str]) -> dict[str, str]:
    """Raises InvalidRequest for what can be no label."""
    for key, value in labels.items():
        if not (_KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise InvalidRequest(f"{key!r}={value!r} is no label", hint="team=analytics")
    return dict(sorted(labels.items()))
