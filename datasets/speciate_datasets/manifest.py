"""Which file holds a column of a fragment: what a Lance manifest says, read without pylance.

Only what is asked is decoded (protobuf field numbers from Lance's table.proto). Whoever uses the answer compares a
value with what Lance itself reads, so a manifest of another shape costs speed and never an answer.
"""

from __future__ import annotations

import struct
from pathlib import Path

FIELDS, FRAGMENTS = 1, 2  # of a Manifest
FIELD_NAME, FIELD_ID, FIELD_PARENT = 2, 3, 4  # of a Field
FRAGMENT_ID, FRAGMENT_FILES = 1, 2  # of a DataFragment
FILE_PATH, FILE_FIELDS, FILE_BASE = 1, 2, 7  # of a DataFile
MAGIC = b"LANC"

Message = dict[int, list[bytes | int]]


def data_files(folder: Path, version: int, column: str) -> dict[int, Path]:
    """The data file that holds a column, by fragment; a fragment whose file lies elsewhere is left out."""
    manifest = _manifest(folder, version)
    fields = [_message(_bytes(field)) for field in manifest.get(FIELDS, [])]
    wanted = _field_id(fields, column)
    found = {}
    for fragment in (_message(_bytes(part)) for part in manifest.get(FRAGMENTS, [])):
        for file in (_message(_bytes(part)) for part in fragment.get(FRAGMENT_FILES, [])):
            if wanted in _ids(file) and FILE_BASE not in file:
                path = _bytes(file[FILE_PATH][0]).decode()
                found[_int(fragment, FRAGMENT_ID)] = folder / "data" / path
    return found


def _manifest(folder: Path, version: int) -> Message:
    data = (folder / "_versions" / f"{2**64 - 1 - version}.manifest").read_bytes()
    if data[-4:] != MAGIC:
        raise ValueError("not a Lance manifest")
    (start,) = struct.unpack("<Q", data[-16:-8])
    (size,) = struct.unpack("<I", data[start : start + 4])
    return _message(data[start + 4 : start + 4 + size])


def _field_id(fields: list[Message], column: str) -> int:
    """Field numbers start at 0, which protobuf leaves out; a top-level field's parent is -1."""
    for field in fields:
        if field.get(FIELD_NAME) == [column.encode()] and _signed(_int(field, FIELD_PARENT)) == -1:
            return _int(field, FIELD_ID)
    raise ValueError(f"no column {column}")


def _ids(file: Message) -> list[int]:
    """The numbers of the fields in a file: packed, so one run of bytes."""
    found, data, at = [], b"".join(_bytes(part) for part in file.get(FILE_FIELDS, [])), 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(_signed(value))
    return found


def _message(data: bytes) -> Message:
    found: Message = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: bytes | int
        if key & 7 == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _int(message: Message, number: int) -> int:
    value = message.get(number, [0])[0]
    if not isinstance(value, int):
        raise ValueError("not a number")
    return value


def _bytes(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("not bytes")
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
