"""Versions: what each one says, how two differ, and how a person's edit makes the next.

The workspace's `datasets` table has a row for every version of a dataset's content. Feature columns and compaction
make versions of the Lance table, too, which hold the same content and have no row.
"""

from __future__ import annotations

import getpass
import hashlib
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import Row, UsageError
from speciate.contracts import STORE_COLUMNS
from speciate.errors import unknown
from speciate_datasets import mend
from speciate_datasets.blobs import is_blob
from speciate_datasets.store import KEY, Store
from speciate_datasets.stored import row_hash

EXAMPLES = 20
COMPARED = ["id", "digest", "label", "split"]
EDITABLE_NOT = ("id", "digest", "source", "row")
Places = NDArray[np.int64]


def table_of(name: str) -> str:
    return f"dataset.{name}"


def vector_columns(schema: pa.Schema) -> list[str]:
    """Where bases have left their vectors; not what teachers answered, which stands beside them."""
    there = (field for field in schema if pa.types.is_fixed_size_list(field.type))
    return [f.name for f in there if f.name.startswith("features_") and not f.name.startswith("features_answers_")]


def who() -> str:
    """The person and machine that a version is written down for."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container's user need not have a name
        return f"?@{socket.gethostname()}"


def valid(store: Store, name: str, records: Sequence[Row]) -> list[Row]:
    """The records whose version still is what they say: not one that was damaged and whose number was given again."""
    lost = mend.lost(store.root, table_of(name))
    return [row for row in records if row["version"] not in lost or row["time"] > lost[row["version"]]]


def resolve(store: Store, name: str, records: Sequence[Row], at: str | int | None) -> Row:
    """The record of a version, told by its number or tag; without one, the newest that can be opened."""
    if at is None or at == "":
        for row in reversed(records):
            if not store.damage(table_of(name), row["version"]):
                return row
        raise unknown(f"version of {name}", "newest", {str(row["version"]) for row in records}, "type `speciate fsck`")
    by_version = {str(row["version"]): row for row in records}
    word = str(at)
    if word not in by_version:
        tags = {tag: str(version) for tag, version in store.tags(table_of(name)).items()}
        names = {*by_version, *(tag for tag, version in tags.items() if version in by_version)}
        if word not in names:
            raise unknown(f"version of {name}", word, names, f"type {name}@NUMBER or {name}@TAG")
        word = tags[word]
    if why := store.damage(table_of(name), by_version[word]["version"]):
        do = f"type `speciate log {name}` for those that are kept"
        raise UsageError(f"version {word} of {name} cannot be read", why, do)
    return by_version[word]


def log(store: Store, name: str, records: Sequence[Row]) -> list[Row]:
    """A line for each version, oldest first, with its tags and whether it can still be read."""
    tags: dict[int, list[str]] = {}
    for tag, version in store.tags(table_of(name)).items():
        tags.setdefault(version, []).append(tag)
    there = set(store.sums(table_of(name)).versions())
    keys = ("version", "time", "who", "kind", "why", "rows", "content", "schema")
    return [
        {key: row.get(key, "") for key in keys}
        | {"tags": sorted(tags.get(row["version"], [])), "kept": row["version"] in there}
        for row in records
    ]


def schema_hash(schema: pa.Schema) -> str:
    """Of the columns that hold content: features come and go."""
    fields = sorted(f"{field.name}:{field.type}" for field in schema if not pa.types.is_fixed_size_list(field.type))
    return hashlib.blake2b("\n".join(fields).encode(), digest_size=8).hexdigest()


def diff(store: Store, name: str, a: int, b: int) -> dict[str, Any]:
    """What is different in version b: counts, and some ids of each kind."""
    table = table_of(name)
    with ThreadPoolExecutor(2) as pool:
        before, after = pool.map(lambda at: store.scan(table, COMPARED, at).combine_chunks(), (a, b))
    at = _places(after["id"].combine_chunks(), before["id"].combine_chunks())
    new, both = np.flatnonzero(at < 0), np.flatnonzero(at >= 0)
    was = at[both]
    gone = np.ones(before.num_rows, dtype=bool)
    gone[was] = False
    differs = {column: _differs(before[column], was, after[column], both) for column in COMPARED[1:]}
    changed = np.flatnonzero(differs["digest"] | differs["label"] | differs["split"])
    relabelled = np.flatnonzero(differs["label"])
    names = {version: _columns(store.schema(table, version)) for version in (a, b)}
    return {
        "dataset": name,
        "from": a,
        "to": b,
        "added": _listed(new.size, after, new),
        "removed": _listed(int(gone.sum()), before, np.flatnonzero(gone)),
        "changed": _listed(changed.size, after, both[changed]),
        "relabelled": _moved("label", before, after, was[relabelled], both[relabelled]),
        "resplit": _moved("split", before, after, *(x[np.flatnonzero(differs["split"])] for x in (was, both))),
        "columns": {"added": sorted(names[b] - names[a]), "removed": sorted(names[a] - names[b])},
    }


def added_since(store: Store, name: str, since: int, version: int) -> list[str]:
    """The ids of rows that an older version did not have."""
    before, after = (store.scan(table_of(name), ["id"], at)["id"] for at in (since, version))
    found: list[str] = after.filter(pc.invert(pc.is_in(after, before.combine_chunks()))).to_pylist()
    return sorted(found)


def edited(store: Store, name: str, rows: pa.Table, content: Sequence[str]) -> pa.Table:
    """A person's rows as they are merged: only what may be edited, with the digest that they now have."""
    taken = {*EDITABLE_NOT, *content} - {"id"}
    if "id" not in rows.column_names or (wrong := taken & set(rows.column_names)):
        exists = "an edit names rows by id, and leaves alone " + ", ".join(sorted(taken))
        raise UsageError(f"cannot edit {', '.join(sorted(wrong)) if 'id' in rows.column_names else 'rows'}", exists)
    table = table_of(name)
    schema = store.schema(table)
    said = [field.name for field in schema if _is_said(field) and field.name not in content]
    there = store.scan(table, ["id", "digest", *said])
    known(store, name, rows["id"].to_pylist())
    at = pc.index_in(rows["id"].combine_chunks(), there["id"].combine_chunks())
    if pc.count_distinct(rows["id"]).as_py() != rows.num_rows:
        raise UsageError("cannot edit a row twice at once", "an id is given more than once", "give each id once")
    whole = there.take(at)
    for column in rows.column_names:
        place = whole.schema.get_field_index(column)
        whole = (
            whole.append_column(column, rows[column]) if place < 0 else whole.set_column(place, column, rows[column])
        )
    digests = pa.array([_digest(row) for row in whole.drop_columns(_unsaid(whole)).to_pylist()], pa.string())
    fields = [KEY, pa.field("digest", pa.string())]
    others = [column for column in rows.column_names if column != "id"]
    fields += [schema.field(c) if c in schema.names else rows.schema.field(c) for c in others]
    columns = [rows["id"], digests, *(rows[c].cast(f.type) for c, f in zip(others, fields[2:], strict=True))]
    return pa.table(columns, schema=pa.schema(fields))


