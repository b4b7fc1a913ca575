"""What a client gets when it gets no answer: a status and one JSON shape for every error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from speciate import SpeciateError
from speciate_serving.worker import Full, Gone

__all__ = ["Json", "Refusal", "plain", "refuse"]

TYPES = {401: "authentication_error", 403: "permission_error", 421: "permission_error", 429: "rate_limit_error"}


class Json(Response):
    """JSON that any client can read: what is not a finite number is null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


class Refusal(Exception):
    """A request that will not be answered, and the status that says so."""

    def __init__(self, status: int, code: str, error: SpeciateError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.asked)
        self.status, self.code, self.error, self.headers = status, code, error, headers

    def response(self) -> Response:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        about = {"message": self.error.asked, "type": kind, "code": self.code}
        body = {"error": {**about, "exists": self.error.exists, "do": self.error.do}}
        return Json(body, status_code=self.status, headers=self.headers)


def plain(value: Any) -> Any:
    """A value as JSON has it: numpy becomes Python, and NaN and the infinities become None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


async def refuse(request: Request, error: Exception) -> Response:
    """The answer to an error of the app's own kinds; the others are internal and caught outside."""
    return _refusal(request, error).response()


def _refusal(request: Request, error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, SpeciateError):
        return Refusal(422, "cannot_be_read", error)
    if isinstance(error, Full):
        busy = SpeciateError("the model is busy", f"{error} requests wait already", "send it again in a second")
        return Refusal(429, "queue_full", busy, {"retry-after": "1"})
    if isinstance(error, (Gone, ClientDisconnect)):
        return Refusal(499, "client_gone", SpeciateError("the client went away before its turn"))
    assert isinstance(error, HTTPException)
    return _routing(request, error)


def _routing(request: Request, error: HTTPException) -> Refusal:
    """Starlette's own: no such path, no such method, a form that cannot be parsed."""
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        paths = ", ".join(getattr(route, "path", "") for route in request.app.routes)
        return Refusal(404, "not_found", SpeciateError(f"there is no {what}", f"there is: {paths}", ""))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = SpeciateError(f"{what} is not possible", f"this path takes: {allowed}", f"send a {allowed}")
        return Refusal(405, "method_not_allowed", problem, error.headers)
    do = "send one file as multipart/form-data, or the bytes alone"
    return Refusal(error.status_code, "bad_request", SpeciateError("the form cannot be read", error.detail, do))
