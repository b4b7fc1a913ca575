"""What Lance cannot do: steps that make rows into other rows, part by part where that is possible."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from speciate import Row, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_datasets.scan import BATCH, Scan, first_of, whole
from speciate_datasets.spool import to_arrow
from speciate_datasets.store import Store, to_rows

__all__ = ["Parts", "Step", "filtered", "gathered", "joined", "mapped", "queried", "sampled", "selected"]

Parts = Iterator[pa.Table]
Step = Callable[[Parts], Parts]
HOW = {"left": "left outer", "inner": "inner"}


def gathered(parts: Iterable[pa.Table]) -> pa.Table:
    """All parts as one table; whole numbers in one part and fractions in another are fractions."""
    tables = list(parts)
    try:
        return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise SpeciateError("the rows do not fit one table", str(error), "give each column one type") from error


def mapped(function: Callable[[Row], Row | None]) -> Step:
    """Each row through a function; None leaves it out."""

    def step(parts: Parts) -> Parts:
        for part in parts:
            rows = [row for row in map(function, to_rows(part)) if row is not None]
            if wrong := next((row for row in rows if not isinstance(row, dict)), None):
                exists = f"it gave a {type(wrong).__name__}"
                raise UsageError("map needs a function of a row that returns a row", exists, "return a dict or None")
            if rows:
                yield to_arrow(rows)

    return step


def selected(columns: Sequence[str]) -> Step:
    def step(parts: Parts) -> Parts:
        for part in parts:
            for name in columns:
                if name not in part.column_names:
                    raise unknown("column", name, set(part.column_names), "name one of them")
            yield part.select(list(columns))

    return step


def sampled(n: int, seed: int, by: str) -> Step:
    """Rows at random; only their numbers are drawn from what went before."""

    def step(parts: Parts) -> Parts:
        table = gathered(parts)
        order = np.random.default_rng(seed).permutation(table.num_rows)
        if by:
            if by not in table.column_names:
                raise unknown("column", by, set(table.column_names), "name one of them")
            order = first_of(order, table[by], n)
        yield table.take(pa.array(order if by else order[:n]))

    return step


def filtered(text: str) -> Step:
    """A filter over rows that exist nowhere yet: they are put in a table of their own for as long as it takes."""
    whole(text)

    def step(parts: Parts) -> Parts:
        table = gathered(parts)
        with tempfile.TemporaryDirectory(prefix="speciate-") as folder:
            if not table.num_columns:
                return
            scratch = Store(Path(folder))
            scratch.append("rows", table)
            yield from Scan(scratch, "rows", scratch.version("rows")).where(text).batches(table.column_names)

    return step


def joined(other: pa.Table, on: Sequence[str], how: str) -> Step:
    """Columns of another table beside those of the rows with equal values of `on`; rows keep their order."""
    if how not in HOW:
        raise unknown("join", how, HOW, "name one of them")
    for name in on:
        if name not in other.column_names:
            raise unknown("column", name, set(other.column_names), "join on a column that both have")

    def step(parts: Parts) -> Parts:
        for part in parts:
            for name in on:
                if name not in part.column_names:
                    raise unknown("column", name, set(part.column_names), "join on a column that both have")
            place = "_place_"
            numbered = part.append_column(place, pa.array(range(part.num_rows), pa.int64()))
            try:
                both = numbered.join(other, list(on), join_type=HOW[how], right_suffix="_right")
            except pa.ArrowInvalid as error:
                do = "give both the same type, and select columns of plain values"
                raise UsageError(f"cannot join on {', '.join(on)}", str(error).splitlines()[0], do) from error
            yield both.sort_by(place).drop_columns([place])

    return step


def queried(query: str) -> Step:
    """SQL over the rows as the table `dataset`, in a DuckDB that can reach nothing else."""

    def step(parts: Parts) -> Parts:
        duckdb, table = _duckdb(), gathered(parts)
        alone = {"enable_external_access": False, "python_enable_replacements": False, "lock_configuration": True}
        with contextlib.closing(duckdb.connect(":memory:", config=alone)) as connection:
            connection.register("dataset", table)
            try:
                result = connection.sql(query)
                found = pa.table({}) if result is None else result.to_arrow_table()
            except duckdb.Error as error:
                exists = f"{str(error).splitlines()[0]}; columns of dataset: {', '.join(table.column_names)}"
                raise UsageError(f"cannot run {query!r}", exists, "write it like: select label from dataset") from error
        yield from (found.slice(start, BATCH) for start in range(0, max(found.num_rows, 1), BATCH))

    return step


def _duckdb() -> ModuleType:
    try:
        import duckdb  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        do = "type `pip install 'speciate[sql]'`"
        raise SpeciateError("sql needs DuckDB", "it is not installed", do) from error
    module: Any = duckdb
    return module  # type: ignore[no-any-return]
