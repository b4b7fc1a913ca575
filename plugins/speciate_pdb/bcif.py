"""BinaryCIF: mmCIF's tables as packed columns. Decoded here, because what a column says of its own size decides how
much memory others would give it: a file of two hundred bytes can ask for gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate_pdb.engines import Tables
from speciate_pdb.table import Broken

__all__ = ["tables"]

Array = NDArray[Any]
TYPES = {1: "i1", 2: "<i2", 3: "<i4", 4: "u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}
DEEPEST = 8  # encodings of one column, one upon another


def tables(data: bytes, most: int) -> Tables:
    """The categories of a file; no column may have more than `most` rows."""
    try:
        import msgpack
    except ImportError:
        asked = "BinaryCIF needs msgpack"
        raise SpeciateError(asked, "which this environment does not have", "type `pip install msgpack`") from None
    try:
        whole = msgpack.unpackb(data, max_str_len=len(data), max_bin_len=len(data), strict_map_key=False)
        blocks = [block for block in whole["dataBlocks"] if any(c["name"] == "_atom_site" for c in block["categories"])]
        categories = {category["name"]: category for category in blocks[0]["categories"]} if blocks else {}
    except (msgpack.exceptions.UnpackException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Broken(f"it is no BinaryCIF: {type(error).__name__} {error}") from None
    if len(blocks) > 1:
        raise Broken("it holds several structures (_atom_site twice); split it into files")

    def table(category: str) -> Mapping[str, Array]:
        found = categories.get(category.rstrip("."))
        return _columns(found, most) if found else {}

    return table


def _columns(category: Mapping[str, Any], most: int) -> dict[str, Array]:
    """Its columns, all as long as it says."""
    name = category.get("name")
    try:
        rows = int(category["rowCount"])
        if rows > most:
            raise Broken(f"its {name} has {rows:,} rows, more than {most:,}; type -o max_atoms=N if that is right")
        columns = {column["name"]: _column(column, max(rows, 1)) for column in category["columns"]}
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, Broken):
            raise
        raise Broken(f"its {name} cannot be unpacked: {type(error).__name__} {error}") from None
    for key, column in columns.items():
        if len(column) != rows:
            raise Broken(f"its {name} has {rows:,} rows, but {key} has {len(column):,}")
    return columns


def _column(column: Mapping[str, Any], most: int) -> Array:
    """A column with `.` and `?` where its mask has them."""
    values = _decode(column["data"], most)
    mask = column.get("mask")
    if mask is None:
        return values
    marks = _decode(mask, most)
    if len(marks) != len(values):
        raise Broken(f"{column['name']} has {len(values)} values and {len(marks)} marks")
    if not marks.any():
        return values
    text = values.astype("U")
    return np.where(marks == 1, ".", np.where(marks == 2, "?", text))


def _decode(data: Mapping[str, Any], most: int) -> Array:
    """Undo the encodings, the last one first; each says how much it makes, and is held to it."""
    encodings = data["encoding"]
    if len(encodings) > DEEPEST:
        raise Broken(f"a column has {len(encodings)} encodings, more than {DEEPEST}")
    values: Any = data["data"]
    for encoding in reversed(encodings):
        kind = encoding["kind"]
        if kind not in DECODERS:
            raise Broken(f"a column is encoded as {kind!r}, which is not in the specification")
        values = DECODERS[kind](values, encoding, most)
    return np.asarray(values)


def _bytes(values: bytes, encoding: Mapping[str, Any], most: int) -> Array:
    return np.frombuffer(values, TYPES[encoding["type"]])


def _fixed_point(values: Array, encoding: Mapping[str, Any], most: int) -> Array:
    found: Array = (values / encoding["factor"]).astype(TYPES[encoding["srcType"]])
    return found


def _quantized(values: Array, encoding: Mapping[str, Any], most: int) -> Array:
    low, high, steps = (encoding[name] for name in ("min", "max", "numSteps"))
    found: Array = (low + values * ((high - low) / (steps - 1))).astype(TYPES[encoding["srcType"]])
    return found


def _run_length(values: Array, encoding: Mapping[str, Any], most: int) -> Array:
    counts = values[1::2].astype(np.int64)
    size = int(encoding["srcSize"])
    if size > 4 * most + 64 or (counts < 0).any() or int(counts.sum()) != size:
        raise Broken(f"a column unpacks to {int(counts.sum()):,} values, and says {size:,} of at most {most:,}")
    return np.repeat(values[::2].astype(TYPES[encoding["srcType"]]), counts)


def _delta(values: Array, encoding: Mapping[str, Any], most: int) -> Array:
    steps = values.astype(np.int64)
    steps[:1] += int(encoding["origin"])
    return np.cumsum(steps).astype(TYPES[encoding["srcType"]])


def _integer_packed(values: Array, encoding: Mapping[str, Any], most: int) -> Array:
    """A number that does not fit is several: all but the last are the type's limit."""
    kind = values.dtype
    top, bottom = np.iinfo(kind).max, np.iinfo(kind).min
    more = (values == top) if encoding["isUnsigned"] else (values == top) | (values == bottom)
    ends = np.flatnonzero(~more)
    if len(ends) != int(encoding["srcSize"]) or (len(more) and more[-1]):
        raise Broken(f"a column unpacks to {len(ends):,} numbers, and says {encoding['srcSize']:,}")
    sums = np.cumsum(values.astype(np.int64))[ends]
    return np.diff(sums, prepend=0).astype("<u4" if encoding["isUnsigned"] else "<i4")


def _strings(values: bytes, encoding: Mapping[str, Any], most: int) -> Array:
    """Indexes into pieces of one long string; -1 is no string."""
    text = encoding["stringData"]
    offsets = _decode({"data": encoding["offsets"], "encoding": encoding["offsetEncoding"]}, len(text) + 1)
    which = _decode({"data": values, "encoding": encoding["dataEncoding"]}, most)
    if len(offsets) > len(text) + 2 or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise Broken("the strings of a column lie outside its text")
    words = [text[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)] + [""]
    if len(which) and (which.max() >= len(words) - 1 or which.min() < -1):
        raise Broken("a column names strings that it does not have")
    if max(map(len, words)) * max(len(which), len(words)) > 1 << 28:
        raise Broken("the strings of a column are too long")
    return np.array(words, dtype="U")[which]


DECODERS: dict[str, Callable[[Any, Mapping[str, Any], int], Array]] = {
    "ByteArray": _bytes,
    "FixedPoint": _fixed_point,
    "IntervalQuantization": _quantized,
    "RunLength": _run_length,
    "Delta": _delta,
    "IntegerPacking": _integer_packed,
    "StringArray": _strings,
}
