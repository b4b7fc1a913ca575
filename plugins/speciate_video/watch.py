"""Watching a video once from end to end: how many frames really come out, when each is shown, and a few thumbnails."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from speciate import SpeciateError
from speciate_video import interlaced
from speciate_video.capture import Capture, opened
from speciate_video.containers import Claim, claim, damaged
from speciate_video.sampling import square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speciate_video.options import VideoOptions

__all__ = ["THUMB", "Watched", "checked", "watch"]

THUMB = 32  # pixels
MOST_THUMBS = 1 << 16


@dataclass
class Watched:
    """What was seen. `changes` is how far each frame is from the one before, where every frame was looked at; grey
    thumbnails are kept of every n-th of those."""

    claim: Claim
    fps: float = 0.0
    codec: str = ""
    width: int = 0
    height: int = 0
    times: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    thumbs: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    every: int = 1

    @property
    def count(self) -> int:
        return len(self.times)

    @property
    def ordered(self) -> bool:
        """Whether its times tell its frames apart."""
        times = np.asarray(self.times)
        return bool(self.count and times[0] >= 0 and (np.diff(times) > 0).all())


def checked(path: Path, options: VideoOptions) -> Claim:
    """What a file promises, if that is within the limits."""
    found = claim(path)
    if found.width * found.height > options.max_pixels:
        exists = f"its header says {found.width} x {found.height}; the limit is {options.max_pixels:,} pixels a frame"
        do = f"type -o max_pixels={found.width * found.height}"
        raise SpeciateError(f"{path.name} has too large frames", exists, do)
    if found.most > options.max_frames:
        exists = f"its header says {found.most:,}; the limit is {options.max_frames:,}"
        raise SpeciateError(f"{path.name} has too many frames", exists, f"type -o max_frames={found.most}")
    return found


def watch(path: Path, options: VideoOptions, promised: Claim, wanted: Container[int] | None) -> Watched:
    """Decode every frame; look at those that are wanted, or at all. A file with less than it promises is refused."""
    watched = Watched(promised, every=1 if wanted else 1 + promised.most // MOST_THUMBS)
    before: NDArray[np.uint8] | None = None
    last: NDArray[np.uint8] | None = None
    same: list[int] = []
    with opened(path, options) as capture:
        watched.fps, watched.codec = capture.fps, capture.codec
        while capture.grab():
            place = watched.count
            watched.times.append(capture.time())
            if place >= promised.most:
                raise damaged(path, f"it lists {promised.most} frames and holds more")
            if wanted is None or place in wanted or not place:
                picture = _look(capture, path, place, watched)
                thumb = square(picture, THUMB)
                watched.changes.append(0.0 if before is None else float(cv2.absdiff(thumb, before).mean()))
                if not watched.changes[-1] and last is not None and np.array_equal(picture, last):
                    same.append(place)
                before, last = thumb, picture
                if place % watched.every == 0:
                    watched.thumbs[place] = cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY)
    if watched.count < promised.least:
        raise _short(path, watched, promised)
    if options.decoder == "opencv" and promised.kind != "frames" and (same or len(watched.changes) == 1):
        interlaced.check(path, watched.codec, same, len(watched.changes))
    return watched


def _look(capture: Capture, path: Path, place: int, watched: Watched) -> NDArray[np.uint8]:
    picture = capture.picture()
    height, width = picture.shape[:2]
    if place and (width, height) != (watched.width, watched.height):
        raise damaged(path, f"frame {place} is {width} x {height}, those before are {watched.width} x {watched.height}")
    watched.width, watched.height = width, height
    return picture


def _short(path: Path, watched: Watched, promised: Claim) -> SpeciateError:
    if not watched.count:
        exists = f"its codec is {watched.codec or 'not said'}; OpenCV knows fewer of them than PyAV"
        do = "if it plays elsewhere, type -o decoder=pyav; else leave it out"
        return SpeciateError(f"no frame of {path.name} can be decoded", exists, do)
    return damaged(path, f"{watched.count} frames of {promised.most} come out; the rest cannot be decoded")
