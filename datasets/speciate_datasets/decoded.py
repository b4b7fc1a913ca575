"""Decoded samples kept on the disk, for decoding that costs more than reading what it gave.

A sample is found by what its row says (its id and small columns), below what decides how rows are decoded. Each process
writes a pack of its own, and beside it, once what it names is on the disk, an index, which is renamed into its place: a
pack without one is nothing. Every sample has a checksum; one that is damaged is decoded again.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import mmap
import os
import shutil
import sys
import time
import uuid
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np

from speciate import UsageError

__all__ = ["Decoded", "how"]

PLAIN = (type(None), bool, int, float, str)
ENTRY = np.dtype([("key", "V16"), ("at", "<u8"), ("size", "<u8")])
HEAD = 8  # bytes before a sample: its checksum, and how long its description is
FLUSH_BYTES = 64 << 20  # written before others can see it
LEFT_SECONDS = 3600  # after which a pack without an index is one that a killed process left


class Decoded:
    """The samples of one dataset under one way of decoding, in `folder`; all that lie beside it share the budget."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder, self.budget, self.full = folder, budget, False
        self._index: dict[bytes, tuple[int, int, int]] = {}  # which pack, where in it, how long
        self._packs: list[memoryview] = []
        self._file: IO[bytes] | None = None
        self._written: list[tuple[bytes, int, int]] = []
        self._at = self._flushed = self._size = 0
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # those used longest ago make room first
        for pack in folder.glob("*.pack"):
            if not pack.with_suffix(".index").exists() and time.time() - pack.stat().st_mtime > LEFT_SECONDS:
                pack.unlink(missing_ok=True)
        self._size = _bytes(folder.parent)
        self._open()

    def _open(self) -> None:
        """See what has been written so far, here and in other processes."""
        for path in sorted(self.folder.glob("*.index")):
            entries, pack = np.fromfile(path, ENTRY), path.with_suffix(".pack")
            if not len(entries) or not pack.exists() or pack.stat().st_size < (entries["at"] + entries["size"]).max():
                continue
            with pack.open("rb") as file:
                self._packs.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
            number = len(self._packs) - 1
            for key, at, size in entries.tolist():
                self._index[key] = number, at, size

    def get(self, key: bytes) -> Any:
        """A sample as it was decoded, or None."""
        if (found := self._index.get(key)) is None:
            return None
        pack, at, size = found
        data = self._packs[pack][at : at + size]
        if zlib.crc32(data[4:], zlib.crc32(key)) != int.from_bytes(data[:4], "little"):
            return None
        return unpacked(data[HEAD:], int.from_bytes(data[4:HEAD], "little"))

    def put(self, key: bytes, sample: Any) -> None:
        """Keep a sample, unless there is no room: it is only decoded again then."""
        if self.full or key in self._index:
            return
        description, content = packed(sample)
        data = len(description).to_bytes(4, "little") + description + content
        if self._size + len(data) > self.budget and not self._room(len(data)):
            self.full = True
            return
        try:
            self._file = self._file or (self.folder / f"{uuid.uuid4().hex}.pack").open("xb")
            self._file.write(zlib.crc32(data, zlib.crc32(key)).to_bytes(4, "little") + data)
        except OSError as error:
            self._stop(error)
            return
        size = len(data) + 4
        self._written.append((key, self._at, size))
        self._at, self._size = self._at + size, self._size + size
        if self._at - self._flushed > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Put what was written on the disk, then its index."""
        if self._file is None or self._at == self._flushed:
            return
        path = Path(self._file.name).with_suffix(".index")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            with path.with_suffix(".new").open("wb") as file:
                np.array(self._written, ENTRY).tofile(file)
                file.flush()
                os.fsync(file.fileno())
            path.with_suffix(".new").replace(path)
        except OSError as error:
            self._stop(error)
        self._flushed, self._size = self._at, _bytes(self.folder.parent)

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self.full = True

    def _stop(self, error: OSError) -> None:
        self.full = True
        warnings.warn(f"decoded samples are no longer kept in {self.folder}: {error}", stacklevel=2)

    def _room(self, size: int) -> bool:
        """Take away what other ways of decoding have left, the one used longest ago first."""
        others = [folder for folder in self.folder.parent.iterdir() if folder.is_dir() and folder != self.folder]
        for folder in sorted(others, key=lambda folder: folder.stat().st_mtime):
            shutil.rmtree(folder, ignore_errors=True)
            self._size = _bytes(self.folder.parent) + self._at - self._flushed
            if self._size + size <= self.budget:
                return True
        return False


def keys(small: Mapping[str, Sequence[Any]]) -> list[bytes]:
    """A name for each row: the hash of all it says, where its id stands for its large content."""
    rows = zip(*small.values(), strict=True)
    return [blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest() for row in rows]


def how(decode: Callable[..., Any], columns: Sequence[str]) -> str:
    """A hash of what decides how rows are decoded: the code of the function and of its package, the options of its
    reader, the columns. A library that it calls is not seen."""
    owner, function = getattr(decode, "__self__", None), getattr(decode, "__func__", decode)
    try:
        sources = _sources(function)
        said = repr([function.__module__, function.__qualname__, _state(owner), list(columns)])
        if inspect.getclosurevars(function).nonlocals:
            raise TypeError("it uses variables of a function around it")
    except (TypeError, OSError, AttributeError) as error:
        do = "make it a function of a module, or a method of a reader with plain options"
        raise UsageError("cannot keep what this decode gives", f"what it does cannot be told: {error}", do) from error
    return blake2b(b"".join([*sources, said.encode()]), digest_size=8).hexdigest()


def packed(sample: Any) -> tuple[bytes, bytes]:
    """A sample as a description in JSON and the bytes of its arrays."""
    parts: list[bytes] = []
    torch = sys.modules.get("torch")

    def said(value: Any) -> Any:
        if type(value) in PLAIN:
            return value
        if type(value) is bytes:
            parts.append(value)
            return ["bytes", len(value)]
        if type(value) in (list, tuple):
            return [type(value).__name__, *map(said, value)]
        if type(value) is dict and all(type(key) is str for key in value):
            return {key: said(item) for key, item in value.items()}
        kind = "array"
        if torch is not None and type(value) is torch.Tensor and not value.requires_grad:
            kind, value = "tensor", value.numpy()
        if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind in "OVMm":
            exists = f"it gives a {type(value).__name__}"
            raise UsageError("cannot keep what decode gives", exists, "give dicts or lists of arrays and plain values")
        parts.append(value.tobytes())
        return ["scalar" if isinstance(value, np.generic) else kind, value.dtype.str, list(value.shape)]

    return json.dumps(said(sample)).encode(), b"".join(parts)


def unpacked(data: memoryview, length: int) -> Any:
    """The sample again, in memory of its own."""
    at = length

    def taken(size: int) -> memoryview:
        nonlocal at
        at += size
        return data[at - size : at]

    def made(said: Any) -> Any:
        if isinstance(said, dict):
            return {key: made(item) for key, item in said.items()}
        if not isinstance(said, list):
            return said
        kind, *rest = said
        if kind == "bytes":
            return bytes(taken(rest[0]))
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(map(made, rest))
        dtype, shape = np.dtype(rest[0]), rest[1]
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(taken(count * dtype.itemsize), dtype, count).reshape(shape).copy()
        if kind == "tensor":
            return __import__("torch").from_numpy(array)
        return array[()] if kind == "scalar" else array

    return made(json.loads(bytes(data[:length])))


def _sources(function: Any) -> list[bytes]:
    """The file that a function stands in, and those beside it where that is a package."""
    file = Path(inspect.getsourcefile(function) or "")
    if not file.is_file():  # a notebook
        return [inspect.getsource(function).encode()]
    module = sys.modules.get(function.__module__)
    beside = sorted(file.parent.glob("*.py")) if getattr(module, "__package__", "") else [file]
    return [path.read_bytes() for path in beside]


def _state(value: Any) -> str:
    """An object's attributes, down to plain values."""
    if type(value) in PLAIN or isinstance(value, bytes | Path):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"({','.join(map(_state, value))})"
    if isinstance(value, Mapping):
        return f"({','.join(f'{_state(key)}:{_state(item)}' for key, item in value.items())})"
    if dataclasses.is_dataclass(value) or hasattr(value, "decode"):
        return f"{type(value).__module__}.{type(value).__qualname__}{_state(vars(value))}"
    raise TypeError(f"its reader holds a {type(value).__name__}")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*") if path.suffix in (".pack", ".index"))
