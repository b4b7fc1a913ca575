"""The files that the rows of an export point at: they lie beside the rows, under the hash of what they hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa

from speciate import Row, SpeciateError
from speciate.files import sync
from speciate_datasets import references
from speciate_datasets.keep import Keeper
from speciate_datasets.scan import Scan

__all__ = ["attach", "detach", "pointed"]

FOLDER = "files"
NAME = re.compile(r"[0-9a-f]{32}(\.[a-z0-9]{1,8})?")


def attach(scan: Scan, folder: Path) -> list[str]:
    """Copy each file that a row points at; their names."""
    root = scan.store.root.absolute()
    there = scan.store.scan(scan.table, list(references.COLUMNS), scan.version)
    (folder / FOLDER).mkdir()
    found: dict[str, None] = {}
    once = {row["uri_hash"]: row for row in there.to_pylist()}
    for row in once.values():
        path = references.restored(row, root, whole=True)
        name = row["uri_hash"] + (path.suffix.lower() if NAME.fullmatch("0" * 32 + path.suffix.lower()) else "")
        shutil.copyfile(path, folder / FOLDER / name)
        sync(folder / FOLDER / name)
        found[name] = None
    sync(folder / FOLDER)
    return list(found)


def detach(folder: Path, names: list[str], root: Path) -> dict[str, Row]:
    """Take the files of an export into a workspace: what now stands for each, by its hash."""
    keep, found = Keeper(root.absolute(), refer=False), {}
    for name in names:
        path = folder / FOLDER / str(name)
        if not NAME.fullmatch(str(name)) or not path.is_file():
            raise SpeciateError(f"{folder} is damaged", f"{FOLDER}/{name} is missing", "copy or export it again")
        kept = keep(path)
        if kept["uri_hash"] != path.name[:32]:
            raise SpeciateError(f"{folder} is damaged", f"{FOLDER}/{name} was changed", "copy or export it again")
        found[kept["uri_hash"]] = kept
    return found


def pointed(rows: pa.Table, kept: dict[str, Row], folder: Path) -> pa.Table:
    """Rows that point at the files as they lie in this workspace."""
    hashes = rows["uri_hash"].to_pylist()
    if lost := next((found for found in hashes if found not in kept), None):
        raise SpeciateError(f"{folder} is damaged", f"the file {lost} is missing", "export it again")
    for name, kind in references.COLUMNS.items():
        values = pa.array([kept[found][name] for found in hashes], kind)
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows
