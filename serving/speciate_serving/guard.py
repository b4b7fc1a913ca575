"""What stands before the routes: an id and a count for each request, who may ask, and how much they may send."""

from __future__ import annotations

import hmac
import logging
import re
import uuid
from collections.abc import Callable, Set

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speciate import SpeciateError
from speciate_serving.refusal import Refusal

__all__ = ["BodyLimit", "Envelope", "Guard"]

LOG = logging.getLogger("speciate.serving")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(:\d+)?")


class Envelope:
    """Gives each request its id, counts it, and turns an unexpected error into a log line and a 500."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None]) -> None:
        self.app, self.count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status, id = 0, uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = id

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        except Exception:
            LOG.exception("request %s failed", id)
            if status:  # half an answer is out: only closing the connection can say that it is not whole
                raise
            error = SpeciateError("internal error", f"the request is {id}", "look for it in what the server printed")
            await Refusal(500, "internal", error).response()(scope, receive, tagged)
        finally:
            self.count(scope.get("state", {}).get("model", ""), status)


class Guard:
    """Keeps out web pages of other sites, other machines' names for this one, and who has no token."""

    def __init__(self, app: ASGIApp, hosts: Set[str], token: str) -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal.response() if refusal else self.app)(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Refusal | None:
        named = headers.getlist("host")
        host = named[0].lower() if len(named) == 1 else ""
        if self.hosts and not _is(host, self.hosts):
            exists = f"it answers to: {', '.join(sorted(self.hosts))}"
            return Refusal(421, "wrong_host", SpeciateError(f"this server is not {host!r}", exists, "use one of these"))
        foreign = [origin for origin in headers.getlist("origin") if origin.lower().partition("://")[2] != host]
        if foreign or headers.get("sec-fetch-site", "").lower() == "cross-site":
            asked = f"a page of {foreign[0] if foreign else 'another site'} may not ask this server"
            do = "ask from a program, or from a page of the same origin"
            return Refusal(403, "foreign_origin", SpeciateError(asked, "only its own pages may", do))
        if self.token and path != "/health" and not self._knows(headers):
            error = SpeciateError("this server wants its token", "", "send the header `Authorization: Bearer TOKEN`")
            return Refusal(401, "no_token", error, {"www-authenticate": "Bearer"})
        return None

    def _knows(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode("latin-1"), self.token.encode())
        return same and scheme.lower() == "bearer"


class BodyLimit:
    """Stops reading a body at the limit, whether or not its length was announced."""

    def __init__(self, app: ASGIApp, limit_mb: int) -> None:
        self.app, self.limit = app, limit_mb * 2**20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        length, seen = Headers(scope=scope).get("content-length", ""), 0
        if length.isdecimal() and (len(length) > 20 or int(length) > self.limit):
            return await self._refusal().response()(scope, receive, send)

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise self._refusal()
            return message

        await self.app(scope, bounded, send)

    def _refusal(self) -> Refusal:
        exists = f"the limit is {self.limit >> 20} MB"
        do = "send less, or serve with a larger max_body_mb"
        return Refusal(413, "body_too_large", SpeciateError("the body is too large", exists, do))


def _is(host: str, hosts: Set[str]) -> bool:
    match = HOST.fullmatch(host)
    return match is not None and match[1] in hosts
