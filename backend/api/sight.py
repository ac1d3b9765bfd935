"""Which changes a caller may see: those of pipelines that they may see."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from backend.api.call import Call
from backend.store import keys
from backend.store.base import Change
from backend.store.codec import decode

_MOST = 50_000  # things whose pipeline is remembered


class _Owned(Struct, frozen=True):
    """What matters here of a run, a schedule or a backfill."""

    pipeline: str


class Sight:
    """What one caller sees, as far as they have the roles for it at the time: a stream may be open for days."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._owners: OrderedDict[str, str] = OrderedDict()  # key -> pipeline: of what is deleted it cannot be asked

    async def shows(self, change: Change) -> bool:
        """Whether the caller may see this change."""
        if self._call.sees_all:
            return True
        if not self._call.grants:
            return False
        pipeline = await self._pipeline(change)
        return bool(pipeline) and self._call.sees(pipeline)

    async def _pipeline(self, change: Change) -> str:
        """Whose it is; "" if that cannot be known."""
        kind, _, rest = change.key.partition("/")
        if kind == "pipelines":
            return rest
        if kind in ("stages", "commands"):
            return await self._owner(keys.run(rest.partition("/")[0]))
        if change.value is None:
            return self._owners.pop(change.key, "") or await self._owner(change.key)
        return self._remember(change.key, decode(change.value, _Owned).pipeline)

    async def _owner(self, key: str) -> str:
        if key in self._owners:
            self._owners.move_to_end(key)
            return self._owners[key]
        found = await self._call.services.store.get(key)
        return self._remember(key, decode(found.value, _Owned).pipeline) if found else ""

    def _remember(self, key: str, pipeline: str) -> str:
        self._owners[key] = pipeline
        if len(self._owners) > _MOST:
            self._owners.popitem(last=False)
        return pipeline
