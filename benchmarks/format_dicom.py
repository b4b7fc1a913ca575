"""DICOM beside bare pydicom: `python benchmarks/format_dicom.py [--files 300]`.

CPU milliseconds a file of 512 x 512 x 16 bits. Bare: dcmread and pixel_array in a loop. Ours: the Reader, with
de-identification; decode; and the key that tells series apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pydicom
from bench import record

from speciate_dicom.example import body, picture, save
from speciate_dicom.geometry import key_of
from speciate_dicom.options import DicomOptions, SliceOptions
from speciate_dicom.slices import SliceReader
from speciate_dicom.volumes import DicomReader


def timed(work, files):
    """CPU milliseconds a file, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work(files)
        best = min(best, time.process_time() - start)
    return 1000 * best / len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    count = parser.parse_args().files
    slices, volumes = SliceReader(SliceOptions()), DicomReader(DicomOptions())
    with tempfile.TemporaryDirectory() as folder:
        values = body(count, "bench", 512)
        files = [save(Path(folder) / f"{i:05d}.dcm", picture(values[i], "bench", i + 1)) for i in range(count)]
        row, volume = next(slices.read(files[0])), next(volumes.read_all(files))
        works = {
            "bare pydicom: dcmread, pixel_array": lambda some: [pydicom.dcmread(path).pixel_array for path in some],
            "dicom-slices: read, de-identified": lambda some: [list(slices.read(path)) for path in some],
            "dicom-slices: decode": lambda some: [slices.decode(row) for _ in some],
            "dicom: key of a file": lambda some: [key_of(path) for path in some],
            "dicom: read a series": lambda some: list(volumes.read_all(some)),
            "dicom: decode to 64 x 128 x 128, over all files": lambda some: volumes.decode(volume),
        }
        times = {name: timed(work, files) for name, work in works.items()}
    bare = next(iter(times.values()))
    lines = ["| | ms a file | times bare |", "|---|---|---|"]
    record("DICOM", lines + [f"| {name} | {ms:.2f} | {ms / bare:.2f} |" for name, ms in times.items()])


if __name__ == "__main__":
    main()
