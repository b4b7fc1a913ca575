"""Video: Speciate's reader and `speciate add` against bare OpenCV and PyAV, one core each.

python benchmarks/format_video.py [FILES]      by default 12 of each size, drawn here
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import av
import cv2
import numpy as np
from bench import record, speciate

from speciate_video.example import drawn, save
from speciate_video.options import VideoOptions
from speciate_video.reader import VideoReader

SIZES = {"240p": (426, 240, 144), "720p": (1280, 720, 120)}
FRAMES, SIZE = 16, 112


def draw(folder, width, height, count, files):
    """Videos that move and have noise, so that they are as hard to unpack as filmed ones."""
    folder.mkdir()
    return [save(folder / f"{i}.mp4", drawn(i, 3 + i, count, width, height)) for i in range(files)]


def cpu(work, *given, times=3):
    """The fewest CPU seconds it took."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work(*given)
        taken.append(time.process_time() - start)
    return min(taken)


def opened(path):
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def every_frame(paths):
    for path in paths:
        capture = opened(path)
        while capture.read()[0]:
            pass


def every_frame_av(paths):
    for path in paths:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                frame.to_ndarray(format="bgr24")


def read(paths):
    reader = VideoReader(VideoOptions())
    for path in paths:
        list(reader.read(path))


def some_frames(paths, count):
    """What a script does: grab on, keep what is wanted."""
    wanted = ((np.arange(FRAMES) + 0.5) * count / FRAMES).astype(int).tolist()
    for path in paths:
        capture, frames = opened(path), []
        for place in range(count):
            if not capture.grab():
                break
            if place in wanted:
                picture = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
                frames.append(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        assert np.stack(frames).shape == (FRAMES, SIZE, SIZE, 3)


def seeks(paths, count):
    wanted = ((np.arange(FRAMES) + 0.5) * count / FRAMES).astype(int).tolist()
    for path in paths:
        capture = opened(path)
        for place in wanted:
            capture.set(cv2.CAP_PROP_POS_FRAMES, place)
            cv2.resize(capture.read()[1], (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def decode(paths, count, library):
    reader = VideoReader(VideoOptions(frames=FRAMES, size=SIZE, library=library))
    for path in paths:
        reader.decode({"video": path, "start": 0, "end": count, "at": -1.0})


def main():
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    cv2.setNumThreads(1)
    lines = [f"{files} MPEG-4 files of each size; files a CPU second, starting up left out.", ""]
    lines += ["| every frame once | OpenCV | PyAV | our reader | `speciate add` | reader / OpenCV | add / OpenCV |"]
    lines += ["|" + " --- |" * 7]
    later = [
        f"| {FRAMES} frames of each, {SIZE} pixels | OpenCV grabs | OpenCV seeks | ours | ours, PyAV | ours / grabs |"
    ]
    later += ["|" + " --- |" * 6]
    with tempfile.TemporaryDirectory() as name:
        for size, (width, height, count) in SIZES.items():
            paths = draw(Path(name) / size, width, height, count, files)
            bare, other, ours = (cpu(work, paths) for work in (every_frame, every_frame_av, read))
            _, _, start = speciate("add", "few", paths[0], "--jobs", 1, workspace=Path(name) / f"{size}-few")
            _, _, whole = speciate("add", "all", *paths, "--jobs", 1, workspace=Path(name) / f"{size}-all")
            add = max(1e-9, (whole - start) * files / (files - 1))
            rates = " | ".join(f"{files / seconds:.1f}" for seconds in (bare, other, ours, add))
            lines.append(f"| {size}, {count} frames | {rates} | {bare / ours:.2f} | {bare / add:.2f} |")
            grab, seek = (cpu(work, paths, count) for work in (some_frames, seeks))
            cv, pyav = (cpu(decode, paths, count, library) for library in ("opencv", "pyav"))
            rates = " | ".join(f"{files / seconds:.1f}" for seconds in (grab, seek, cv, pyav))
            later.append(f"| {size}, {count} frames | {rates} | {grab / cv:.2f} |")
    record("Video: reading and decoding", [*lines, "", *later])


if __name__ == "__main__":
    main()
