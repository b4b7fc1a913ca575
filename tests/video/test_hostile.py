"""Broken and hostile files: refused with a reason, never shortened, never followed, and their neighbours are kept."""

import os
import socket
import struct
import subprocess
import sys
import threading

import pytest
from bad_videos import by_hand, mutants, seeds
from video_made import reader, rows, video

import speciate
from speciate import SpeciateError, UsageError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return seeds(tmp_path_factory.mktemp("seeds"))


def test_picked_by_hand(tmp_path, good):
    for path, says in by_hand(tmp_path, good):
        with pytest.raises(SpeciateError) as caught:
            rows(path)
        assert not isinstance(caught.value, UsageError), path.name
        assert path.name in str(caught.value), path.name
        assert says in str(caught.value), path.name
        assert caught.value.do


def test_a_shortened_file_is_refused_where_opencv_says_nothing(tmp_path, good):
    """The frames are cut off, the index in front says that they are there, and the sizes still fit."""
    data = bytearray(good["first.mp4"])
    at = data.index(b"mdat") + 4
    for place in range(at + (len(data) - at) // 2, len(data)):
        data[place] = 0
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(SpeciateError, match=r"frames of 24 come out|no frame of a\.mp4"):
        rows(tmp_path / "a.mp4")


def test_nothing_is_fetched(tmp_path):
    """A playlist in a video's name, and a name that looks like an address: nobody connects."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen():
            while not done.is_set():
                try:
                    asked.append(server.accept())
                except TimeoutError:
                    continue

        done = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            for name, text in {
                "a.mp4": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n",
                "b.mkv": f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n",
            }.items():
                (tmp_path / name).write_text(text)
                for decoder in ("opencv", "pyav"):
                    with pytest.raises(SpeciateError):
                        rows(tmp_path / name, decoder=decoder)
            for decoder in ("opencv", "pyav"):
                with pytest.raises((SpeciateError, OSError)):
                    reader(decoder=decoder).decode(
                        {"video": type(tmp_path)(f"http://127.0.0.1:{port}/a.mp4"), "start": 0, "end": 1, "at": -1.0}
                    )
        finally:
            done.set()
            thread.join()
    assert not asked


def test_limits_are_asked_of_the_header(tmp_path):
    path = video(tmp_path / "a.mp4")
    with pytest.raises(SpeciateError, match="max_frames=24"):
        rows(path, max_frames=23)
    with pytest.raises(SpeciateError, match="max_pixels=3072"):
        rows(path, max_pixels=3071)
    assert len(rows(path, max_frames=24, max_pixels=3072)) == 1


CHILD = """
import resource, sys
from pathlib import Path
from speciate_video.options import VideoOptions
from speciate_video.reader import VideoReader
import cv2, numpy
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
(row,) = VideoReader(VideoOptions()).read(Path(sys.argv[1]))
print(row["frames"], int(next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1]) >> 10)
"""


def test_ten_gigabytes_take_little_memory(tmp_path):
    """A sparse file: its frames, and behind them a box of 10 GB that nobody needs."""
    path = video(tmp_path / "a.mp4")
    size = 10 << 30
    with path.open("ab") as file:
        file.write(struct.pack(">I4sQ", 1, b"free", size))
        file.truncate(file.tell() + size - 16)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", CHILD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    frames, megabytes = map(int, done.stdout.split())
    assert frames == 24
    assert megabytes < 1024


def mutate(tmp_path, good, count, seed):
    """Add so many mutants with good neighbours, and count what became of them."""
    folder = tmp_path / "in"
    folder.mkdir()
    kept = {name: folder / f"good-{name}" for name in good}
    for name, path in kept.items():
        path.write_bytes(good[name])
    frames = {name: rows(path)[0]["frames"] for name, path in kept.items()}
    names = {}
    for i, (name, data) in enumerate(mutants(good, count, seed)):
        if data != good[name]:
            names[str(folder / f"{i:05d}-{name}")] = name
            (folder / f"{i:05d}-{name}").write_bytes(data)
    ws = speciate.open(tmp_path / "ws", quiet=True)
    added = ws.add("d", folder, format="video", options={"size": 32})
    aside = {one.path: one.reason for one in added.quarantined}
    stored = ws.engine.dataset("d").rows()
    wrong = [
        row["source"] for row in stored if row["frames"] != frames[row["source"].rsplit("/", 1)[-1].split("-", 1)[1]]
    ]
    return names, aside, wrong, added


def check(names, aside, wrong, added, good):
    assert added.rows + added.duplicates + len(aside) == len(names) + len(good), "every file is accounted for"
    assert not [path for path in aside if "good-" in path], "a good neighbour was lost"
    died = {path: why for path, why in aside.items() if "crashed" in why or "took over" in why or "ended its" in why}
    assert not died
    assert all(aside.values())
    assert len(wrong) < 0.01 * len(names), wrong
    assert len(aside) > 0.2 * len(names)


def test_a_thousand_mutants(tmp_path, good):
    check(*mutate(tmp_path, good, 1000, seed=1), good)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_mutants(tmp_path, good, seed):
    check(*mutate(tmp_path, good, 1000, seed=100 + seed), good)