def alters(store: Store, name: str, rows: pa.Table, version: int) -> bool:
    """Whether an edit says anything that this version does not."""
    columns = [column for column in rows.column_names if column != "digest"]
    if not set(columns) <= set(store.schema(table_of(name), version).names):
        return True
    there = store.scan(table_of(name), columns, version)
    at = pc.index_in(rows["id"].combine_chunks(), there["id"].combine_chunks())
    return bool(at.null_count) or not there.take(at).select(columns).equals(rows.select(columns))


def known(store: Store, name: str, ids: Sequence[str], version: int | None = None) -> None:
    """Refuse ids that the dataset does not have, or did not have in a version."""
    if not ids:
        return
    there = store.scan(table_of(name), ["id"], version)["id"].combine_chunks()
    strange = [
        word for word, at in zip(ids, pc.is_in(pa.array(ids, pa.string()), there).to_pylist(), strict=True) if not at
    ]
    if strange:
        exists = f"{len(strange)} of {len(ids)} ids are not there: {', '.join(strange[:3])}"
        raise UsageError(f"cannot edit rows that {name} does not have", exists, "take the ids from the dataset")


def _places(ids: pa.Array, among: pa.Array) -> Places:
    """Where each id is among others, -1 where it is not: by 64 bits of it, checked, which is three times faster."""
    ids, among = (
        part.chunk(0) if isinstance(part, pa.ChunkedArray) and part.num_chunks else part for part in (ids, among)
    )
    if len(ids) and len(among):
        keys, others = _keys(ids), _keys(among)
        mine, order = np.argsort(keys), np.argsort(others)
        ordered = others[order]
        place = np.minimum(np.searchsorted(ordered, keys[mine]), len(among) - 1)
        at: Places = np.empty(len(ids), dtype=np.int64)
        at[mine] = np.where(ordered[place] == keys[mine], order[place], -1)
        both = np.flatnonzero(at >= 0)
        if ids.take(pa.array(both)).equals(among.take(pa.array(at[both]))):
            return at
    return np.asarray(pc.fill_null(pc.index_in(ids, among), -1)).astype(np.int64)


