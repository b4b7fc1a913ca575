"""Where requests come in: the socket, and uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from speciate import SpeciateError, UsageError

__all__ = ["Listener", "is_loopback", "listen", "url_of"]

GRACE_SECONDS = 30


class Listener(uvicorn.Server):  # type: ignore[misc]
    """Says when it answers; a signal lets requests in flight finish and then ends it as if nothing had happened."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await asyncio.to_thread(self._ready)  # the loop runs on: who is told may ask at once

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but it raises the signals again at the end, and then no command could exit with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one."""
    if not 0 <= port < 2**16:
        raise UsageError(f"there is no port {port}", "ports go from 0 to 65535", "type --port 0 for any free port")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        asked = f"cannot listen on {host}:{port}"
        raise SpeciateError(asked, str(error), "type --port 0 for any free port") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    return f"http://{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
