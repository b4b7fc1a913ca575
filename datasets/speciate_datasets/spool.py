"""The spool: the rows of one file wait here until the whole file has been read, in memory or, when large, on disk.

So a file that turns out to be damaged on its last line leaves nothing behind, and memory stays flat.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import pyarrow as pa

from speciate import Row, SpeciateError

ROWS = 20_000  # in one chunk
CHUNK_BYTES = 32 << 20


class Spool:
    """Append rows, then iterate over them as chunks."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._bytes = 0
        self._file: Any = None
        self._batches = 0
        self._types: dict[str, pa.DataType] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if len(self._rows) >= ROWS or self._bytes >= CHUNK_BYTES:
            self._spill()

    def chunks(self) -> Iterator[list[Row]]:
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._batches):
                yield pa.ipc.open_stream(self._file).read_all().to_pylist()
        if self._rows:
            yield self._rows

    def types(self) -> dict[str, pa.DataType]:
        """The type of each column over all rows: what its chunks share, else text; null where it has no value."""
        return _shared(self._types, to_arrow(self._rows).schema)

    def _spill(self) -> None:
        """To an unnamed file: it is gone with the process, however that ends."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="speciate-")  # noqa: SIM115  (closed by __exit__)
        table = to_arrow(self._rows)
        with pa.ipc.new_stream(self._file, table.schema) as stream:
            stream.write_table(table)
        self._types = _shared(self._types, table.schema)
        self._rows, self._bytes, self._batches = [], 0, self._batches + 1


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


def _shared(types: dict[str, pa.DataType], schema: pa.Schema) -> dict[str, pa.DataType]:
    return types | {field.name: wider(types.get(field.name, pa.null()), field.type) for field in schema}


def _array(name: str, values: list[Any], known: pa.DataType | None) -> pa.Array:
    if known is not None and pa.types.is_string(known):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    try:
        if known is not None and pa.types.is_floating(known):
            values = [None if value is None else float(value) for value in values]
        return pa.array(values, known)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError) as error:
        if known is not None:
            raise SpeciateError(
                f"column {name!r} holds {known} in this dataset", str(error), "mend the values"
            ) from error
        return pa.array([None if value is None else str(value) for value in values], pa.string())
