"""Blob columns: large bytes that lie beside the rows.

A scan gives descriptors. Content is read two ways that agree: Lance's own (`general`, any store), and straight from
the files into one buffer (`fast`, local files), which costs a tenth: few and small files are mapped, others are read.
Which file a row is in comes from the manifest; one blob of every kind in every fragment is read both ways before the
fast way is trusted there, and all else goes the general way.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate_datasets.lance import lancedb, reading
from speciate_datasets.manifest import data_files

ADDRESS, ROW_ID = "_rowaddr", "_rowid"
INLINE, PACKED, DEDICATED = 0, 1, 2  # where Lance puts small, medium and large ones
NOWHERE = -1
OPEN_FILES = 64
MAPPED_BYTES = 1 << 30  # of files that are mapped, not read
GENERAL_BYTES = 64 << 20  # asked of Lance at once
SPARE_BUFFERS = 8
SAMPLE_BYTES = 64 << 10  # of a blob that is read both ways

Content = memoryview | None


def field(name: str) -> pa.Field:
    """The Arrow field to create a table with, so that `name` is a blob column."""
    return lancedb.blob(name)


def is_blob(field: pa.Field) -> bool:
    """Whether a column of a table's schema, or of a scan, is a blob column; Arrow may or may not know its type."""
    metadata = field.metadata or {}
    known = "lance.blob.v2" in str(field.type) or metadata.get(b"ARROW:extension:name") == b"lance.blob.v2"
    return known or metadata.get(b"lance-encoding:blob") == b"true"


