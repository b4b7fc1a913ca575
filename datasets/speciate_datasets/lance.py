"""lancedb, imported in half the time: its client for servers, which nobody here asks, has hundreds of calls whose
arguments pydantic would prepare to check, 1.3 s in each process. Each is prepared when it is first made instead.

And in half the memory: Lance works in many threads, to each of which the C library gives an arena of its own, which
keeps what was freed in it. Two arenas do (300,000 texts: 380 MB after the add instead of 530)."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pydantic

from speciate import SpeciateError

__all__ = ["FTS", "LIBC", "IvfFlat", "lancedb", "reading"]

PANIC = "RustPanic"  # a class that no package has under a name


@contextmanager
def _later() -> Iterator[None]:
    now = pydantic.validate_call

    def validate_call(function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        if function is None:
            return functools.partial(validate_call, **settings)
        prepared: list[Callable[..., Any]] = []

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if not prepared:
                prepared.append(now(function, **settings))
            return prepared[0](*given, **named)

        return call

    pydantic.validate_call = validate_call
    try:
        yield
    finally:
        pydantic.validate_call = now


LIBC = ctypes.CDLL(None)
if hasattr(LIBC, "mallopt"):  # as MALLOC_ARENA_MAX says it, before there are threads
    LIBC.mallopt(-8, 2)

with _later():
    import lancedb  # noqa: TID251  (what else of it is wanted in this room is imported from here)
    from lancedb.index import FTS, IvfFlat  # noqa: TID251


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Whatever Lance says of a file that it cannot read, in our words."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError | RuntimeError | ValueError) and type(error).__name__ != PANIC:
            raise
        said = str(error).splitlines()[0][:300]
        raise SpeciateError(f"cannot read {name}", said, "type `speciate fsck`, or use another version") from error
