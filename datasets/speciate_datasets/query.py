"""The Dataset people curate with: lazy and immutable.

    news = Dataset(engine, "news")
    news.filter("label = 'oil' and split = 'train'").sample(20).to_jsonl(path)
    news = news.similar(row_id, k=50).relabel("oil", why="looked at them")

Steps only say what is meant; rows are read when asked for, in batches. Rows come in the order they are stored, which
for one version never changes. Filters are text, and read only. What changes rows makes a new version and gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from speciate import Row, SpeciateError, UsageError
from speciate.catalog import Catalog, installed
from speciate.contracts import STORE_COLUMNS
from speciate.errors import unknown
from speciate_datasets import export, steps
from speciate_datasets.html import page, previews
from speciate_datasets.scan import BATCH, Sample, Scan
from speciate_datasets.search import Encode, Nearest, Words, vector_of
from speciate_datasets.splits import named
from speciate_datasets.spool import to_arrow
from speciate_datasets.store import KEY, to_rows
from speciate_datasets.stored import as_shown

__all__ = ["Dataset"]

SHOWN = 10  # rows in a notebook
COLUMN = re.compile(r"[^\W_][^.`\0]{0,127}")


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Rows of one version of a dataset, and what is to be done with them."""

    engine: Any
    name: str
    version: int | None = None
    catalog: Catalog | None = field(default=None, kw_only=True)  # without one, all that is installed here
    _scan: Scan | None = field(default=None, kw_only=True)
    _steps: tuple[steps.Step, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self._scan is None:
            there = self.engine.dataset(self.name, self.version)
            object.__setattr__(self, "version", there.version)
            object.__setattr__(self, "_scan", Scan(self.engine.store, f"dataset.{self.name}", there.version))

    @property
    def store(self) -> Any:
        """Where the rows lie: a training loader reads from it."""
        return self.engine.store

    # --- steps ----------------------------------------------------------------------------------------------------

    def filter(self, condition: str) -> Dataset:
        """Rows for which an SQL condition holds: `label = 'x' and duration > 2`."""
        return self._then(steps.filtered(condition)) if self._steps else self._read(self._rows.where(condition))

    def split(self, name: str) -> Dataset:
        """The rows of train, dev or test, or those that were put aside."""
        split = name if name == "aside" else named(name, UsageError)
        if not split:
            raise UsageError("which split?", "there is: train, dev, test, aside", "name one of them")
        return self.filter(f"split = '{split}'")

    def select(self, *columns: str) -> Dataset:
        """These columns; the only way to those that are hidden: vectors, signatures, large content."""
        if not columns:
            raise UsageError("select needs columns", f"there is: {', '.join(self.columns)}", "name some of them")
        return self._then(steps.selected(columns)) if self._steps else self._read(self._rows.select(columns))

    def sample(self, n: int, seed: int = 0, by: str = "") -> Dataset:
        """n rows at random, the same ones for the same seed; with a column, n for each of its values."""
        if n < 0:
            raise UsageError(f"cannot sample {n} rows", "", "give a number from 0")
        if self._steps:
            return self._then(steps.sampled(n, seed, by))
        if by and by not in self._rows.schema().names:
            raise unknown("column", by, set(self.columns), "name one of them")
        return self._read(self._rows.chosen_by(Sample(n, seed, by)))

    def join(self, other: Dataset | pa.Table | Sequence[Row], on: str | Sequence[str], how: str = "left") -> Dataset:
        """Columns of another dataset, table or list of rows, where `on` is equal. `inner` leaves out rows without any.

        A column that both have comes twice, the other's with `_right` behind its name.
        """
        keys = [on] if isinstance(on, str) else list(on)
        table = other.to_arrow() if isinstance(other, Dataset) else other
        return self._then(steps.joined(table if isinstance(table, pa.Table) else to_arrow(table), keys, how))

    def map(self, function: Callable[[Row], Row | None]) -> Dataset:
        """Each row through a function that returns a row, or None to leave it out; run again at every reading."""
        return self._then(steps.mapped(function))

    def sql(self, query: str) -> Dataset:
        """`select label, count(*) as n from dataset group by label`, by DuckDB over these rows in memory."""
        return self._then(steps.queried(query))

    def search(
        self, words: str, k: int = 10, column: str = "", encode: Encode | None = None, base: str = ""
    ) -> Dataset:
        """The k rows that say most of these words, best first, with a `score`; an `encode` function searches by
        meaning instead, among the vectors that a base has left."""
        if encode is not None:
            return self.similar(encode(words), k, base)
        return self._read(self._start("search").chosen_by(Words(words, k, column, self._newest())))

    def similar(self, to: str | Row | Sequence[float], k: int = 10, base: str = "") -> Dataset:
        """The k rows nearest to a row (itself, or its id) or to a vector, nearest first, with a `score` (cosine)."""
        scan = self._start("similar")
        itself = None
        if isinstance(to, str | dict):
            to, itself = vector_of(scan, to if isinstance(to, str) else to.get("id", ""), base)
        return self._read(scan.chosen_by(Nearest(tuple(map(float, to)), k, base, itself, self._newest())))

    # --- reading --------------------------------------------------------------------------------------------------

    def count(self) -> int:
        if not self._steps:
            return self._rows.count()
        return sum(part.num_rows for part in self._parts())

    def __len__(self) -> int:
        if self._steps:  # `list(dataset)` asks too, and would run everything twice
            raise TypeError("the length is not known before the rows are made; count() makes them")
        return self.count()

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Row]:
        for part in self._parts():
            yield from to_rows(part)

    def rows(self) -> list[Row]:
        return list(iter(self))

    def batches(self, size: int = BATCH) -> Iterator[pa.Table]:
        """Tables of at most `size` rows; no more than a few of them are in memory."""
        for part in self._parts(size):
            yield from (part.slice(start, size) for start in range(0, part.num_rows, size))

    def head(self, n: int = 10) -> list[Row]:
        found: list[Row] = []
        for part in self._parts(max(1, min(n, BATCH))):
            found += to_rows(part.slice(0, n - len(found)))
            if len(found) >= n:
                break
        return found

    def to_arrow(self) -> pa.Table:
        return steps.gathered(self._parts()) if self._steps else self._whole()

    def to_pandas(self) -> Any:
        try:
            import pandas  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
        except ImportError as error:
            raise SpeciateError("to_pandas needs pandas", "it is not installed", "type `pip install pandas`") from error
        return self.to_arrow().to_pandas()

    def to_parquet(self, path: str | Path) -> Path:
        """One Parquet file, which appears when it is whole."""
        return export.parquet(Path(path), self._parts(), self.schema if not self._steps else None)

    def to_jsonl(self, path: str | Path) -> Path:
        """One JSON object a line; bytes as base64."""
        return export.jsonl(Path(path), iter(self))

    @property
    def schema(self) -> pa.Schema:
        return self._part.schema

    @property
    def columns(self) -> list[str]:
        return list(self._part.schema.names) if self._steps else self._rows.names()

    # --- changing -------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """The ids of the rows."""
        if not self._steps:
            return [i for part in self._rows.batches(["id"], BATCH) for i in part["id"].to_pylist()]
        if "id" not in self._part.schema.names:
            raise UsageError("these rows have no id", "a step before left it out", "keep the column id")
        return list(self._then(steps.selected(["id"])).to_arrow()["id"].to_pylist())

    def relabel(self, labels: str | Mapping[str, str | None] | None, why: str = "") -> Dataset:
        """One label for all of these rows, or a label for each id; None takes it away."""
        ids = self.ids()
        if isinstance(labels, Mapping):
            if strange := set(labels) - set(ids):
                exists = f"{len(strange)} of {len(labels)} are not among these rows: {', '.join(sorted(strange)[:3])}"
                raise UsageError("cannot relabel rows that are not there", exists, "give the ids of these rows")
            return self._edit("relabel", list(labels), {"label": pa.array(list(labels.values()), pa.string())}, why)
        return self._edit("relabel", ids, {"label": pa.array([labels] * len(ids), pa.string())}, why)

    def drop(self, why: str = "") -> Dataset:
        """Without these rows; every version before still has them."""
        if not (ids := self.ids()):
            return Dataset(self.engine, self.name, self.version, catalog=self.catalog)
        version = self.engine.edit(self.name, "drop", None, ids, why)
        return Dataset(self.engine, self.name, version, catalog=self.catalog)

    def with_column(
        self, name: str, values: Callable[[Row], Any] | Mapping[str, Any] | Sequence[Any], why: str = ""
    ) -> Dataset:
        """A column of our own, from a function of a row, a value for each id, or values in the order of the rows."""
        if name in STORE_COLUMNS or name.startswith("features_") or name == "near" or not COLUMN.fullmatch(name):
            exists = "names start with a letter or digit, have no dot or backtick, and are not the store's own"
            raise UsageError(f"{name!r} cannot name a column", exists, "choose another name")
        if isinstance(values, Mapping):
            ids, found = list(values), list(values.values())
        elif callable(values):
            pairs = [(row["id"], values(row)) for row in self._with_id()]
            ids, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        else:
            ids, found = self.ids(), list(values)
        if len(ids) != len(found):
            raise UsageError(f"{name} needs a value for each row", f"{len(found)} for {len(ids)}", "give as many")
        column = to_arrow([{name: value} for value in found])[name] if found else pa.array([], pa.string())
        return self._edit("with_column", ids, {name: column}, why)

    def _edit(self, kind: str, ids: list[str], columns: Mapping[str, pa.Array], why: str) -> Dataset:
        if not ids:
            return Dataset(self.engine, self.name, self.version, catalog=self.catalog)
        schema = pa.schema([KEY, *(pa.field(name, column.type) for name, column in columns.items())])
        rows = pa.table([pa.array(ids, pa.string()), *columns.values()], schema=schema)
        version = self.engine.edit(self.name, kind, rows, (), why)
        return Dataset(self.engine, self.name, version, catalog=self.catalog)

    # --- looking --------------------------------------------------------------------------------------------------

    def counts(self, column: str) -> dict[str, int]:
        """How often each value of a column occurs, the most frequent first; rows without one as ""."""
        found = self._then(steps.selected([column])) if self._steps else self._read(self._rows.select([column]))
        values = found.to_arrow()[column].value_counts().to_pylist()
        said = [("" if value["values"] is None else str(value["values"]), value["counts"]) for value in values]
        return dict(sorted(said, key=lambda item: -item[1]))

    def export(self, folder: str | Path) -> Path:
        """This version as a portable folder, for `import_folder`."""
        if self._steps or self._rows.choices or self._rows.columns:
            exists = "these are some of its rows or columns"
            raise UsageError("only a whole version is exported", exists, "use to_parquet or to_jsonl for a part")
        return export.export(self.engine, self._rows, self.name, Path(folder))

    def __repr__(self) -> str:
        at = f"Dataset {self.name}@{self.version}"
        if self._steps:
            return f"{at}, {len(self._steps)} steps to run"
        lines = [f"{at}: {self.count():,} rows", f"  columns: {', '.join(self.columns)}"]
        for what, values in self._shares().items():
            more = f" and {len(values) - 8} more" if len(values) > 8 else ""
            lines.append(f"  {what}: {', '.join(f'{k or chr(8709)} {n:,}' for k, n in list(values.items())[:8])}{more}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = self.head(SHOWN)
        columns = self.columns if not self._steps else list(dict.fromkeys(key for row in rows for key in row))
        rest = f"{SHOWN} rows at most" if self._steps else f"{self.count():,} rows"
        title = f"{self.name}@{self.version}: {rest}"
        if self._steps:
            return page(title, columns, rows, {})
        return page(title, columns, rows, self._shares(), self._previews())

    def _previews(self) -> list[str]:
        rows = self._read(replace(self._rows, columns=())).head(SHOWN)
        return previews(self.catalog or installed(), self.engine.dataset(self.name, self.version), rows)

    def _shares(self) -> dict[str, dict[str, int]]:
        return {f"{name}s": as_shown(self.counts(name).items()) for name in ("label", "split")}

    # --- how ------------------------------------------------------------------------------------------------------

    @property
    def _rows(self) -> Scan:
        if self._scan is None:
            raise SpeciateError(f"{self.name} is not open")
        return self._scan

    @cached_property
    def _part(self) -> pa.Table:
        """The first rows, which tell the columns."""
        first = next(self._parts(32), None)
        return self._empty() if first is None else first

    def _empty(self) -> pa.Table:
        if self._steps:
            return pa.table({})
        return self._rows.kinds().empty_table()

    def _whole(self) -> pa.Table:
        parts = list(self._parts())
        return pa.concat_tables(parts) if parts else self._empty()

    def _parts(self, size: int = 0) -> Iterator[pa.Table]:
        parts: Iterator[pa.Table] = self._rows.batches(self._rows.names(), size)
        for step in self._steps:
            parts = step(parts)
        return parts

    def _with_id(self) -> Dataset:
        scan = self._rows
        return replace(self, _scan=scan.select(["id", *scan.columns])) if scan.columns and not self._steps else self

    def _start(self, what: str) -> Scan:
        if self._steps:
            exists = "these rows are made by a step before"
            raise UsageError(f"{what} looks among the rows of a dataset", exists, f"{what} first, then the other steps")
        return self._rows

    def _newest(self) -> bool:
        return bool(self.engine.dataset(self.name).version == self.version)

    def _read(self, scan: Scan) -> Dataset:
        return replace(self, _scan=scan)

    def _then(self, step: steps.Step) -> Dataset:
        return replace(self, _steps=(*self._steps, step))
