"""Which rows and columns of a version a person means, read straight from Lance: filters are pushed down to it, and
rows that were chosen some other way (a sample, the nearest ones) are fetched by their row ids.

A filter is text somebody wrote. It only ever reads: writes go by ids. It is joined to other filters, so it must be
whole in itself: text that closes a bracket it did not open, or comments out what follows, would widen them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import SpeciateError, UsageError
from speciate.errors import unknown
from speciate_datasets import references
from speciate_datasets.blobs import ADDRESS, ROW_ID, is_blob
from speciate_datasets.lance import reading
from speciate_datasets.store import Store

BATCH = 8192  # rows
READ = 65536  # rows at once, where all are read: each batch costs a turn of Lance's event loop
BLOB_BATCH = 64  # rows with large content
QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")
ID_DIGITS = 32
HIDDEN = ("digest", "near")


class Chooser(Protocol):
    """Chooses rows in some way that Lance cannot be asked for."""

    @property
    def says(self) -> tuple[str, ...]:
        """The columns it adds."""
        ...

    def choose(self, scan: Scan) -> pa.Table:
        """`_rowid` of the chosen ones among these rows, in their order, and the columns it adds to them."""
        ...


@dataclass(frozen=True)
class Scan:
    """Rows of one version of one table: filters (text) and choosers, one after the other, and columns."""

    store: Store
    table: str
    version: int
    choices: tuple[str | Chooser, ...] = ()
    columns: tuple[str, ...] = ()
    _schema: pa.Schema | None = field(default=None, compare=False)  # read once, then handed on

    def where(self, text: str) -> Scan:
        return replace(self, choices=(*self.choices, whole(text)))

    def chosen_by(self, chooser: Chooser) -> Scan:
        return replace(self, choices=(*self.choices, chooser))

    def select(self, columns: Sequence[str]) -> Scan:
        known = [*self.schema().names, *self.names()]
        for name in columns:
            if name not in known:
                raise unknown("column", name, set(known), "name one of them")
        return replace(self, columns=tuple(dict.fromkeys(columns)))

    def schema(self) -> pa.Schema:
        if self._schema is None:
            object.__setattr__(self, "_schema", self.store.schema(self.table, self.version))
        return self._schema

    def names(self) -> list[str]:
        """The columns a person gets: those selected, or all but what is large or ours alone."""
        if self.columns:
            return list(self.columns)
        added = [name for choice in self.choices if not isinstance(choice, str) for name in choice.says]
        return [f.name for f in self.schema() if not hidden(f)] + list(dict.fromkeys(added))

    def kinds(self) -> pa.Schema:
        """The columns a person gets, with their types."""
        there = {f.name: f for f in self.schema()}
        return pa.schema([_kind(there[n]) if n in there else pa.field(n, pa.float32()) for n in self.names()])

    @property
    def plain(self) -> bool:
        """Whether filters alone choose the rows, so that Lance can do it all."""
        return all(isinstance(choice, str) for choice in self.choices)

    @property
    def filter(self) -> str:
        """The filters as one, each in brackets; a line end closes whatever a comment would hide."""
        return " AND ".join(f"({choice}\n)" for choice in self.choices if isinstance(choice, str))

    def count(self) -> int:
        if not self.plain:
            return int(self.chosen().num_rows)
        with self.explained():
            return int(self.store.open(self.table, self.version).count_rows(self.filter or None))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows that filters alone choose, with `_rowid`."""
        with self.explained():
            query = self._query(self.store.open(self.table, self.version), columns)
            return query.limit(None).to_batches(READ).read_all()

    def chosen(self) -> pa.Table:
        """`_rowid` of every chosen row, in order, and what the choosers say about it."""
        last = max((i for i, choice in enumerate(self.choices) if not isinstance(choice, str)), default=-1)
        if last < 0:
            return self.read([]).select([ROW_ID])
        chooser, after = self.choices[last], replace(self, choices=self.choices[last + 1 :])
        assert not isinstance(chooser, str)
        found = chooser.choose(replace(self, choices=self.choices[:last]))
        return found.filter(pc.is_in(found[ROW_ID], after.read([])[ROW_ID])) if after.choices else found

    def among(self, row_ids: pa.ChunkedArray) -> pa.Array:
        """Which of a few rows these filters choose."""
        if not len(row_ids):
            return row_ids
        few = f"{ROW_ID} in ({', '.join(map(str, row_ids.to_pylist()))})"
        return replace(self, choices=(*self.choices, few)).read([])[ROW_ID]

    def batches(self, columns: Sequence[str], size: int = 0) -> Iterator[pa.Table]:
        """The rows in parts, so that memory stays flat; large content is fetched for one part at a time."""
        schema = self.schema()
        blobs = [name for name in columns if name in schema.names and is_blob(schema.field(name))]
        size = size or (BLOB_BATCH if blobs else BATCH)
        table, contents = self.store.open(self.table, self.version), self.store.contents(self.table)
        referred = blobs and "uri" in schema.names
        needed = [*(["id"] if blobs else []), *(references.COLUMNS if referred else [])]
        small = list(dict.fromkeys([*(name for name in columns if name not in blobs), *needed]))
        for part in self._streamed(table, small, size) if self.plain else self._taken(table, small, size):
            for name in blobs:
                found = contents.read(name, part["id"])
                part = part.append_column(name, self._referred(part, found) if referred and found.null_count else found)
            yield part.select(list(columns))

    def _referred(self, rows: pa.Table, found: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
        """Content with that of the rows whose bytes were left in their files."""
        where = rows.select(list(references.COLUMNS)).to_pylist()
        root = self.store.root.absolute()
        pairs = zip(found.to_pylist(), where, strict=True)
        values = [references.content(at, root) if value is None and at["uri"] else value for value, at in pairs]
        return pa.array(values, pa.large_binary())

    def _streamed(self, table: Any, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        there = set(table.schema.names)  # asked once: each time is a call into Lance
        with self.explained():
            query = self._query(table, [name for name in columns if name in there] + [ADDRESS])
            yield from (pa.Table.from_batches([batch]) for batch in query.limit(None).to_batches(size))

    def _taken(self, table: Any, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        chosen, names = self.chosen(), set(table.schema.names)
        own = [name for name in columns if name in names and name not in chosen.column_names]
        for start in range(0, chosen.num_rows, size):
            part = chosen.slice(start, size).combine_chunks()
            with reading(self.table):
                there = taken(table, part[ROW_ID], own)
            for name in part.column_names:
                if name != ROW_ID:
                    there = there.append_column(name, part[name])
            yield there

    def _query(self, table: Any, columns: Sequence[str]) -> Any:
        query = table.search().select(list(columns)).with_row_id(True)
        return query.where(self.filter) if self.choices else query

    @contextmanager
    def explained(self) -> Iterator[None]:
        with reading(self.table), Explained(self.filter, self.schema):
            yield


@dataclass(frozen=True)
class Sample:
    """The n rows whose ids hash lowest: the same ones wherever the rows lie, and mostly the same when some are added.

    With a column, n of each of its values.
    """

    n: int
    seed: int
    by: str = ""

    says = ()

    def choose(self, scan: Scan) -> pa.Table:
        columns = ["id", self.by] if self.by else ["id"]
        if scan.plain:
            there = scan.read(columns)
            chosen = there.select([ROW_ID])
        else:
            chosen = scan.chosen()
            there = taken(scan.store.open(scan.table, scan.version), chosen[ROW_ID], columns)
        numbers = drawn(there["id"], self.seed)
        if self.by:
            return chosen.take(pa.array(first_of(np.argsort(numbers), there[self.by], self.n)))
        lowest = np.argpartition(numbers, self.n)[: self.n] if self.n < len(numbers) else np.arange(len(numbers))
        return chosen.take(pa.array(lowest[np.argsort(numbers[lowest])]))


class Explained:
    """Turns what Lance says about a filter into what a person can act on."""

    def __init__(self, text: str, schema: Callable[[], pa.Schema]) -> None:
        self.text, self.schema = text.replace("\n)", ")"), schema

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not self.text or isinstance(error, SpeciateError) or not isinstance(error, ValueError | RuntimeError):
            return
        there = [name for name in self.schema().names if not name.startswith("features_")]
        if found := re.search(r"No field named [\"`]*([^\"`\s]+?)[\"`]*\.? ", str(error)):
            raise unknown("column", found.group(1), there, "names are case sensitive") from error
        do = "write it like: label = 'x' and duration > 2"
        reason = re.sub(r"Error parsing statement: .*?\((sql parser error.*)\)", r"\1", str(error), flags=re.DOTALL)
        asked, exists = f"cannot filter by {self.text}", f"{reason.splitlines()[0][:200]}; columns: {', '.join(there)}"
        raise UsageError(asked, exists, do) from error


def whole(text: str) -> str:
    """A filter that means the same inside brackets beside others, or an error."""
    bare = QUOTED.sub(" ", text)
    depth, lowest = 0, 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        lowest = min(lowest, depth)
    problem = next((f"it has {mark!r} outside quotes" for mark in (";", "--", "/*", "$", "\0") if mark in bare), "")
    if re.search("['\"`]", bare):
        problem = "a quote in it is not closed"
    elif depth or lowest:
        problem = "its brackets do not match"
    if problem or not text.strip():
        do = "write one condition like: label = 'x' and duration > 2"
        raise UsageError(f"cannot filter by {text!r}", problem or "it is empty", do)
    return text


def hidden(field: pa.Field) -> bool:
    """Columns nobody sees who does not ask for them: vectors, signatures, and large content."""
    ours = field.name in HIDDEN or field.name.startswith("features_")
    return ours or pa.types.is_fixed_size_list(field.type) or is_blob(field)


def _kind(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.large_binary()) if is_blob(field) else field


def taken(table: Any, row_ids: pa.ChunkedArray, columns: Sequence[str]) -> pa.Table:
    """Rows by their row ids, in that order (Lance gives them in its own)."""
    if not len(row_ids):
        return table.search().select(list(columns)).with_row_id(True).limit(0).to_arrow()
    query = table.take_row_ids(row_ids.to_pylist()).select([*columns, ADDRESS]).with_row_id()
    there = query.to_arrow()
    return there.take(pc.index_in(row_ids, there[ROW_ID]))


def first_of(order: NDArray[np.intp], values: pa.ChunkedArray, n: int) -> NDArray[np.intp]:
    """The first n positions of each value, in the order given."""
    codes = np.asarray(values.combine_chunks().dictionary_encode(null_encoding="encode").indices)[order]
    grouped = np.argsort(codes, kind="stable")
    rank = np.arange(len(codes)) - np.searchsorted(codes[grouped], codes[grouped])
    return np.asarray(order[np.sort(grouped[rank < n])])


def drawn(ids: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """A number for each id, as random as the seed: ids are hashes, so mixing their first digits is enough."""
    mixed = np.asarray(np.random.SeedSequence(seed).generate_state(2, np.uint64), dtype=np.uint64)
    return np.concatenate([_mixed(_digits(chunk), mixed) for chunk in ids.chunks] or [np.zeros(0, np.uint64)])


def _mixed(digits: NDArray[np.uint64], mixed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = digits ^ mixed[0]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)) ^ mixed[1])


def _digits(ids: pa.Array) -> NDArray[np.uint64]:
    """The first 16 hexadecimal digits of each id as a number."""
    width = ID_DIGITS
    if not len(ids):
        return np.zeros(0, dtype=np.uint64)
    if pc.min(pc.binary_length(ids)).as_py() != width or pc.max(pc.binary_length(ids)).as_py() != width:
        raise SpeciateError("cannot sample", f"not every id is {width} hexadecimal digits", "type `speciate fsck`")
    start = int(np.frombuffer(ids.buffers()[1], dtype=np.int32, count=1, offset=ids.offset * 4)[0])
    letters = np.frombuffer(ids.buffers()[2], dtype=">u8", count=len(ids) * width // 8, offset=start)
    high, low = (_half(letters[place :: width // 8]) for place in (0, 1))
    return np.asarray((high << np.uint64(32)) | low, dtype=np.uint64)


def _half(letters: NDArray[Any]) -> NDArray[np.uint64]:
    """Eight hexadecimal letters a number, as the number they write: all eight at once."""
    x = letters.astype(np.uint64)
    x = (x & np.uint64(0x0F0F0F0F0F0F0F0F)) + np.uint64(9) * ((x >> np.uint64(6)) & np.uint64(0x0101010101010101))
    for shift, mask in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF)):
        x = (x | (x >> np.uint64(shift))) & np.uint64(mask)
    return np.asarray(x)
