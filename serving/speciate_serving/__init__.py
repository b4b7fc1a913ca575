"""Ways to serve Models: HTTP on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from speciate import Server, hookimpl


@dataclass
class HttpOptions:
    """What may be chosen about the HTTP server."""

    max_body_mb: int = 64  # a larger request is refused
    token: str = ""  # asked of every request but /health; needed to listen on more than this machine
    max_waiting: int = 64  # requests in line for the model; more are told to come back


@hookimpl
def speciate_servers() -> list[Server]:
    return [
        Server(
            name="http",
            summary="HTTP and JSON on this machine: rows or a file in, answers out",
            app="speciate_serving.http:HttpServer",
            options=HttpOptions,
        )
    ]
