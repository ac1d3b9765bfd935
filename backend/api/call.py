"""One request: its parts, checked, and its effects, made once however often it is sent."""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from backend.api.identity import Identity
from backend.api.services import Services
from backend.errors import Conflict, InvalidRequest, ValueTooLarge
from backend.run.ids import new_id
from backend.store import keys
from backend.store.base import Condition, Delete, Put
from backend.store.codec import decode, encode
from backend.store.records import AuditRecord, record_audit

T = TypeVar("T")

LARGEST_BODY = 4 << 20
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_INSTANCE = re.compile(r"[a-z][A-Za-z0-9_.-]{0,400}")
_ENCODER = msgspec.json.Encoder()


class Remembered(Struct, frozen=True):
    """What an idempotency key has brought about."""

    status: int
    body: str
    asked: str = ""  # a hash of the request's body


class Answered(Exception):
    """The same request was answered before: this is the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


class Call:
    """A request on its way through a handler."""

    def __init__(self, request: Request, services: Services, who: Identity, operation: str) -> None:
        self.request = request
        self.services = services
        self.who = who
        self.operation = operation
        self._raw = b""

    # what was asked

    def name(self, parameter: str = "name") -> str:
        """A name in the path. Raises InvalidRequest for one that cannot be a name."""
        return self._checked(parameter, _NAME)

    def instance(self, parameter: str = "stage") -> str:
        """A stage instance's name in the path."""
        return self._checked(parameter, _INSTANCE)

    def _checked(self, parameter: str, shape: re.Pattern[str]) -> str:
        value = str(self.request.path_params[parameter])
        if not shape.fullmatch(value):
            raise InvalidRequest(f"{value!r} cannot be a name")
        return value

    def text(self, parameter: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query_params.get(parameter, default)

    def texts(self, parameter: str) -> list[str]:
        """A query parameter that may be given several times."""
        return self.request.query_params.getlist(parameter)

    def number(self, parameter: str, default: int, *, least: int = 0, most: int = 1 << 62) -> int:
        """A whole number among the query parameters. Raises InvalidRequest."""
        text = self.text(parameter)
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            raise InvalidRequest(f"{parameter} must be a whole number, not {text!r}") from None
        if not least <= value <= most:
            raise InvalidRequest(f"{parameter} must be from {least} to {most}, not {value}")
        return value

    def flag(self, parameter: str) -> bool:
        """A yes or no among the query parameters."""
        return self.text(parameter).lower() in ("1", "true", "yes")

    @property
    def limit(self) -> int:
        """How many items a page may have."""
        return self.number("limit", 50, least=1, most=1000)

    async def raw(self, most: int = LARGEST_BODY) -> bytes:
        """The body. Raises ValueTooLarge."""
        if not self._raw:
            found = bytearray()
            async for piece in self.request.stream():
                found += piece
                if len(found) > most:
                    raise ValueTooLarge(f"the request's body is larger than {most >> 20} MiB")
            self._raw = bytes(found)
        return self._raw

    async def body(self, kind: type[T]) -> T:
        """The body as a struct; an empty one is `{}`. Raises what msgspec raises."""
        return msgspec.json.decode(await self.raw() or b"{}", type=kind)

    # what comes of it

    async def seen_before(self) -> None:
        """Raises Answered if this idempotency key was used before. To be called before anything is looked up."""
        key = self._idempotency_key()
        if key and (found := await self.services.store.get(key)):
            before = decode(found.value, Remembered)
            if before.asked != await self._digest():
                raise Conflict(
                    "this Idempotency-Key was sent before with another request", hint="a new request needs a new key"
                )
            response = Response(before.body, before.status, media_type="application/json")
            response.headers["Idempotent-Replay"] = "true"
            raise Answered(response)

    async def commit(
        self,
        conditions: list[Condition],
        changes: list[Put | Delete],
        target: str,
        *,
        answer: Any = None,
        status: int = 200,
        **detail: Any,
    ) -> int | None:
        """Make the changes with an entry in the journal, and remember the answer. None if a condition does not hold."""
        services, now = self.services, self.services.clock.now()
        entry = AuditRecord(now, self.who.name, self.operation, target, self.who.origin, detail)
        changes = [*changes, record_audit(new_id(now), entry)]
        key = self._idempotency_key()
        if key:
            said = encode(answer).decode() if answer is not None else ""
            remembered = Remembered(status, said, await self._digest())
            changes.append(Put(key, encode(remembered), await services.remembering()))
            conditions = [*conditions, Condition(key, modified=0)]
        revision = await services.store.commit(conditions, changes)
        if revision is None and key:
            await self.seen_before()  # the same request may have come twice at once
        return revision

    def conflict(self, what: str) -> Conflict:
        """The error for something that others keep changing."""
        return Conflict(
            f"{what} was changed by somebody else at the same time", hint="look at it again, then try again"
        )

    async def _digest(self) -> str:
        return hashlib.sha256(await self.raw()).hexdigest()[:16]

    def _idempotency_key(self) -> str:
        given = self.request.headers.get("idempotency-key", "")
        if not given or self.request.method == "GET":
            return ""
        if len(given) > 200:
            raise InvalidRequest("the Idempotency-Key is longer than 200 characters")
        text = f"{self.operation}\0{self.request.url.path}\0{given}"
        return keys.request(hashlib.sha256(text.encode()).hexdigest()[:40])


def answer(value: Any, status: int = 200) -> Response:
    """A struct as JSON."""
    return Response(_ENCODER.encode(value), status, media_type="application/json")
