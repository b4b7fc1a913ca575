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

    def _spill(self) -> None:
        """To an unnamed file: it is gone with the process, however that ends."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="speciate-")  # noqa: SIM115  (closed by __exit__)
        table = to_arrow(self._rows)
        with pa.ipc.new_stream(self._file, table.schema) as stream:
            stream.write_table(table)
        self._rows, self._bytes, self._batches = [], 0, self._batches + 1


def to_arrow(rows: Sequence[Row], schema: pa.Schema | None = None) -> pa.Table:
    """Rows as a table: columns of `schema` with its types, others with the type their values share, else as text."""
    names = list(dict.fromkeys([*(schema.names if schema else ()), *(key for row in rows for key in row)]))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        known = schema.field(name).type if schema is not None and name in schema.names else None
        columns[name] = _array(name, values, known)
    return pa.table(columns)


def _array(name: str, values: list[Any], known: pa.DataType | None) -> pa.Array:
    if known is not None and pa.types.is_string(known):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    try:
        found = pa.array(values, known)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        if known is not None:
            raise SpeciateError(
                f"column {name!r} holds {known} in this dataset", str(error), "mend the values"
            ) from error
        found = pa.array([None if value is None else str(value) for value in values], pa.string())
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found
