"""One request: its parts, checked, and its effects, made once however often it is sent."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from backend.access.decide import Grant, decide
from backend.access.model import Role, Target
from backend.api import journal, literals
from backend.api.identity import Identity
from backend.api.refusals import refusal
from backend.api.services import Services
from backend.errors import Conflict, InvalidRequest, KhanError, ReasonRequired, StoreFull, TooSlow, ValueTooLarge
from backend.run.ids import new_id
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.codec import decode, encode
from backend.store.records import AuditRecord, PipelineHead, record_audit

T = TypeVar("T")
log = logging.getLogger(__name__)

LARGEST_BODY = 4 << 20
_ATTEMPTS = 5  # to change what others change at the same time
SLOWEST_BODY = 60.0  # seconds until it must be there
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
        self.found: KeyValue | None = None  # the run that the guard has looked up on the way
        self.fingerprint: Callable[[bytes], str] = _fingerprint  # what is kept of a body with its idempotency key
        self.source = journal.source(request, who)
        self.refused = False  # whether the caller was found not to have the role
        self._raw = b""

    # what was asked

    def name(self, parameter: str = "name") -> str:
        """A name in the path. Raises InvalidRequest for one that cannot be a name."""
        return self._checked(parameter, keys.NAME)

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
        """The body. Raises ValueTooLarge, TooSlow."""
        if not self._raw:
            found = bytearray()
            try:
                async with asyncio.timeout(SLOWEST_BODY):
                    async for piece in self.request.stream():
                        found += piece
                        if len(found) > most:
                            raise ValueTooLarge(f"the request's body is larger than {most >> 20} MiB")
            except TimeoutError:
                raise TooSlow(f"the request's body was not there within {SLOWEST_BODY:g} s") from None
            except ClientDisconnect:
                raise TooSlow("the client has gone away amid the request's body") from None
            self._raw = bytes(found)
        return self._raw

    async def body(self, kind: type[T]) -> T:
        """The body as a struct; an empty one is `{}`. Raises what msgspec raises."""
        try:
            found = msgspec.json.decode(await self.raw() or b"{}", type=kind)
        except (UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"the request's body is no JSON: {error}") from None
        if isinstance(found, Struct):
            literals.checked(found)
        return found

    # what the caller may do

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What the caller has been given, as of now: a stream outlives what it was begun with."""
        return self.services.access.grants(self.who.principal)

    def sees(self, pipeline: str) -> bool:
        """Whether the caller may know of this pipeline and of all that belongs to it."""
        return self.sees_all or decide(self.grants, "viewer", self.services.access.target(pipeline)).allowed

    def sees_labelled(self, pipeline: str, labels: dict[str, str]) -> bool:
        """The same of one whose labels are at hand."""
        return self.sees_all or decide(self.grants, "viewer", Target(pipeline, labels)).allowed

    @property
    def sees_all(self) -> bool:
        """Whether there is no pipeline that the caller may not know of."""
        return decide(self.grants, "viewer", None).allowed

    @property
    def edits_all(self) -> bool:
        """Whether the caller may change every pipeline."""
        return decide(self.grants, "editor", None).allowed

    async def permit(
        self,
        needed: Role,
        pipeline: str,
        missing: KhanError | None = None,
        *,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Whether the caller has a role on a pipeline, which has these labels (or those that it is known to have).

        Raises NotAllowed; or `missing`, or NotFound, where the caller may not even know of the pipeline.
        """
        if decide(self.grants, needed, None).allowed:
            return
        target = Target(pipeline, labels) if labels is not None else await self._target(pipeline)
        error = refusal(self.who, self.grants, self.operation, needed, target)
        if error is not None:
            self.refused = True
            raise missing if missing is not None and error.status == 404 else error

    async def _target(self, pipeline: str) -> Target:
        access = self.services.access
        if not access.knows(pipeline) and (found := await self.services.store.get(keys.pipeline(pipeline))):
            access.note(pipeline, decode(found.value, PipelineHead).labels)  # another daemon has just made it
        return access.target(pipeline)

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
        why: str = "",
        **detail: Any,
    ) -> int | None:
        """Make the changes with an entry in the journal, and remember the answer. None if a condition does not hold.

        `why` is what the body says of it. Raises ReasonRequired.
        """
        services, now = self.services, self.services.clock.now()
        reason = self.explained(why)
        entry = AuditRecord(
            now,
            self.who.name,
            self.operation,
            target,
            self.who.origin,
            detail,
            self.source.proof,
            self.source.client,
            reason[: journal.LONGEST],
            self.source.request,
            changes=await journal.changed(services.store, conditions, changes),
        )
        bare = changes
        changes = [*changes, record_audit(new_id(now), entry)]
        key = self._idempotency_key()
        if key:
            said = encode(answer).decode() if answer is not None else ""
            remembered = Remembered(status, said, await self._digest())
            changes.append(Put(key, encode(remembered), await services.remembering()))
            conditions = [*conditions, Condition(key, modified=0)]
        try:
            revision = await services.store.commit(conditions, changes)
        except StoreFull:
            if not all(isinstance(change, Delete) for change in bare):
                raise
            # what makes room is never refused for want of room for an entry: then it is in the daemon's log alone
            log.warning("not in the journal, which has no room: %s", encode(entry).decode())
            return await services.store.commit([c for c in conditions if c.key != key], bare)
        if revision is None and key:
            await self.seen_before()  # the same request may have come twice at once
        return revision

    async def tried(self, what: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """What the first of some attempts brings: one that brings None has met somebody who changed the same.

        Raises Conflict when others keep doing so.
        """
        for _ in range(_ATTEMPTS):
            if (brought := await attempt()) is not None:
                return brought
        raise self.conflict(what)

    def explained(self, why: str = "") -> str:
        """Why this is done; `why` is what the body says of it. Raises ReasonRequired."""
        reason = self.source.reason or why
        if not reason and self.services.safeguards.needs_reason(self.operation):
            raise ReasonRequired(
                f"{self.operation} must say why", hint="khantui --message 'because …', or the header X-Khantui-Reason"
            )
        return reason

    async def note(self, target: str, **detail: Any) -> None:
        """An entry in the journal for what changes nothing in the store, and yet does something."""
        await self.commit([], [], target, **detail)

    def conflict(self, what: str) -> Conflict:
        """The error for something that others keep changing."""
        return Conflict(
            f"{what} was changed by somebody else at the same time", hint="look at it again, then try again"
        )

    async def _digest(self) -> str:
        return self.fingerprint(await self.raw())[:16]

    def _idempotency_key(self) -> str:
        given = self.request.headers.get("idempotency-key", "")
        if not given or self.request.method == "GET":
            return ""
        if len(given) > 200:
            raise InvalidRequest("the Idempotency-Key is longer than 200 characters")
        text = f"{self.who.principal.subject}\0{self.operation}\0{self.request.url.path}\0{given}"
        return keys.request(hashlib.sha256(text.encode()).hexdigest()[:40])


def _fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def answer(value: Any, status: int = 200) -> Response:
    """A struct as JSON."""
    return Response(_ENCODER.encode(value), status, media_type="application/json")
