"""Pictures out of a file, one after another: through OpenCV, PyAV, or from a zip of numbered pictures.

A capture is given nothing but the absolute path of a file whose first bytes are known (`containers.claim`): FFmpeg also
opens addresses and playlists, and would fetch what they name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from speciate import SpeciateError, UsageError
from speciate.errors import unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speciate_video.options import VideoOptions

__all__ = ["Capture", "opened"]

ROTATIONS = {90: 1, 180: 2, 270: 3}


class Capture(Protocol):
    """A place in a video."""

    fps: float
    codec: str

    def grab(self) -> bool:
        """Go to the next frame; False behind the last one."""
        ...

    def picture(self) -> NDArray[np.uint8]:
        """The frame here: BGR, upright."""
        ...

    def time(self) -> float:
        """Milliseconds from the first frame on, to a microsecond; -1 where the file does not say."""
        ...

    def seek(self, time: float) -> None:
        """Go somewhere before a time; where that is shows after the next `grab`."""
        ...

    def close(self) -> None: ...


@contextmanager
def opened(path: Path, options: VideoOptions) -> Iterator[Capture]:
    """A capture of a file that is known to be a video or a zip of frames."""
    from speciate_video.folders import ZipCapture, is_zip

    decoder = options.decoder
    if decoder not in ("opencv", "pyav"):
        raise unknown("decoder", decoder, ("opencv", "pyav"), "type -o decoder=opencv")
    if decoder == "pyav" and importlib.util.find_spec("av") is None:
        raise UsageError("decoder=pyav needs PyAV", "which this environment does not have", 'type `pip install "av"`')
    path = path.absolute()
    if not path.is_file():
        raise SpeciateError(f"there is no file {path.name}", f"looked in {path.parent}", "check the path")
    capture: Capture
    if is_zip(path):
        capture = ZipCapture(path, options.max_pixels)
    else:
        capture = PyAV(path) if decoder == "pyav" else OpenCV(path)
    try:
        yield capture
    finally:
        capture.close()


class OpenCV:
    """OpenCV's FFmpeg: frames that are not looked at are decoded, but not converted."""

    def __init__(self, path: Path) -> None:
        import cv2

        self._cv2, self._path = cv2, path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            exists = "OpenCV has no decoder for it, or it is damaged"
            raise SpeciateError(f"{path.name} cannot be opened", exists, "type -o decoder=pyav, or leave it out")
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        self.codec = "".join(chr(b) for b in code.to_bytes(4, "little") if 32 < b < 127)

    def grab(self) -> bool:
        return bool(self._capture.grab())

    def picture(self) -> NDArray[np.uint8]:
        good, picture = self._capture.retrieve()
        if not good or picture is None or picture.size == 0:
            raise SpeciateError(f"a frame of {self._path.name} cannot be decoded", "", "copy it again, or leave it out")
        return _eight_bit(picture)

    def time(self) -> float:
        return round(float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)), 3)

    def seek(self, time: float) -> None:
        self._capture.set(self._cv2.CAP_PROP_POS_MSEC, time)

    def close(self) -> None:
        self._capture.release()


class PyAV:
    """FFmpeg through PyAV: the same decoders, faster for large frames, and for codecs that OpenCV was built without."""

    def __init__(self, path: Path) -> None:
        import av

        self._av, self._path = av, path
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError, ValueError) as error:
            exists = str(error) or type(error).__name__
            raise SpeciateError(f"{path.name} cannot be opened", exists, "copy it again, or leave it out") from error
        self._stream.thread_count = 1
        self.fps = float(self._stream.average_rate or 0)
        self.codec = str(self._stream.codec_context.name)
        self._frames = self._decoded()
        self._frame: Any = None

    def grab(self) -> bool:
        self._frame = next(self._frames, None)
        return self._frame is not None

    def picture(self) -> NDArray[np.uint8]:
        picture = self._frame.to_ndarray(format="bgr24")
        turns = ROTATIONS.get(round(self._frame.rotation) % 360)
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture

    def time(self) -> float:
        if self._frame.pts is None:
            return -1.0
        begin = (self._stream.start_time or 0) * self._stream.time_base
        return round(float(self._frame.pts * self._stream.time_base - begin) * 1000, 3)

    def seek(self, time: float) -> None:
        begin = self._stream.start_time or 0
        self._container.seek(int(time / 1000 / self._stream.time_base) + begin, stream=self._stream)
        self._frames = self._decoded()

    def close(self) -> None:
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        """Frames, without a word about broken ones: those are missed when they are counted."""
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except self._av.FFmpegError:
                continue


def _eight_bit(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Three channels of 8 bits, whatever OpenCV gave."""
    if picture.dtype != np.uint8:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    return picture[:, :, :3]
