"""Videos that tests make: every container, rotations, odd sizes, uneven times, all by code and seeded."""

import struct

import numpy as np

from speciate_video.example import drawn, save
from speciate_video.options import VideoOptions
from speciate_video.reader import VideoReader

CODECS = {  # PyAV's encoders, by file name
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mov": ("libx264", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
    "hevc.mp4": ("libx265", "yuv420p"),
    "vp8.webm": ("libvpx", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "ffv1.mkv": ("ffv1", "yuv420p"),
    "alpha.mov": ("png", "rgba"),
    "grey.avi": ("ffv1", "gray"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "raw.avi": ("rawvideo", "bgr24"),
    "alpha.mkv": ("ffv1", "bgra"),
}


def reader(**options):
    return VideoReader(VideoOptions(**{"size": 32, "frames": 8, **options}))


def rows(path, **options):
    return list(reader(**options).read(path))


def encoded(
    path,
    codec,
    pixels="yuv420p",
    *,
    seed=0,
    count=24,
    speed=2,
    width=64,
    height=48,
    times=None,
    options=None,
    container=None,
):
    """A video through PyAV; `times` are in milliseconds, one a frame."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w", options=container or {}) as made:
        stream = made.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(drawn(seed, speed, count, width, height)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            made.mux(stream.encode(frame.reformat(format=pixels)))
        made.mux(stream.encode(None))
    return path


def rotated(source, target, degrees):
    """The same MP4 with a turn in its track header, as a telephone writes it."""
    one = 1 << 16
    cos, sin = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + (52 if data[data.index(b"tkhd") + 4] else 40)
    data[at : at + 36] = struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def video(path, seed=0, speed=2, count=24, **more):
    return save(path, drawn(seed, speed, count, **more), "MJPG" if path.suffix == ".avi" else "mp4v")


def pictures(folder, count=12, suffix=".png", first=1, step=1, seed=0):
    """A folder of numbered frames."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for i, picture in enumerate(drawn(seed, 2, count)):
        found.append(folder / f"frame_{first + i * step:04d}{suffix}")
        cv2.imwrite(str(found[-1]), np.ascontiguousarray(picture[:, :, ::-1]))
    return found
