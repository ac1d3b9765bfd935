"""A client of the Kubernetes API: every call has a time-out, is counted, and fails with an error that says why.

The transport (TLS, tokens and their renewal, exec plugins, proxies) is the official client's `kubernetes.aio`; its
generated models are not used. They take milliseconds to build and check for each object, where a struct with the few
fields that are read is decoded in microseconds (see `objects`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec
from kubernetes.aio import client

from backend.errors import ClusterError, ClusterForbidden
from backend.kube.errors import from_failure, from_status
from backend.kube.objects import Object, Page
from backend.kube.resources import Resource

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

TIMEOUT = 30.0  # seconds that an ordinary call may take
CONNECT = 5.0  # seconds until there is a connection
PAGE = 500  # objects in one page of a list
AT_ONCE = 32  # ordinary calls under way at one time; more would only wait in the API server's queue
Params = Mapping[str, str | int]


class Requests:
    """How many requests were sent, by verb and kind: ("create", "jobs") -> 3."""

    def __init__(self) -> None:
        self.sent: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[str] = Counter()  # by the error's code

    @property
    def total(self) -> int:
        """All of them."""
        return self.sent.total()


class Kube:
    """A cluster, in one namespace. Make it with `connect`; close it."""

    def __init__(
        self,
        configuration: client.Configuration,
        namespace: str,
        again: Callable[[], Awaitable[client.Configuration]] | None = None,
    ) -> None:
        """`again` reads the configuration anew, for credentials that have run out."""
        self.namespace = namespace
        self.server: str = configuration.host
        self.requests = Requests()
        self._api = client.ApiClient(configuration)
        self._api.user_agent = "khantui"
        self._again = again
        self._renewing = asyncio.Lock()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Let go of all connections, without TLS' goodbyes: those would have to be waited for."""
        connector = self._api.rest_client.pool_manager.connector
        if connector is not None:
            await connector.close(abort_ssl=True)
        await self._api.close()
        await asyncio.sleep(0)  # what was broken off is closed in the loop's next turn

    # one object

    async def get(self, resource: Resource, name: str, kind: type[T]) -> T:
        """One object. Raises ObjectMissing."""
        return msgspec.json.decode(await self._call("GET", "get", resource, name), type=kind)

    async def create(self, resource: Resource, manifest: Mapping[str, Any], kind: type[T], *, dry: bool = False) -> T:
        """Make an object; `dry`: only see whether it would be made. Raises ObjectExists, ClusterRefused (with why)."""
        name, params = str(manifest["metadata"].get("name", "")), {"dryRun": "All"} if dry else None
        answer = await self._call("POST", "create", resource, "", name, params=params, body=manifest)
        return msgspec.json.decode(answer, type=kind)

    async def patch(self, resource: Resource, name: str, change: Mapping[str, Any], kind: type[T]) -> T:
        """Change some fields of an object (a JSON merge patch). Raises ObjectMissing, ClusterConflict."""
        answer = await self._call("PATCH", "patch", resource, name, body=change)
        return msgspec.json.decode(answer, type=kind)

    async def replace(self, resource: Resource, name: str, manifest: Mapping[str, Any], kind: type[T]) -> T:
        """Put an object in the place of another. Raises ObjectMissing, ClusterConflict."""
        answer = await self._call("PUT", "update", resource, name, body=manifest)
        return msgspec.json.decode(answer, type=kind)

    async def delete(
        self, resource: Resource, name: str, *, uid: str = "", grace: float | None = None, first: bool = False
    ) -> None:
        """Delete an object and what belongs to it, that `first` or afterwards. Raises ObjectMissing.

        With `uid`, only if it is still that one (else ClusterConflict). `grace`: seconds until it is made to end.
        """
        policy = "Foreground" if first else "Background"
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = int(grace)
        await self._call("DELETE", "delete", resource, name, body=options)

    # many

    async def delete_all(self, resource: Resource, labels: str) -> None:
        """Delete all objects that have these labels; no error if there are none."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self._call("DELETE", "deletecollection", resource, params={"labelSelector": labels}, body=options)

    async def pages(self, resource: Resource, kind: type[T], params: Params | None = None) -> AsyncIterator[Page[T]]:
        """All objects, in pages; the last page's version is the list's. Raises VersionGone if it took too long."""
        query: dict[str, str | int] = {"limit": PAGE, **(params or {})}
        while True:
            page = msgspec.json.decode(await self._call("GET", "list", resource, params=query), type=Page[kind])  # type: ignore[valid-type]
            yield page
            if not page.metadata.continue_:
                return
            query["continue"] = page.metadata.continue_

    async def all(self, resource: Resource, kind: type[T], params: Params | None = None) -> list[T]:
        """All objects."""
        return [item async for page in self.pages(resource, kind, params) for item in page.items]

    # streams

    @contextlib.asynccontextmanager
    async def stream(
        self,
        verb: str,
        resource: Resource,
        name: str = "",
        part: str = "",
        params: Params | None = None,
        *,
        silence: float | None = None,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """An answer that goes on: a watch, or a log that is followed. Read it to its end, or leave.

        Raises ClusterUnavailable when the connection breaks, and after `silence` seconds without a byte.
        """
        doing = self._doing(verb, resource, "/".join(filter(None, (name, part))))
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_connect=CONNECT, sock_read=silence)
        path = resource.path(self.namespace, name, part)
        try:
            # the answer's head may be long in coming where there is nothing to say yet: it counts as silence
            response = await self._send("GET", verb, resource, path, doing, params=params, timeout=timeout)
            try:
                yield response.content
            finally:
                if (connection := response.connection) and connection.transport:
                    connection.transport.abort()  # there is more to come: no polite goodbye, which takes a round trip
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._counted(from_failure(error, doing, self.server)) from error

    # how it is done

    async def _call(
        self,
        method: str,
        verb: str,
        resource: Resource,
        name: str = "",
        about: str = "",
        *,
        params: Params | None = None,
        body: Any = None,
    ) -> bytes:
        """One request and its whole answer."""
        doing = self._doing(verb, resource, name or about)
        path = resource.path(self.namespace, name)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=CONNECT)
        async with self._gate:
            try:
                response = await self._send(
                    method, verb, resource, path, doing, params=params, body=body, timeout=timeout
                )
                async with response:
                    return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._counted(from_failure(error, doing, self.server)) from error

    async def _send(
        self,
        method: str,
        verb: str,
        resource: Resource,
        path: str,
        doing: str,
        *,
        params: Params | None = None,
        body: Any = None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Send it, once more where only our credentials were stale: an answer that is good, its body unread."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        for last in (False, True):
            self.requests.sent[verb, resource.plural] += 1
            api = self._api
            response: aiohttp.ClientResponse = await api.call_api(
                path,
                method,
                query_params=list((params or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout,
            )
            if response.status < 300:
                return response
            async with response:
                error = from_status(response.status, await response.read(), doing)
            if response.status != 401 or last or self._again is None:
                raise self._counted(error)
            await self._renew(api)
        raise AssertionError

    async def _renew(self, stale: client.ApiClient) -> None:
        """Read the credentials anew: those of an exec plugin last an hour."""
        assert self._again is not None
        async with self._renewing:
            if self._api is stale:
                configuration = await self._again()
                if configuration.api_key == stale.configuration.api_key:
                    raise self._counted(
                        ClusterForbidden(
                            f"the cluster at {self.server} does not know who we are",
                            hint="log in again, and see whether `kubectl get pods` works with the same context",
                        )
                    )
                log.info("the cluster's credentials were read anew")
                stale.configuration.api_key = configuration.api_key

    def _doing(self, verb: str, resource: Resource, name: str = "") -> str:
        what = f"{resource.plural}/{name}" if name else resource.plural
        return f"{verb} {what} in namespace {self.namespace}" if resource.namespaced else f"{verb} {what}"

    def _counted(self, error: ClusterError) -> ClusterError:
        self.requests.failed[error.code] += 1
        return error