class Blobs:
    """One blob column of the rows of a scan, read by their positions in it.

    `rows` has the column (its descriptors), `_rowid` and `_rowaddr`; `table` is pinned to the version scanned.
    """

    def __init__(self, table: Any, column: str, rows: pa.Table, fast: bool = True) -> None:
        self._table, self.column = table, column
        there = rows[column].combine_chunks()
        there = there.chunk(0) if isinstance(there, pa.ChunkedArray) else there
        self._ids = _numbers(rows[ROW_ID], np.uint64)
        self._fragment = _numbers(rows[ADDRESS], np.uint64) >> np.uint64(32)
        self.null = ~np.asarray(there.is_valid())
        self._kind, self._at, self._blob = (_part(there, name) for name in ("kind", "position", "blob_id"))
        self.size = np.where(self.null, 0, _part(there, "size"))
        self._file = np.full(len(there), NOWHERE, dtype=np.int64)
        self._paths: list[Path] = []
        self._open: OrderedDict[int, int] = OrderedDict()
        self._mapped: dict[int, Mapped] = {}
        self._lock = threading.Lock()
        self._buffers = Buffers()
        if fast:
            self._find()

    @property
    def fast(self) -> float:
        """The share of rows that are read straight from their files."""
        return float(np.mean((self._file != NOWHERE) | (self.size == 0))) if len(self._file) else 1.0

    @property
    def mapped(self) -> bool:
        """Whether all of it is in mapped files."""
        return bool(np.isin(self._file[self.size > 0], list(self._mapped)).all())

    def read(self, positions: Sequence[int] | NDArray[np.intp]) -> list[Content]:
        """The contents at these positions, as parts of one buffer; null is None."""
        positions = np.asarray(positions, dtype=np.intp)
        ends = np.cumsum(self.size[positions])
        buffer = self._buffers.take(int(ends[-1]) if len(ends) else 0)
        whole = memoryview(buffer)  # type: ignore[arg-type]
        starts = ends - self.size[positions]
        parts = [whole[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        direct = self._file[positions] != NOWHERE
        self._direct(positions[direct], [parts[i] for i in np.flatnonzero(direct)])
        rest = np.flatnonzero(~direct & (self.size[positions] > 0))
        for i, content in zip(rest, self.general(positions[rest]), strict=True):
            parts[i][:] = content or b""
        return [None if null else part for null, part in zip(self.null[positions].tolist(), parts, strict=True)]

    def general(self, positions: NDArray[np.intp]) -> list[Content]:
        """The same through Lance, whatever the store."""
        found: list[Content] = []
        if not len(positions):
            return found
        batch = np.cumsum(self.size[positions]) // GENERAL_BYTES
        for part in np.split(positions, np.flatnonzero(np.diff(batch)) + 1):
            with reading(self._table.name):
                found += _views(self._table.fetch_blobs(self.column, self._ids[part].tolist()))
        return found

    def _direct(self, positions: NDArray[np.intp], parts: list[memoryview]) -> None:
        files, ats = self._file[positions].tolist(), self._at[positions].tolist()
        for mapped in {file: self._mapped[file] for file in set(files) & self._mapped.keys()}.values():
            mapped.check()
        with self._lock:
            for file, at, part in zip(files, ats, parts, strict=True):
                if file in self._mapped:
                    part[:] = self._mapped[file].view[at : at + len(part)]
                    continue
                handle = self._open.get(file)
                if handle is None:
                    handle = self._opened(file)
                if os.preadv(handle, [part], at) != len(part):
                    self._rest(handle, part, at, file)

    def _opened(self, file: int) -> int:
        while len(self._open) >= OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        self._open[file] = os.open(self._paths[file], os.O_RDONLY)
        return self._open[file]

    def _rest(self, handle: int, part: memoryview, at: int, file: int) -> None:
        """Reads over 2 GiB, and interrupted ones, come in parts; a file that ends early is damaged."""
        done = 0
        while done < len(part):
            got = os.preadv(handle, [part[done:]], at + done)
            if not got:
                raise _short(self._paths[file])
            done += got

    def _find(self) -> None:
        """The file of every row, for the fragments where a sample reads the same both ways."""
        folder = _local(self._table)
        if folder is None:
            return
        try:
            files = data_files(folder, int(self._table.version), self.column)
        except (OSError, ValueError, LookupError):  # a manifest of another shape
            return
        tested = []
        for fragment in np.unique(self._fragment).tolist():
            rows = np.flatnonzero((self._fragment == fragment) & (self.size > 0))
            if fragment in files and len(rows) and self._place(files[fragment], rows):
                tested.append((rows, _sample(self._kind[rows], self._at[rows], self.size[rows])))
        self._trust(tested)

    def _place(self, file: Path, rows: NDArray[np.intp]) -> bool:
        """Name the files of a fragment's rows: the data file, or one of the blob files in the folder beside it."""
        kind, blob = self._kind[rows], self._blob[rows]
        if not np.isin(kind, (INLINE, PACKED, DEDICATED)).all():
            return False
        where = np.where(kind == INLINE, NOWHERE, blob)
        names, inverse = np.unique(where, return_inverse=True)
        paths = [file if b == NOWHERE else file.with_suffix("") / f"{b:032b}"[::-1] for b in names.tolist()]
        paths = [path if path == file else path.with_suffix(".blob") for path in paths]
        try:
            sizes = np.array([path.stat().st_size for path in paths], dtype=np.int64)
        except OSError:
            return False
        if (self._at[rows] + self.size[rows] > sizes[inverse]).any():
            return False
        self._file[rows] = inverse + len(self._paths)
        self._paths += paths
        return True

    def _trust(self, tested: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> None:
        """Keep the fast way only for the fragments whose samples are what Lance reads."""
        if not tested:
            return
        samples = np.concatenate([rows[at] for rows, at in tested])
        theirs, ours = self.general(samples), self.read(samples)
        same = np.array([a == b for a, b in zip(theirs, ours, strict=True)])
        start = 0
        for rows, at in tested:
            if not same[start : start + len(at)].all():
                self._file[rows] = NOWHERE
            start += len(at)
        self._map()

    def _map(self) -> None:
        """Map the files that hold many blobs, where together they are few and small: a copy costs less than a read."""
        used = np.unique(self._file[(self._file != NOWHERE) & (self._kind != DEDICATED)]).tolist()
        if len(used) <= OPEN_FILES and sum(self._paths[file].stat().st_size for file in used) <= MAPPED_BYTES:
            self._mapped = {file: Mapped(self._paths[file]) for file in used}

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            for mapped in self._mapped.values():
                mapped.close()
            self._mapped = {}

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()


class Mapped:
    """A file in memory. One that was cut short since would end the process when read, so it is asked first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        content = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        content.madvise(mmap.MADV_WILLNEED)
        self.view = memoryview(content)

    def check(self) -> None:
        if os.fstat(self._file.fileno()).st_size < len(self.view):
            raise _short(self.path)

    def close(self) -> None:
        self._file.close()


class Buffers:
    """Memory for batches, used again once nothing looks at it: new memory costs as much as the read itself."""

    def __init__(self) -> None:
        self._spare: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self, size: int) -> NDArray[np.uint8]:
        with self._lock:
            for i in range(len(self._spare)):
                if sys.getrefcount(self._spare[i]) <= 2 and len(self._spare[i]) >= size:  # this list, and the question
                    return self._spare[i]
            self._spare = [b for b in self._spare if sys.getrefcount(b) > 3][-SPARE_BUFFERS:]
            buffer: NDArray[np.uint8] = np.empty(size + size // 8, dtype=np.uint8)
            if len(self._spare) < SPARE_BUFFERS:
                self._spare.append(buffer)
            return buffer


def _sample(kind: NDArray[np.int64], at: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.intp]:
    """One row of each kind in a fragment: nearest to a size that tells much and costs little, farthest in its file."""
    order = np.lexsort((-at, np.abs(size - SAMPLE_BYTES), kind))
    return order[np.unique(kind[order], return_index=True)[1]]


def _short(path: Path) -> SpeciateError:
    return SpeciateError(f"cannot read {path}", "it ends too early", "type `speciate fsck`")


def _local(table: Any) -> Path | None:
    """The folder of a table on this machine."""
    uri = str(table.uri).removeprefix("file://")
    folder = Path(uri)
    return folder if "://" not in uri and folder.is_dir() else None


def _numbers(column: pa.ChunkedArray, kind: type) -> NDArray[Any]:
    return np.asarray(column.to_numpy(), dtype=kind)


def _part(there: pa.StructArray, name: str) -> NDArray[np.int64]:
    return np.asarray(there.field(name).fill_null(0), dtype=np.int64)


def _views(contents: pa.LargeBinaryArray) -> list[Content]:
    """An Arrow array as parts of its own buffer."""
    _, offsets, values = contents.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[contents.offset : contents.offset + len(contents) + 1].tolist()
    whole = memoryview(values if values is not None else b"").cast("B")
    valid = contents.is_valid().to_pylist()
    return [whole[ends[i] : ends[i + 1]] if valid[i] else None for i in range(len(contents))]
