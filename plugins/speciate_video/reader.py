"""The Reader of videos: one row a clip, each a range of frames of a file that is stored once.

`read` decodes every file once and compares the number of frames with what the container lists, since FFmpeg shortens
damaged files in silence. `decode` goes through a clip by grabbing frame after frame, and converts those it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speciate import Row, Sample, SpeciateError, UsageError
from speciate.contracts import Quarantined
from speciate.errors import unknown
from speciate.files import scratch
from speciate_video import near
from speciate_video.capture import Capture, opened
from speciate_video.clips import Clip, by_length, by_notes, by_scenes, notes
from speciate_video.folders import numbered, pack
from speciate_video.options import VideoOptions
from speciate_video.sampling import places, square
from speciate_video.watch import Watched, checked, watch

__all__ = ["VideoReader"]

FAR = 64  # frames: a clip that begins later is sought, an earlier one is walked to
MARGIN = 1000.0  # milliseconds to go back before it, so that no frame leans on one that was not decoded
EDGE = 1 << 16  # bytes of a file's begin and end that tell it from others


class VideoReader:
    """Reads one video, or one folder of numbered frames."""

    def __init__(self, options: VideoOptions) -> None:
        _check(options)
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"video": "file", "start": "int64", "end": "int64", "at": "float64"}

    def read(self, path: Path) -> Iterator[Row]:
        if numbered(path):
            yield from self._frames([path])
        else:
            yield from self._rows(path, path)

    def read_all(self, paths: Sequence[Path]) -> Iterator[Row | Quarantined]:
        """Numbered pictures as one video; any other file comes alone."""
        if len(paths) == 1 or not numbered(paths[0]):
            for path in paths:
                yield from self.read(path)
        else:
            yield from self._frames(paths)

    def decode(self, row: Mapping[str, Any]) -> Sample:
        start, end, size = row["start"], row["end"], self.options.size
        if not 0 <= start < end:
            raise SpeciateError(f"a clip is from {start} to {end}", "it has no frames", "give start below end")
        wanted = places(start, end, self.options)
        frames = np.empty((len(wanted), size, size, 3), np.uint8)
        with opened(row["video"], self.options) as capture:
            here = _go(capture, row)
            if here is None:
                with opened(row["video"], self.options) as again:
                    self._fill(frames, wanted, again, -1)
            else:
                self._fill(frames, wanted, capture, here)
        return {"frames": frames}

    def _fill(self, frames: Any, wanted: Sequence[int], capture: Capture, here: int) -> None:
        """Grab on to each wanted frame; `here` is the one that was grabbed last."""
        for i, place in enumerate(wanted):
            if i and place == wanted[i - 1]:
                frames[i] = frames[i - 1]
                continue
            while here < place:
                if not capture.grab():
                    exists = f"frame {here} is the last, frame {place} is asked for"
                    raise SpeciateError("the video is shorter than its clip", exists, "check start and end")
                here += 1
            frames[i] = square(capture.picture(), self.options.size)[:, :, ::-1]

    def _frames(self, paths: Sequence[Path]) -> Iterator[Row]:
        yield from self._rows(pack(paths, scratch(), self.options.gaps), paths[0].parent)

    def _rows(self, path: Path, named: Path) -> Iterator[Row]:
        """The clips of a file; `named` is where an annotation file would lie beside."""
        promised, lines = checked(path, self.options), notes(named, self.options)
        whole = promised.kind == "frames" or promised.least < promised.most
        if whole or self.options.scenes or (lines and self.options.unit == "seconds"):
            watched = watch(path, self.options, promised, None)
            clips = self._clips(named, watched, lines)
        else:
            clips = self._clips(named, Watched(promised, times=[0.0] * promised.most), lines)
            looked = {place for clip in clips for place in near.places_of(clip.start, clip.end)}
            watched = watch(path, self.options, promised, looked)
        group = _group(path)
        for clip in clips:
            yield {"group": group} | clip.said | self._row(path, clip, watched)

    def _clips(self, path: Path, watched: Watched, lines: Any) -> list[Clip]:
        if lines:
            return by_notes(lines, path, watched, self.options)
        return by_scenes(watched, self.options) if self.options.scenes else by_length(watched.count, self.options)

    def _row(self, path: Path, clip: Clip, watched: Watched) -> Row:
        """Content, and what is good to know."""
        times = watched.times
        fps = _fps(watched)
        return {
            "video": path,
            "start": clip.start,
            "end": clip.end,
            "at": times[clip.start] if clip.start and watched.ordered else -1.0,
            "frames": clip.end - clip.start,
            "seconds": round((clip.end - clip.start) / fps, 3) if fps else 0.0,
            "fps": round(fps, 3),
            "width": watched.width,
            "height": watched.height,
            "codec": watched.codec,
            "look": near.look(watched.thumbs, watched.every, clip.start, clip.end),
        }


def _go(capture: Capture, row: Mapping[str, Any]) -> int | None:
    """Move to a clip that begins far into the file, by its time. Gives the place of the frame grabbed last, or None
    where the file's times led astray, so that only walking from the first frame is sure."""
    start, at = row["start"], row.get("at", -1.0)
    if start < FAR or at < 0:
        return -1
    capture.seek(max(0.0, at - MARGIN))
    while capture.grab():
        time = capture.time()
        if time == at:
            return int(start)
        if time > at:
            break
    return None


def _fps(watched: Watched) -> float:
    """By the times of its frames, where it has them; headers are wrong more often."""
    if watched.claim.kind == "frames":
        return 0.0
    if watched.count > 1 and watched.ordered:
        return 1000.0 * (watched.count - 1) / (watched.times[-1] - watched.times[0])
    return watched.fps if 0 < watched.fps < 1e5 else 0.0


def _group(path: Path) -> str:
    """Clips of one video stay in one split. By its content, since a name says nothing."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(EDGE)
        file.seek(max(0, size - EDGE))
        return hashlib.sha256(b"%d" % size + head + file.read(EDGE)).hexdigest()[:16]


def _check(options: VideoOptions) -> None:
    """Options that cannot be meant."""
    for name, words in (("sample", ("uniform", "random")), ("unit", ("frames", "seconds"))):
        if getattr(options, name) not in words:
            raise unknown(name, getattr(options, name), words, f"type -o {name}={words[0]}")
    if not (1 <= options.frames <= 4096 and 8 <= options.size <= 1024):
        asked = f"frames={options.frames} size={options.size}"
        raise UsageError(asked, "1 to 4096 frames of 8 to 1024 pixels", "type -o frames=16 -o size=112")
    if options.length < 0 or options.stride < 0 or options.scenes < 0 or (options.stride and not options.length):
        asked = f"length={options.length} stride={options.stride} scenes={options.scenes}"
        raise UsageError(asked, "they are not below 0, and stride needs length", "type -o length=64 -o stride=32")
    if options.scenes and options.length:
        raise UsageError("scenes and length", "a video is cut in one way", "leave one of them out")
