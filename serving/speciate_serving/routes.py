"""The routes: predict, at once or in pieces, health, models, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from speciate import Row, SpeciateError
from speciate.errors import unknown
from speciate_serving import body
from speciate_serving.metrics import Metrics
from speciate_serving.refusal import Json, Refusal
from speciate_serving.stream import streamed
from speciate_serving.worker import Worker

if TYPE_CHECKING:
    from speciate.model import Model

__all__ = ["Routes"]

IN_MEMORY = 2**20
MOST_FILES = 4096


class Routes:
    """What can be asked of some models."""

    def __init__(self, models: Mapping[str, Model], worker: Worker, metrics: Metrics) -> None:
        self.models, self.worker, self.metrics = models, worker, metrics
        self.lent: dict[str, Path] = {}  # files that this process asks itself about
        self.started = int(time.time())

    def all(self) -> list[Route]:
        return [
            Route("/v1/predict/{name}", self.predict, methods=["POST"]),
            Route("/v1/predict/{name}/stream", self.stream, methods=["POST"]),
            Route("/v1/models", self.cards, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/metrics", self.counts, methods=["GET"]),
        ]

    async def predict(self, request: Request) -> Response:
        name, model = self._asked(request)
        kind = body.content_type(request)
        if kind == "application/json":
            rows, listed = body.rows_of(await request.body(), self.lent)
            outputs = await self._compute(request, name, partial(model.predict_rows, rows))
        else:
            take = self._form if kind == "multipart/form-data" else self._raw
            outputs, listed = await take(request, name, model), False
        return Json(_answer(request.state.id, model.name, outputs, listed))

    async def stream(self, request: Request) -> Response:
        """One row, and its answer as it comes."""
        name, model = self._asked(request)
        rows, _ = body.rows_of(await request.body(), self.lent)
        if len(rows) != 1:
            error = SpeciateError("a stream answers one row", f"there are {len(rows)}", f"ask /v1/predict/{name}")
            raise Refusal(400, "bad_rows", error)

        def pieces() -> Iterator[str]:
            with self.metrics.timed(name):
                yield from model.stream(rows[0])

        def done(text: str) -> Row:
            return _answer(request.state.id, model.name, [{"text": text}], listed=False)

        return await streamed(self.worker, pieces, partial(_gone, request), done)

    async def health(self, request: Request) -> Response:
        return Json({"status": "ok", "models": sorted(self.models)})

    async def cards(self, request: Request) -> Response:
        data = [self._card(name, self.models[name]) for name in sorted(self.models)]
        return Json({"object": "list", "data": data})

    async def counts(self, request: Request) -> Response:
        return PlainTextResponse(self.metrics.text(self.worker.waiting), media_type="text/plain; version=0.0.4")

    async def _form(self, request: Request, name: str, model: Model) -> list[Row]:
        """A form's file; or its files, where several are one thing."""
        most = MOST_FILES if model.format.together else 1
        async with request.form(max_files=most, max_fields=16, max_part_size=2**16) as form:
            files: dict[str, Any] = {}
            for _, upload in form.multi_items():
                if isinstance(upload, UploadFile):
                    kind = (upload.content_type or "").partition(";")[0]
                    file = body.file_name(upload.filename or "", kind, model.format.patterns)
                    body.refuse_empty(upload.file)
                    files[f"{len(files)}-{file}" if file in files else file] = upload.file
            if not files:
                raise body.no_file()
            work = partial(body.in_folder, list(files.items()), model.predict_file)
            return await self._compute(request, name, work)

    async def _raw(self, request: Request, name: str, model: Model) -> list[Row]:
        given = body.given_name(request)
        file = body.file_name(given, body.content_type(request), model.format.patterns)
        with SpooledTemporaryFile(IN_MEMORY) as source:
            await body.spool(request, source)
            body.refuse_empty(source)
            return await self._compute(request, name, partial(body.in_folder, [(file, source)], model.predict_file))

    async def _compute(self, request: Request, name: str, work: Callable[[], list[Row]]) -> list[Row]:
        def timed() -> list[Row]:
            with self.metrics.timed(name):
                return work()

        return await self.worker.do(timed, partial(_gone, request))

    def _asked(self, request: Request) -> tuple[str, Model]:
        """The model of a request, if there is a place for it in the line."""
        name = request.path_params["name"]
        model = self.models.get(name)
        if model is None:
            raise Refusal(404, "model_not_found", unknown("model", name, self.models, "ask GET /v1/models"))
        request.state.model = name  # what the request is counted under
        self.worker.check()
        return name, model

    def _card(self, name: str, model: Model) -> dict[str, Any]:
        info = model.info
        about = {"format": model.format.name, "task": info.get("task"), "labels": info.get("labels")}
        created = _seconds(info.get("created"), self.started)
        return {"id": name, "object": "model", "created": created, "owned_by": "speciate", **about}


async def _gone(request: Request) -> None:
    """Returns when nobody waits for the answer any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(id: str, model: str, outputs: list[Row], listed: bool) -> dict[str, Any]:
    """`output` where there is one; `outputs` where a list was sent or another number came out."""
    answer: dict[str, Any] = {"id": id, "model": model}
    if len(outputs) == 1:
        answer["output"] = outputs[0]
    if listed or len(outputs) != 1:
        answer["outputs"] = outputs
    return answer


def _seconds(created: Any, otherwise: int) -> int:
    """A time as OpenAI's clients read it: whole seconds since 1970."""
    if isinstance(created, str):
        try:
            return int(datetime.fromisoformat(created).timestamp())
        except ValueError:
            return otherwise
    return int(created) if isinstance(created, (int, float)) else otherwise
