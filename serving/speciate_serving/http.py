"""The HTTP server: `speciate serve MODEL`, then `curl -F file=@NAME http://127.0.0.1:PORT/v1/predict/MODEL`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from speciate import Row, SpeciateError, UsageError
from speciate_serving import HttpOptions
from speciate_serving.body import as_json
from speciate_serving.guard import BodyLimit, Envelope, Guard
from speciate_serving.inprocess import call
from speciate_serving.listener import Listener, bracketed, is_loopback, listen, url_of
from speciate_serving.metrics import Metrics
from speciate_serving.refusal import Refusal, refuse
from speciate_serving.routes import Routes
from speciate_serving.worker import Full, Gone, Worker

if TYPE_CHECKING:
    from speciate.model import Model

__all__ = ["HttpServer"]

LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
EXPECTED = (Refusal, SpeciateError, HTTPException, ClientDisconnect, Full, Gone)


class HttpServer:
    """Models behind HTTP. `models` is asked anew at each request, so it may change while serving."""

    def __init__(self, models: Mapping[str, Model], options: HttpOptions) -> None:
        if options.max_body_mb < 1 or options.max_waiting < 0:
            exists = f"max_body_mb={options.max_body_mb}, max_waiting={options.max_waiting}"
            raise UsageError("these limits let nothing in", exists, "type max_body_mb=1 or more, max_waiting=0 or more")
        self.options, self._metrics, self._worker = options, Metrics(), Worker(options.max_waiting)
        self._routes = Routes(models, self._worker, self._metrics)
        self._listener: Listener | None = None
        self.app = self.app_for(LOCAL)

    def app_for(self, hosts: Set[str]) -> Starlette:
        """The ASGI app that answers to these names, or to any if there are none."""
        app = Starlette(
            routes=self._routes.all(),
            middleware=[
                Middleware(Envelope, count=self._metrics.count),
                Middleware(Guard, hosts=hosts, token=self.options.token),
                Middleware(BodyLimit, limit_mb=self.options.max_body_mb),
            ],
            exception_handlers=dict.fromkeys(EXPECTED, refuse),
        )
        app.router.redirect_slashes = False
        return app

    def ask(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Outputs for rows, through all that a request goes through."""
        headers = {"host": "localhost", "content-type": "application/json"}
        if self.options.token:
            headers["authorization"] = f"Bearer {self.options.token}"
        lent: dict[str, Path] = {}
        body = as_json(rows, lent)
        self._routes.lent |= lent
        request = call(self.app, "POST", f"/v1/predict/{quote(name, safe='')}", headers, body)
        with ThreadPoolExecutor(1) as thread:  # the caller may be in an event loop already, as in a notebook
            answer = thread.submit(asyncio.run, request).result()
        for file in lent:
            del self._routes.lent[file]
        content = json.loads(answer.body)
        if answer.status != 200:
            error = content["error"]
            raise SpeciateError(error["message"], error["exists"], error["do"])
        outputs: list[Row] = content["outputs"]
        return outputs

    def run(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        """Serve until a signal or `stop`; requests in flight are finished."""
        local = is_loopback(host)
        if not local and not self.options.token:
            asked = f"serving on {host!r} would let other machines in without a token"
            raise UsageError(asked, f"without one there is: {', '.join(sorted(LOCAL))}", "type --token SECRET")
        socket = listen(host, port)
        url = url_of(host, socket.getsockname()[1])
        app = self.app_for(LOCAL | {bracketed(host)} if local else frozenset())
        self._listener = Listener(app, lambda: ready(url))
        with socket:
            self._listener.run(sockets=[socket])

    def stop(self) -> None:
        """End `run` from another thread."""
        if self._listener:
            self._listener.should_exit = True
