"""The spool: rows wait here until their file has been read whole, in memory or, when large, on disk.

So a file that turns out to be damaged on its last line leaves nothing behind, and memory stays flat.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from speciate import Row, SpeciateError

ROWS = 20_000  # in one chunk
CHUNK_BYTES = 32 << 20
SIZED = (str, bytes)
POPULATE = getattr(mmap, "MAP_POPULATE", 0)
MOST_BINARY = (1 << 31) - 1  # bytes in a column of Arrow's smaller kind

Types = dict[str, pa.DataType]
Signatures = Callable[[Sequence[Row]], pa.Array]


class Spool:
    """Append rows, `keep` them when their file is whole or `drop` them, then iterate over tables."""

    def __init__(self, folder: Path, near: Signatures | None = None) -> None:
        self._folder, self._near = folder, near
        self._kept: list[Row] = []
        self._rows: list[Row] = []
        self._bytes = 0
        self._tables: list[pa.Table] = []  # until there is a file
        self._file: IO[bytes] | None = None
        self._streams = 0
        self._mark = (0, 0)  # where the file's whole part ends: bytes and streams
        self._whole: Types = {}
        self.types: Types = {}  # of each column: what all its values share, else text; null where it has no value

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += sum([len(value) for value in row.values() if isinstance(value, SIZED)])
        if len(self._kept) + len(self._rows) >= ROWS or self._bytes >= CHUNK_BYTES:
            self._spill()

    def keep(self) -> None:
        """What was added so far is whole."""
        self._kept += self._rows
        self._rows, self._whole = [], dict(self.types)
        self._mark = (self._file.tell() if self._file else 0, self._streams)

    def drop(self) -> None:
        """Forget what was added since `keep`."""
        self._rows, self.types = [], dict(self._whole)
        if self._file is not None:
            self._file.seek(self._mark[0])
            self._file.truncate()
            self._streams = self._mark[1]

    def close(self) -> None:
        """No more rows."""
        if self._kept:
            table = self._table(self._kept)
            self._kept = []
            if self._file is None:
                self._tables.append(table)
            else:
                self._write(table)

    def tables(self) -> Tables:
        return Tables(self._tables, self._file, self._streams)

    def file(self) -> tuple[IO[bytes], int]:
        """All of it as a file of so many streams, to hand to another process: in memory, unless it was too much."""
        if self._file is None and hasattr(os, "memfd_create"):
            self._file = os.fdopen(os.memfd_create("speciate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
        for table in self._tables:
            self._write(table)
        file = self._open()
        file.flush()
        return file, self._streams

    def _spill(self) -> None:
        """To the file: first what is whole, so that the rest can be dropped."""
        if self._kept:
            self._write(self._table(self._kept))
            self._kept, self._whole = [], dict(self.types)
            self._mark = (self._open().tell(), self._streams)
        if self._rows:
            self._write(self._table(self._rows))
        self._rows, self._bytes = [], 0

    def _table(self, rows: Sequence[Row]) -> pa.Table:
        table = to_arrow(rows)
        if self._near is not None:
            table = table.append_column("near", self._near(rows))
        self.types = shared(self.types, table.schema)
        return table

    def _open(self) -> IO[bytes]:
        """An unnamed file: it is gone with the process, however that ends."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="speciate-")  # noqa: SIM115  (closed by tables)
        return self._file

    def _write(self, table: pa.Table) -> None:
        try:
            file = self._open()
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
            file.flush()
        except OSError as error:
            raise Full(f"cannot write {self._folder}", str(error), "free some disk space") from error
        self._streams += 1


class Full(SpeciateError):
    """The disk that the spool lies on is full: this is not the file's fault."""


class Tables:
    """The tables of a spool, once; `close` it."""

    def __init__(self, tables: Sequence[pa.Table] = (), file: IO[bytes] | None = None, streams: int = 0) -> None:
        self._tables, self._file, self._streams = tables, file, streams

    def __iter__(self) -> Iterator[pa.Table]:
        yield from self._tables
        if self._file is not None:
            self._file.seek(0)
            source = _mapped(self._file) or self._file
            for _ in range(self._streams):
                yield pa.ipc.open_stream(source).read_all()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _mapped(file: IO[bytes]) -> pa.BufferReader | None:
    """What another process wrote in memory, where it lies, if nobody can change it any more: a file that is cut would
    end whoever looks at it."""
    try:
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, seals)
        return pa.BufferReader(pa.py_buffer(mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | POPULATE, mmap.PROT_READ)))
    except (OSError, ValueError, AttributeError):  # a file on the disk, or no Linux
        return None


def to_arrow(rows: Sequence[Row], schema: pa.Schema | None = None) -> pa.Table:
    """Rows as a table: of a schema, or of every column there is with the type its values share, else as text."""
    if schema is not None:
        return pa.table([_array(f.name, [row.get(f.name) for row in rows], f.type) for f in schema], schema=schema)
    names = dict.fromkeys(key for row in rows for key in row)
    return pa.table({name: _array(name, [row.get(name) for row in rows], None) for name in names})


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds both: text if nothing else does."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


def holds(kept: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column of the one type takes values of the other."""
    same_kind = pa.types.is_large_binary(kept) and pa.types.is_binary(found)
    return bool(same_kind or pa.types.is_string(kept) or wider(kept, found) == kept)


def shared(types: Types, schema: pa.Schema) -> Types:
    """The types that hold what both hold."""
    return types | {field.name: wider(types.get(field.name, pa.null()), field.type) for field in schema}


def fitted(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A column of a type that holds it. Text of a number is what Python writes, whatever came before it."""
    if column.type == kind:
        return column
    if pa.types.is_string(kind) and not pa.types.is_null(column.type):
        return pa.chunked_array([_array(name, column.to_pylist(), kind)])
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _misfit(name, kind, error) from error


def _misfit(name: str, kind: pa.DataType, error: Exception) -> SpeciateError:
    return SpeciateError(f"column {name!r} holds {kind} in this dataset", str(error), "mend the values")


def _array(name: str, values: list[Any], known: pa.DataType | None) -> pa.Array:
    if known is not None and pa.types.is_string(known):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if known is None and values and all(type(value) is bytes for value in values):
        return _joined(values)
    try:
        if known is not None and pa.types.is_floating(known):
            values = [None if value is None else float(value) for value in values]
        return pa.array(values, known)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError) as error:
        if known is not None:
            raise _misfit(name, known, error) from error
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _joined(values: list[bytes]) -> pa.Array:
    """Bytes as Arrow holds them, copied once: for large ones `pa.array` takes ten times as long."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    kind, width = (pa.binary(), np.int32) if ends[-1] <= MOST_BINARY else (pa.large_binary(), np.int64)
    buffers = [None, pa.py_buffer(ends.astype(width)), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)
