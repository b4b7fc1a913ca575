"""An answer in pieces, as server-sent events: `data: {"text": "..."}` for each, then `event: done` with all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from threading import Event
from typing import Any

from starlette.responses import StreamingResponse

from speciate import Row, SpeciateError
from speciate_serving.worker import Worker

__all__ = ["streamed"]

Answer = Callable[[str], Row]
LATE = SpeciateError("the answer broke off", "the model failed", "look for it in what the server printed")


async def streamed(
    worker: Worker, pieces: Callable[[], Iterator[str]], gone: Callable[[], Coroutine[Any, Any, None]], done: Answer
) -> StreamingResponse:
    """The response, once the first piece is there: what goes wrong before is an error like any other.

    `done` makes what is sent last of the whole text. When nobody listens any more, no more is said.
    """
    loop, heard, stop = asyncio.get_running_loop(), asyncio.Queue[str | None](), Event()

    def speak() -> None:
        for piece in pieces():
            loop.call_soon_threadsafe(heard.put_nowait, piece)
            if stop.is_set():
                return

    work = asyncio.ensure_future(worker.do(speak, gone))
    work.add_done_callback(lambda _: heard.put_nowait(None))
    first = await heard.get()
    if first is None:
        work.result()  # raises what went wrong

    async def events() -> AsyncIterator[str]:
        whole, piece = "", first
        try:
            while piece is not None:
                whole += piece
                yield _event({"text": piece})
                piece = await heard.get()
            error = work.exception()
            yield _event(_said(error), "error") if error else _event(done(whole), "done")
        finally:
            stop.set()

    return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _said(error: BaseException) -> Row:
    known = error if isinstance(error, SpeciateError) else LATE
    return {"error": {"message": known.asked, "exists": known.exists, "do": known.do}}


def _event(content: Row, name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
