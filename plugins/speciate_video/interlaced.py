"""Whether OpenCV really showed what it says it did: of interlaced video (camcorders, television) its newer builds show
nothing, without a word.

FFmpeg's scaler refuses to make whole pictures of fields, OpenCV does not look at that, and gives what its buffer held:
black, or the picture before. So a picture that equals the one before is suspect, and PyAV, which shows such video as it
is, tells whether its frame is interlaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from speciate import SpeciateError

__all__ = ["check"]

ASKED = 3  # suspect frames: a video that stands still has very many
WHOLE = {"VP80", "VP90", "AV01", "av01", "vp08", "vp09", "png", "gif"}  # codecs that know no fields


def check(path: Path, codec: str, suspect: Sequence[int], looked: int) -> None:
    """Refuse a video of which OpenCV showed nothing; `suspect` are the frames that equal the one before, of so many
    that were looked at."""
    if codec in WHOLE:
        return
    if find_spec("av") is not None:
        _ask(path, suspect[:ASKED])
    elif len(suspect) == looked - 1 > 0:
        exists = "it stands still, or is interlaced, of which OpenCV shows nothing; PyAV could tell"
        do = 'type `pip install "av"` and add it again'
        raise SpeciateError(f"all frames of {path.name} look the same", exists, do)


def _ask(path: Path, suspect: Sequence[int]) -> None:
    import av

    try:
        with av.open(str(path.absolute())) as container:
            for place, frame in enumerate(container.decode(video=0)):
                if (not place or place in suspect) and frame.interlaced_frame:
                    exists = f"frame {place} is two fields, of which OpenCV shows nothing"
                    raise SpeciateError(f"{path.name} is interlaced", exists, "type -o decoder=pyav")
                if place >= max(suspect, default=0):
                    break
    except av.FFmpegError:
        return  # what OpenCV could decode and PyAV cannot is none of this
