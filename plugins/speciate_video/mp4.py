"""The frames that an MP4 or MOV file lists in its sample tables, or in its fragments."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from speciate_video.containers import Claim, Damage

__all__ = ["claim"]

MASTERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"}
TABLES = {b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"stsd", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"co64", b"elst"}
FRAGMENTS = {b"tfhd", b"trun"}
DEEPEST = 8
MOST = 1 << 27  # bytes of one table
Ints = NDArray[np.int64]


@dataclass
class Track:
    """The tables of one track, unread."""

    tables: dict[bytes, bytes] = field(default_factory=dict)

    def number(self, name: bytes, place: int, wide: int, width: int = 4) -> int:
        """A field of a box that has 64-bit times in version 1: there it is at `wide`, of so many bytes."""
        data = self.tables.get(name, b"")
        return _int(data, wide, width) if data[:1] > b"\0" else _int(data, place)


def claim(file: BinaryIO, size: int) -> Claim:
    movie, tracks, fragments = Track(), [], 0
    traf = 0
    for name, at, length in _boxes(file, 0, size):
        if name == b"trak":
            tracks.append(Track())
        elif name in FRAGMENTS:
            data = _read(file, at, min(length, 12))
            traf = _int(data, 4) if name == b"tfhd" else traf
            if name == b"trun" and (not (video := _video(tracks)) or traf == _id(video)):
                fragments += _int(data, 4)
        elif name in TABLES:
            (tracks[-1] if tracks else movie).tables.setdefault(name, _read(file, at, length))
    video = _video(tracks)
    if video is None:
        raise Damage("it has no video track" if tracks else "it has no index (moov)")
    width, height = struct.unpack_from(">HH", video.tables.get(b"stsd", b"").ljust(64, b"\0"), 40)
    listed = _listed(video, size)
    if fragments:
        return Claim("mp4", width, height, listed + fragments, listed + fragments)
    return Claim("mp4", width, height, listed, min(listed, _shown(video, movie, listed)))


def _boxes(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """(name, place of the content, length) of every box, and of those inside the ones that hold boxes."""
    at = start
    while at < end:
        head = _read(file, at, 8)
        length, name, skip = _int(head, 0), head[4:8], 8
        if length == 1:
            length, skip = _int(_read(file, at + 8, 8), 0, 8), 16
        elif length == 0:
            length = end - at
        if length < skip or at + length > end:
            raise Damage(f"box {name!r} at byte {at} is {length} bytes long, {end - at} are there")
        yield name, at + skip, length - skip
        if name in MASTERS:
            if depth == DEEPEST:
                raise Damage(f"boxes at byte {at} are nested deeper than they ever are")
            yield from _boxes(file, at + skip, at + length, depth + 1)
        at += length


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    if length > MOST:
        raise Damage(f"a table at byte {at} is {length} bytes long")
    file.seek(at)
    data = file.read(length)
    if len(data) < length:
        raise Damage(f"it ends at byte {at + len(data)}, inside a box")
    return data


def _int(data: bytes, place: int, width: int = 4) -> int:
    if len(data) < place + width:
        raise Damage("a table is too short")
    return int.from_bytes(data[place : place + width], "big")


def _video(tracks: list[Track]) -> Track | None:
    return next((track for track in tracks if track.tables.get(b"hdlr", b"")[8:12] == b"vide"), None)


def _id(track: Track) -> int:
    return track.number(b"tkhd", 12, 20)


def _table(track: Track, name: bytes, columns: int, kind: str = ">i4") -> Ints:
    """A table of equal rows, behind its count."""
    data = track.tables.get(name, bytes(8))
    count, row = _int(data, 4), columns * np.dtype(kind).itemsize
    if len(data) < 8 + count * row:
        raise Damage(f"table {name!r} says {count} rows and has room for {(len(data) - 8) // row}")
    return np.frombuffer(data, kind, count * columns, 8).astype(np.int64).reshape(count, columns)


def _listed(video: Track, size: int) -> int:
    """The number of samples: by sizes, by times and by chunks it must be the same, and all must be in the file."""
    data = video.tables.get(b"stsz", bytes(12))
    each, count = _int(data, 4), _int(data, 8)
    timed = int(_table(video, b"stts", 2, ">u4")[:, 0].sum())
    if timed != count:
        raise Damage(f"it lists {count} frames and times for {timed}")
    if not each and len(data) < 12 + 4 * count:
        raise Damage(f"it lists {count} frames and sizes for {(len(data) - 12) // 4}")
    if each * count > size:
        raise Damage(f"its {count} frames are {each} bytes each, in a file of {size}")
    sizes = np.full(count, each, np.int64) if each else np.frombuffer(data, ">u4", count, 12).astype(np.int64)
    kind = (b"co64", ">i8") if b"co64" in video.tables else (b"stco", ">u4")
    offsets = _table(video, kind[0], 1, kind[1])[:, 0]
    runs = _table(video, b"stsc", 3, ">u4")
    each_chunk = _samples(runs, len(offsets), count)
    if int(each_chunk.sum()) != count:
        raise Damage(f"it lists {count} frames and places for {int(each_chunk.sum())}")
    total = np.concatenate([[0], np.cumsum(sizes)])
    last = np.cumsum(each_chunk)
    ends = offsets + total[last] - total[last - each_chunk]
    if count and (int(ends.max()) > size or int(offsets.min()) < 0):
        raise Damage(f"its frames reach to byte {int(ends.max())}, the file has {size}")
    return count


def _samples(runs: Ints, chunks: int, count: int) -> Ints:
    """How many samples each chunk has, out of the runs of equal ones."""
    firsts = runs[:, 0]
    if chunks > count or (len(runs) and (firsts[0] != 1 or (np.diff(firsts) <= 0).any() or firsts[-1] > chunks)):
        raise Damage("its list of chunks contradicts itself")
    if runs[:, 1].max(initial=0) > count:
        raise Damage("a chunk has more frames than there are")
    return np.repeat(runs[:, 1], np.diff(np.append(firsts, chunks + 1)))


def _shown(video: Track, movie: Track, count: int) -> int:
    """How many samples an edit list leaves."""
    data = video.tables.get(b"elst")
    if data is None or not count:
        return count
    wide = 8 if data[:1] > b"\0" else 4
    scale = video.number(b"mdhd", 12, 20)
    per_movie = scale / max(1, movie.number(b"mvhd", 12, 20))
    span, shown = _times(video, count)
    kept, whole = np.zeros(count, bool), 0
    for row in range(_int(data, 4)):
        at = 8 + row * (2 * wide + 4)
        length = _int(data, at, wide) * per_movie
        whole += _int(data, at, wide)
        begin = int.from_bytes(data[at + wide : at + 2 * wide], "big", signed=True)
        if begin >= 0:
            kept |= (shown + span > begin) & ((shown < begin + length - 1) | (length == 0))
    left = int(kept.sum())
    if left == count:
        return count
    total, track = video.number(b"mdhd", 16, 24, 8), video.number(b"tkhd", 20, 28, 8)
    if abs(total - int(span.sum())) > 2 * int(span.max()) or abs(track - whole) > 2 + track // 100:
        raise Damage("it says to leave out frames, but by other times than it lists")
    return max(1, left - 2)


def _times(video: Track, count: int) -> tuple[Ints, Ints]:
    """How long each sample is shown, and from when on: no two at once, and in step where all are equally long."""
    deltas, shifts = _table(video, b"stts", 2, ">u4"), _table(video, b"ctts", 2)
    span = np.repeat(deltas[:, 1], deltas[:, 0])
    shown = np.cumsum(span) - span
    if len(shifts):
        if int(shifts[:, 0].sum()) != count or shifts[:, 0].min() < 0:
            raise Damage(f"it lists {count} frames and shifts for {int(shifts[:, 0].sum())}")
        shown = shown + np.repeat(shifts[:, 1], shifts[:, 0])
        steps = np.diff(np.sort(shown))
        if (steps == 0).any() or (len(deltas) == 1 and (steps % max(1, int(span[0]))).any()):
            raise Damage("its frames are shown at times that contradict each other")
    return span, shown
