"""Video beside OpenCV and PyAV, one thread each: `python benchmarks/format_video.py [--files N] [--dry]`.

Bare: every frame of a file with OpenCV. Ours: the Reader, which looks at every frame once. Then some frames of each
file, beside the quickest way that OpenCV has: grab on, and retrieve what is wanted.
"""

import os
import tempfile
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import av
import cv2
import numpy as np
from bench import BESIDE, bar, beside, cpu, options, record

from speciate_video.example import drawn, save
from speciate_video.options import VideoOptions
from speciate_video.reader import VideoReader

SIZES = {"240p": (426, 240, 144), "720p": (1280, 720, 120)}
FRAMES, SIZE = 16, 112
TIMES = {"240p": 4}  # as many files, or the time of an add is that of starting up


def draw(folder, width, height, count, files):
    """Videos that move and have noise, so that they are as hard to unpack as filmed ones."""
    folder.mkdir()
    return [save(folder / f"{i}.mp4", drawn(i, 3 + i, count, width, height)) for i in range(files)]


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


def decode(paths, count, decoder):
    reader = VideoReader(VideoOptions(frames=FRAMES, size=SIZE, decoder=decoder))
    for path in paths:
        reader.decode({"video": path, "start": 0, "end": count, "at": -1.0})


def main():
    asked = options(__doc__, 12).parse_args()
    cv2.setNumThreads(1)
    lines, adds, decodes, others = list(BESIDE), {}, {}, []
    heads = ("OpenCV grabs", "OpenCV seeks", "ours", "ours, PyAV", "ours / grabs")
    later = [f"| {FRAMES} frames of each, {SIZE} pixels | {' | '.join(heads)} |", "|" + " --- |" * 6]
    with tempfile.TemporaryDirectory() as name:
        for size, (width, height, count) in SIZES.items():
            files = asked.files * TIMES.get(size, 1)
            paths = draw(Path(name) / size, width, height, count, files)
            line, _, adds[size] = beside(size, paths, every_frame, VideoReader(VideoOptions()), Path(name))
            lines.append(line)
            others.append(f"{size} {files / cpu(every_frame_av, paths):.1f}")
            works = [some_frames, seeks, *(partial(decode, decoder=decoder) for decoder in ("opencv", "pyav"))]
            taken = [cpu(work, paths, count) for work in works]
            decodes[size] = taken[0] / taken[2]
            rates = " | ".join(f"{files / seconds:.1f}" for seconds in taken)
            later.append(f"| {size}, {count} frames | {rates} | {decodes[size]:.2f} |")
    lines += ["", f"- PyAV, every frame: {', '.join(others)}.", "", *later, ""]
    lines += [bar("`add` beside bare OpenCV", adds, 0.8), bar("decoding beside OpenCV's grabs", decodes, 1.0)]
    what = f"{asked.files} MPEG-4 files of each size, of 240p {TIMES['240p']} times as many; files a CPU second."
    record("Format: video", [what, "", *lines], asked.dry)


if __name__ == "__main__":
    main()
