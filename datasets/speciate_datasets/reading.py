"""Reading a chunk of files, whatever process it happens in; and the Local way of it, in this one."""

from __future__ import annotations

import base64
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from speciate import Row, SpeciateError, UsageError
from speciate.catalog import load
from speciate.contracts import Quarantined, Reader, TogetherReader
from speciate.files import scratch_in
from speciate_datasets.keep import own_scratch
from speciate_datasets.spool import Full, Spool, Tables, Types
from speciate_datasets.stored import File, Maker, Task, printable, reason_of, refer

CHUNK_FILES, CHUNK_FILE_BYTES = 256, 8 << 20


@dataclass
class Outcome:
    """What reading a chunk gave."""

    tables: Tables = field(default_factory=Tables)
    types: Types = field(default_factory=dict)
    refused: list[tuple[int, str]] = field(default_factory=list)  # the file's place in the chunk, and why
    aside: list[tuple[str, str]] = field(default_factory=list)  # parts of a thing that its rows go without, and why
    used: str = ""  # the column that gave the labels
    apart: bool = False  # its rows do not go together: read its files one by one, to see whose fault it is
    error: SpeciateError | None = None  # what ends the add

    def said(self) -> dict[str, Any]:
        """All but the tables, as JSON can carry it."""
        schema = pa.schema(list(self.types.items())).serialize().to_pybytes()
        types = base64.b64encode(schema).decode()
        error = self.error.as_dict() if self.error else None
        said = {"refused": self.refused, "aside": self.aside, "used": self.used, "apart": self.apart}
        return {"types": types, "error": error, **said}

    @classmethod
    def heard(cls, said: Mapping[str, Any], tables: Tables) -> Outcome:
        """What another process said."""
        schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(said["types"])))
        refused = [(int(place), str(why)) for place, why in said["refused"]]
        aside = [(str(path), str(why)) for path, why in said["aside"]]
        used, apart = str(said["used"]), bool(said["apart"])
        outcome = cls(tables, {f.name: f.type for f in schema}, refused, aside, used, apart)
        if said["error"]:
            kind = UsageError if said["error"]["kind"] == "UsageError" else SpeciateError
            outcome.error = kind(*(str(said["error"][part]) for part in ("asked", "exists", "do")))
        return outcome


@dataclass(eq=False)
class Chunk:
    """Files that are read together. Which ones does not depend on the number of processes, so nothing else does."""

    files: list[File]
    refused: list[tuple[File, str]] = field(default_factory=list)
    outcome: Outcome | None = None
    size: int = 0  # of all the files it began with

    def settle(self, outcome: Outcome) -> None:
        self.refused += [(self.files[place], why) for place, why in outcome.refused]
        self.outcome = outcome

    def without(self, place: int, why: str) -> None:
        """One of the files ended the process that read it."""
        self.refused.append((self.files.pop(place), why))


def chunks_of(files: Sequence[File]) -> list[Chunk]:
    chunks: list[Chunk] = []
    for file in files:
        last = chunks[-1] if chunks else None
        if last is None or len(last.files) >= CHUNK_FILES or last.size + file.size > CHUNK_FILE_BYTES:
            last = Chunk([])
            chunks.append(last)
        last.files.append(file)
        last.size += file.size
    return chunks


class Local:
    """Reads chunks in this process, in their order."""

    def __init__(self, task: Task, reader: Reader, folder: Path) -> None:
        self.task, self.folder, self._reader = task, folder, reader
        self._order: deque[Chunk] = deque()

    def run(self, chunks: Sequence[Chunk]) -> Iterator[Chunk]:
        """Each chunk once it is read; those that come `again` take its place."""
        self._order.extend(chunks)
        while self._order:
            chunk = self._order.popleft()
            chunk.settle(self._read(chunk))
            yield chunk

    def _read(self, chunk: Chunk, begin: Callable[[int], None] = lambda _: None) -> Outcome:
        try:
            spool, outcome = read(self._reader, self.task, chunk.files, self.folder, begin)
        except MemoryError:
            alone = len(chunk.files) == 1
            why = "reading it takes more memory than there is; its rows are too large; split it or leave it out"
            return Outcome(refused=[(0, why)] if alone else [], apart=not alone)
        outcome.tables = spool.tables()
        return outcome

    def again(self, chunk: Chunk) -> None:
        """Read the files of the chunk that was just given one by one, and give these next."""
        self._order.extendleft(reversed(self.apart(chunk)))

    @staticmethod
    def apart(chunk: Chunk) -> list[Chunk]:
        return [Chunk([file], size=file.size) for file in chunk.files]

    def close(self) -> None: ...


def read(
    reader: Reader, task: Task, files: Sequence[File], folder: Path, begin: Callable[[int], None] = lambda _: None
) -> tuple[Spool, Outcome]:
    """Whole files into a spool. Whatever is wrong with one shows here, before any of it is kept."""
    spool, outcome = Spool(folder, _signatures(task)), Outcome()
    try:
        with scratch_in(own_scratch(folder)) as scratch:
            for place, file in enumerate(files):
                begin(place)
                _whole(reader, task, file, place, spool, outcome)
                if os.path.exists(scratch):  # noqa: PTH110  (asked after every file, and twice as fast)
                    shutil.rmtree(scratch, ignore_errors=True)
        _close(spool, outcome, len(files))
    except (UsageError, Full) as error:
        outcome.error = error
    outcome.types = spool.types
    if outcome.error or outcome.apart or len(outcome.refused) == len(files):
        spool.tables().close()
        spool, outcome.types = Spool(folder), {}
    return spool, outcome


def _whole(reader: Reader, task: Task, file: File, place: int, spool: Spool, outcome: Outcome) -> None:
    """One file, or why it is refused."""
    aside: list[tuple[str, str]] = []
    try:
        outcome.used = _read(reader, task, file, spool, aside) or outcome.used
        outcome.aside += aside
    except (UsageError, Full, MemoryError):
        raise
    except Exception as error:
        spool.drop()
        outcome.refused.append((place, reason_of(error)))


def _close(spool: Spool, outcome: Outcome, files: int) -> None:
    try:
        spool.close()
    except Full:
        raise
    except (pa.ArrowException, ValueError, TypeError, SpeciateError) as error:  # values that no column takes
        if files == 1:
            outcome.refused = [(0, reason_of(error))]
        outcome.apart = files > 1


def _read(reader: Reader, task: Task, file: File, spool: Spool, aside: list[tuple[str, str]]) -> str:
    maker = Maker(task, file)
    blobs = [name for name, kind in task.schema.items() if kind == "blob"] if task.reference else []
    rows = cast(TogetherReader, reader).read_all(file.parts) if task.together else reader.read(file.path)
    number = 0
    for row in rows:
        if isinstance(row, Quarantined):
            aside.append((printable(row.path), row.reason))
            continue
        if not isinstance(row, dict):
            raise SpeciateError("a row is no dict", f"the reader gives a {type(row).__name__}", "mend the reader")
        stored = maker.row(row, number)
        spool.add(refer(stored, blobs, file, task.home) if blobs else stored)
        number += 1
    maker.columns.check()
    spool.keep()
    return maker.used


def _signatures(task: Task) -> Callable[[Sequence[Row]], pa.Array] | None:
    """What makes the `near` column."""
    if task.near is None:
        return None
    function = load(task.near.signature)

    def signatures(rows: Sequence[Row]) -> pa.Array:
        found = np.ascontiguousarray(function(rows), dtype=np.uint8)
        kind = pa.binary(found.shape[1])
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(found), [None, pa.py_buffer(found)])

    return signatures
