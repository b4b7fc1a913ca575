"""DICOM beside bare pydicom: `python benchmarks/format_dicom.py [--files N] [--dry]`.

Slices of 512 x 512 x 16 bits. Bare: dcmread and pixel_array in a loop. Ours: the Reader, with de-identification; then
decode, likeness, and the key that tells series apart.
"""

import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import pydicom
from bench import BESIDE, bar, beside, cpu, options, record

from speciate_dicom.example import body, picture, save
from speciate_dicom.geometry import key_of
from speciate_dicom.near import pictures
from speciate_dicom.options import DicomOptions, SliceOptions
from speciate_dicom.slices import SliceReader
from speciate_dicom.volumes import DicomReader


def bare(paths):
    for path in paths:
        pydicom.dcmread(path).pixel_array  # noqa: B018


def main():
    asked = options(__doc__, 800).parse_args()
    count, slices, volumes = asked.files, SliceReader(SliceOptions()), DicomReader(DicomOptions())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = body(count, "bench", 512)
        files = [save(folder / f"{i:05d}.dcm", picture(values[i], "bench", i + 1)) for i in range(count)]
        line, _, add = beside("dicom-slices", files, bare, slices, folder, "--format", "dicom-slices")
        row, volume = next(slices.read(files[0])), next(volumes.read_all(files))
        works = {
            "bare pydicom: dcmread, pixel_array": lambda: bare(files),
            "dicom-slices: read, de-identified": lambda: [list(slices.read(path)) for path in files],
            "dicom-slices: decode": lambda: [slices.decode(row) for _ in files],
            "dicom-slices: likeness": lambda: pictures([row] * count),
            "dicom: key of a file": lambda: [key_of(path) for path in files],
            "dicom: read a series": lambda: list(volumes.read_all(files)),
            "dicom: decode to 64 x 128 x 128, over all files": lambda: volumes.decode(volume),
        }
        times = {name: 1000 * cpu(work) / count for name, work in works.items()}
    plain = next(iter(times.values()))
    lines = [*BESIDE, line, "", "| | ms a file | times bare |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.2f} | {ms / plain:.2f} |" for name, ms in times.items()]
    lines += ["", bar("`add` beside bare pydicom", {"dicom-slices": add}, 0.8)]
    record("Format: dicom", [f"{count} files; files a CPU second.", "", *lines], asked.dry)


if __name__ == "__main__":
    main()
