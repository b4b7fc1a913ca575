"""fsck: is every stored byte what was written, and does every row's content still have the hash it is named by?

Files are compared with their checksums here, where nothing is parsed. Rows are read in a process of their own, because
Lance may abort on a damaged file: `python -m speciate_datasets.fsck ROOT TABLE VERSION COLUMN=TYPE... `.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from speciate import Row
from speciate_datasets import mend
from speciate_datasets.store import Store
from speciate_datasets.sums import HINT, MANIFESTS, manifest_of, stems
from speciate_datasets.tidy import HOLD

SHOWN = 100  # damaged rows named for each table
BATCH = 4096
BLOB_BYTES = 64 << 20


def check(store: Store, name: str, version: int | None = None, content: Sequence[str] = ()) -> dict[str, Any]:
    """One table: its files, then the rows of its newest or of the given version."""
    store.settle(name)
    damaged = files(store, name)
    sums = store.sums(name)
    at = version or next(iter(sums.versions()), None)
    rows = 0
    if at is not None:
        rows, found = _rows(store.root, name, at, content)
        damaged += found
    return {
        "table": name,
        "version": at,
        "rows": rows,
        "files": len(sums.known()),
        "lost": sorted(mend.lost(store.root, name)),
        "damaged": damaged,
    }


def files(store: Store, name: str) -> list[Row]:
    """Files that differ from their checksum, and those that a version needs and are not there."""
    sums = store.sums(name)
    known, there = dict(sums.known()), set(sums.files())
    wrong = sorted(file for file in there & known.keys() if not sums.compare(file))
    damaged = [_entry(name, file, "is not what was written") for file in wrong]
    damaged += [_entry(name, file, "is missing") for file in sorted(_missing(store, name, known, there))]
    if not sums.path.exists() and there:
        damaged.append(_entry(name, str(sums.path.relative_to(store.root)), "is missing: files have no checksums"))
    elif stray := sums.unreadable():
        damaged.append(_entry(name, str(sums.path.relative_to(store.root)), f"{stray} lines cannot be read"))
    if not sums.hinted():
        damaged.append(_entry(name, f"{MANIFESTS}/{HINT}", "names another version; the next commit mends it"))
    unlisted = sorted(file for file in there - known.keys() if file.startswith((MANIFESTS, "_refs")))
    damaged += [_entry(name, file, "has no checksum: it was not acknowledged") for file in unlisted]
    return damaged


def _entry(table: str, file: str, what: str) -> Row:
    return {"table": table, "file": file, "rows": [], "source": "", "what": what}


def _missing(store: Store, name: str, known: dict[str, Any], there: set[str]) -> set[str]:
    """Of the files that had a checksum and are gone, those that a version which is there names."""
    gone = known.keys() - there
    versions = store.sums(name).versions()
    listed = [2**64 - 1 - int(Path(file).stem) for file in gone if file.endswith(".manifest")]
    newest = {manifest_of(version) for version in listed if not versions or version > versions[0]}
    tags = {file for file in gone if file.startswith("_refs") and Path(file).stem != HOLD}
    named = set()
    for version in versions:
        named |= stems((store.sums(name).folder / manifest_of(version)).read_bytes())
    return newest | tags | {file for file in gone if file.startswith("data/") and _stem(file) in named}


def _stem(file: str) -> str:
    return file.split("/")[1].removesuffix(".lance")


def _rows(root: Path, name: str, version: int, content: Sequence[str]) -> tuple[int, list[Row]]:
    """Read every row in another process; however that ends, this one goes on."""
    command = [sys.executable, "-m", "speciate_datasets.fsck", str(root), name, str(version), *content]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and line.endswith("}")]
    rows = max((line["rows"] for line in lines if "read" in line), default=0)
    bad = [line for line in lines if "id" in line]
    damaged = [
        {"table": name, "file": "", "rows": [line["id"]], "source": line["source"], "what": line["what"]}
        for line in bad[:SHOWN]
    ]
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
        how = f"signal {-done.returncode}" if done.returncode < 0 else "an error"
        damaged.append(_entry(name, "", f"version {version} cannot be read: {how}: {said}"))
    return rows, damaged


# --- the other process --------------------------------------------------------------------------------------------


def main(root: str, name: str, version: str, *content: str) -> None:
    read = 0
    for row in _contents(Store(Path(root)), name, int(version), content):
        if "n" in row:
            read += row["n"]
            print(json.dumps({"read": True, "rows": read}), flush=True)  # noqa: T201
        else:
            print(json.dumps(row), flush=True)  # noqa: T201


def _contents(store: Store, name: str, version: int, content: Sequence[str]) -> Iterator[Row]:
    """For each batch its damaged rows, then its size."""
    from speciate_datasets.references import file_column

    table, large = store.open(name, version), store.contents(name)
    file = file_column(table.schema)
    blobs = [column for column in content if column in large.columns]
    if not content:
        for batch in table.search().limit(None).to_batches():
            yield {"n": batch.num_rows}
        return
    wanted = {*content, "id", "source", "row", "uri", "uri_size", "uri_mtime", "uri_hash"}
    small = [column for column in table.schema.names if column in wanted]
    for batch in table.search().select(small).with_row_id(True).limit(None).to_batches():
        rows = batch.to_pylist()
        for start in range(0, len(rows), 64 if blobs else BATCH):
            part = rows[start : start + (64 if blobs else BATCH)]
            for column in blobs:
                found = large.read(column, pa.array([row["id"] for row in part])).to_pylist()
                for row, value in zip(part, found, strict=True):
                    row[column] = value
            yield from _wrong(store.root, part, content, blobs, file)
        yield {"n": len(rows)}


def _wrong(root: Path, rows: Sequence[Row], content: Sequence[str], blobs: Sequence[str], file: str) -> Iterator[Row]:
    from speciate import SpeciateError
    from speciate_datasets import references
    from speciate_datasets.stored import row_hash

    whole: dict[str, Path] = {}
    for row in rows:
        what = "its content is not what was added"
        try:
            if file:
                whole[row["uri"]] = whole.get(row["uri"]) or references.restored(row, root, whole=True)
                row[file] = row["uri_hash"]
            elif row.get("uri"):
                row |= {column: references.content(row, root) for column in blobs if row[column] is None}
            if row_hash({column: row[column] for column in content}) == row["id"]:
                continue
        except SpeciateError as error:
            what = error.asked
        yield {"id": row["id"], "source": f"{row['source']} row {row['row']}", "what": what}


if __name__ == "__main__":
    main(*sys.argv[1:])
