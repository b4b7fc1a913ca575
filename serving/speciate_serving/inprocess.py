"""One request to an ASGI app in this process, without a port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

__all__ = ["Answer", "call"]


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def call(app: ASGIApp, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """The app's answer; `path` is as in a URL: quoted, and with a query if there is one."""
    answer, over = Answer(), asyncio.Event()
    request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if request:
            return request.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    where, _, query = path.partition("?")
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method}
    target = {"path": unquote(where), "raw_path": where.encode(), "root_path": "", "query_string": query.encode()}
    await app({**scope, **target, "scheme": "http", "headers": pairs, "client": None, "server": None}, receive, send)
    over.set()
    return answer