def _keys(ids: pa.Array) -> NDArray[np.uint64]:
    """The first 16 of 32 hex digits, mixed into one number."""
    data = np.frombuffer(ids.buffers()[2], np.uint8, len(ids) * 32, ids.offset * 32)
    words = data.reshape(-1, 32)[:, :16].copy().view(np.uint64)
    keys: NDArray[np.uint64] = words[:, 0] * np.uint64(0x9E3779B97F4A7C15) + words[:, 1]
    return keys


def _unsaid(table: pa.Table) -> list[str]:
    return [column for column in table.column_names if column == "split"]


def _digest(row: Mapping[str, Any]) -> str:
    """In its first half what the file said, which is all that an add compares: so an edit wins until the file says
    something else. In its second half what the row says now."""
    said = {k: value for k, value in row.items() if k != "digest" and (value is not None or k == "label")}
    return str(row["digest"])[:16] + row_hash(said)[16:]


def _is_said(field: pa.Field) -> bool:
    """Whether a column is part of what a row says beside its content: its digest covers it."""
    ours = field.name in STORE_COLUMNS and field.name not in ("label", "group")
    return not (
        ours or is_blob(field) or pa.types.is_fixed_size_list(field.type) or pa.types.is_fixed_size_binary(field.type)
    )


def _differs(old: pa.ChunkedArray, was: Places, new: pa.ChunkedArray, both: Places) -> NDArray[np.bool_]:
    """Where two columns differ, null being a value of its own."""
    one, other = old.take(pa.array(was)), new.take(pa.array(both))
    differs = pc.fill_null(pc.not_equal(one, other), False)
    if one.null_count or other.null_count:
        differs = pc.or_(differs, pc.xor(pc.is_null(one), pc.is_null(other)))
    return np.asarray(differs)


def _listed(count: int, table: pa.Table, places: Places) -> dict[str, Any]:
    ids = table["id"].take(pa.array(places[:EXAMPLES])).to_pylist()
    return {"count": int(count), "examples": ids}


def _moved(column: str, before: pa.Table, after: pa.Table, was: Places, now: Places) -> dict[str, Any]:
    old = before[column].take(pa.array(was[:EXAMPLES])).to_pylist()
    new = after.select(["id", column]).take(pa.array(now[:EXAMPLES])).to_pylist()
    return {
        "count": int(now.size),
        "examples": [{"id": row["id"], "old": o, "new": row[column]} for o, row in zip(old, new, strict=True)],
    }


def _columns(schema: pa.Schema) -> set[str]:
    return {field.name for field in schema if not pa.types.is_fixed_size_list(field.type)}
