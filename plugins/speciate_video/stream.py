"""Live video: frames in as they come, a sample out as soon as a clip is full. The same bits as from a stored file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from speciate import Sample, UsageError
from speciate_video.sampling import places, square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speciate_video.options import VideoOptions

__all__ = ["samples"]


def samples(frames: Iterable[NDArray[np.uint8]], options: VideoOptions) -> Iterator[Sample]:
    """Clips of `length` frames, one every `stride`, of RGB pictures. What is kept is the small squares that a clip
    still needs; a clip that is not full when the stream ends is left out."""
    if options.length < 1:
        raise UsageError("a stream has no end", "length=0 takes a whole video as one clip", "type -o length=64")
    stride = options.stride or options.length
    open_clips: dict[int, list[int]] = {}  # by start: the frames to take
    squares: dict[int, NDArray[np.uint8]] = {}
    for here, frame in enumerate(frames):
        if here % stride == 0:
            open_clips[here] = places(here, here + options.length, options)
        if any(here in wanted for wanted in open_clips.values()):
            squares[here] = square(frame, options.size)
        start = here - options.length + 1
        if start in open_clips:
            yield {"frames": np.stack([squares[place] for place in open_clips.pop(start)])}
            first = min((place for wanted in open_clips.values() for place in wanted), default=here + 1)
            squares = {place: kept for place, kept in squares.items() if place >= first}
