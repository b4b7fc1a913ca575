"""Datasets that others made, brought in through the ordinary `add`: Parquet files, and folders that Hugging Face's
`save_to_disk` wrote, which are read as the Arrow streams they are, without that package."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from speciate import SpeciateError, UsageError
from speciate.contracts import Added
from speciate.files import read_json
from speciate_datasets.splits import ALIASES

__all__ = ["from_huggingface", "from_parquet"]

Add = Callable[..., Added]
PLAIN = re.compile(r"[\w.=-]+")


def from_parquet(add: Add, path: str | Path, name: str, format: str = "text", **asked: Any) -> Added:
    """A Parquet file, or a folder of them, read by a format that knows Parquet."""
    return add(name, path, format=format, **asked)


def from_huggingface(add: Add, folder: str | Path, name: str, format: str = "text", **asked: Any) -> Added:
    """A folder written by `save_to_disk`. Labels that are numbers there get their names, splits keep theirs. It needs
    as much free space for temporary files as the folder has."""
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="speciate-") as place:
        for split, part in _splits(folder).items():
            for file, rows in _shards(part):
                path = Path(place) / f"{split or 'all'}-{file}.parquet"
                _copy(rows, path, split, _names(part))
        return add(name, place, format=format, **asked)


def _splits(folder: Path) -> dict[str, Path]:
    """The folders of the splits by name; one that was not split has none."""
    if (folder / "dataset_dict.json").is_file():
        names = read_json(folder / "dataset_dict.json").get("splits", [])
        if not all(isinstance(name, str) and PLAIN.fullmatch(name) and name.strip(".") for name in names):
            raise SpeciateError(f"{folder} is damaged", f"it names splits {names}", "save it to disk again")
        return {name: folder / name for name in names}
    if (folder / "state.json").is_file():
        return {"": folder}
    exists = "it has neither dataset_dict.json nor state.json"
    raise UsageError(f"{folder} is no dataset of Hugging Face's", exists, "write one with save_to_disk(folder)")


def _shards(folder: Path) -> Iterator[tuple[str, pa.RecordBatchReader]]:
    for entry in read_json(folder / "state.json").get("_data_files", []):
        file = str(entry.get("filename", ""))
        if not PLAIN.fullmatch(file) or not (folder / file).is_file():
            raise SpeciateError(f"{folder} is damaged", f"there is no {file}", "save it to disk again")
        try:
            with pa.memory_map(str(folder / file)) as source:
                yield Path(file).stem, pa.ipc.open_stream(source)
        except pa.ArrowInvalid as error:
            raise SpeciateError(f"cannot read {folder / file}", str(error), "save it to disk again") from error


def _names(folder: Path) -> Mapping[str, list[str]]:
    """The names behind the numbers of each column of classes."""
    about = folder / "dataset_info.json"
    features = (read_json(about).get("features") or {}) if about.is_file() else {}
    return {
        column: kind["names"]
        for column, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and kind.get("names")
    }


def _copy(rows: pa.RecordBatchReader, path: Path, split: str, names: Mapping[str, list[str]]) -> None:
    writer = None
    for batch in rows:
        table = pa.Table.from_batches([batch])
        for column in set(names) & set(table.column_names):
            words = pa.array([*names[column], None], pa.string())
            places = [len(names[column]) if v is None or v < 0 else v for v in table[column].to_pylist()]
            table = table.set_column(table.column_names.index(column), column, words.take(pa.array(places, pa.int64())))
        if split.lower() in ALIASES and "split" not in table.column_names:
            table = table.append_column("split", pa.array([ALIASES[split.lower()]] * len(table), pa.string()))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
