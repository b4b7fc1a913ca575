"""The Reader of volumes: the files of a series become one volume, in a file that knows nobody's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydicom.pixels import apply_modality_lut

from speciate import Quarantined, Row, Sample, SpeciateError
from speciate.files import scratch
from speciate_dicom.container import Volume, Writer
from speciate_dicom.deid import check_tags, clean, columns, flat, patient_of, refuse_burned_in
from speciate_dicom.fields import Fields
from speciate_dicom.files import damaged, header, quietly
from speciate_dicom.geometry import Plane, Stack, planes_of, stacks_of
from speciate_dicom.near import looks
from speciate_dicom.options import DicomOptions
from speciate_dicom.pictures import as_grey
from speciate_dicom.resample import fitted, shape_of
from speciate_dicom.secret import secret

__all__ = ["DicomReader"]

Place = tuple[Writer, int, Plane, float]


class DicomReader:
    """Reads the files of one series."""

    def __init__(self, options: DicomOptions) -> None:
        check_tags(options)
        self.options, self.shape = options, shape_of(options.shape)

    def schema(self) -> Mapping[str, str]:
        return {"volume": "file"}

    def read(self, path: Path) -> Iterator[Row]:
        """The volumes of one file."""
        for row in self.read_all([path]):
            if isinstance(row, Quarantined):
                raise SpeciateError(row.reason)
            yield row

    def read_all(self, paths: Sequence[Path]) -> Iterator[Row | Quarantined]:
        """The volumes of a series: one, where nothing is mixed in it."""
        with quietly():
            yield from self._read_all(paths)

    def _read_all(self, paths: Sequence[Path]) -> Iterator[Row | Quarantined]:
        planes: list[Plane] = []
        for path in paths:
            try:
                planes += self._planes(path)
            except (MemoryError, OSError):
                raise
            except Exception as error:
                yield _refused(path, error)
        failed: dict[Path, Exception] = {}
        while True:  # again without the files whose pixels are damaged: what was a copy of one may be the original
            stacks, left = stacks_of([plane for plane in planes if plane.pixels.path not in failed])
            written, more = self._written(stacks)
            if not more:
                break
            failed |= more
        yield from (_refused(path, error) for path, error in failed.items())
        yield from (Quarantined(name, why) for name, why in dict.fromkeys((str(p.pixels.path), why) for p, why in left))
        for stack, path in zip(stacks, written, strict=True):
            yield self._row(stack, path)

    def decode(self, row: Mapping[str, Any]) -> Sample:
        voxels, spacing = fitted(Volume(Path(row["volume"])), self.shape, self.options.spacing)
        return {"voxels": voxels, "spacing": spacing}

    def _planes(self, path: Path) -> list[Plane]:
        found = header(path, self.options.frame_megabytes << 20)
        refuse_burned_in(found.data, self.options)
        return planes_of(found)

    def _written(self, stacks: Sequence[Stack]) -> tuple[list[Path], dict[Path, Exception]]:
        """A file for each stack, with the frames of all files put where they belong; and the files that failed."""
        places: dict[Path, dict[int, Place]] = {}
        failed: dict[Path, Exception] = {}
        with ExitStack() as opened:
            writers = []
            for number, stack in enumerate(stacks):
                self._check(stack)
                writer = Writer(scratch() / f"volume-{number}.safetensors", len(stack.planes), _facts(stack))
                opened.callback(writer.leave)
                writers.append(writer)
                for i, (plane, along) in enumerate(zip(stack.planes, stack.places, strict=True)):
                    places.setdefault(plane.pixels.path, {})[plane.frame] = (writer, i, plane, along)
            for path, wanted in places.items():
                try:
                    _put(wanted)
                except (MemoryError, OSError):
                    raise
                except Exception as error:
                    failed[path] = error
            for writer in () if failed else writers:
                writer.close()
        return [writer.path for writer in writers], failed

    def _check(self, stack: Stack) -> None:
        options = stack.planes[0].pixels.options
        size = options["rows"] * options["columns"] * options["bits_allocated"] // 8 * len(stack.planes)
        if size > self.options.volume_gigabytes << 30:
            exists = f"it takes {size >> 30} GB, the limit is {self.options.volume_gigabytes}"
            raise SpeciateError("this volume is too large", exists, "type -o volume_gigabytes=N")

    def _row(self, stack: Stack, path: Path) -> Row:
        """What is stored, and what is useful to know beside it."""
        first = stack.planes[0]
        data = flat(header(first.pixels.path, self.options.frame_megabytes << 20).data, first.frame)
        key = secret()
        kept = data if self.options.keep_phi else clean(data, first.frame, key)
        row: Row = {"volume": path, "group": key.name("patient", patient_of(data))}
        row["series"] = key.name("series", Fields(data).text("SeriesInstanceUID"))
        row |= {"looks": looks(path), "modality": Fields(kept).text("Modality"), "planes": len(stack.planes)}
        row |= {"height": first.pixels.options["rows"], "width": first.pixels.options["columns"]}
        row |= {"spacing": _words((stack.distance, *first.spacing)), "gaps": stack.gaps}
        return row | {"geometry": "known" if first.known else "assumed", **columns(data, kept, self.options)}


def _put(wanted: Mapping[int, Place]) -> None:
    """The frames of a file that are planes, to where they belong."""
    pixels = next(iter(wanted.values()))[2].pixels
    for frame, array in enumerate(pixels.frames()):
        if frame not in wanted:
            continue
        writer, number, plane, along = wanted[frame]
        if plane.table is not None:
            array = apply_modality_lut(array, plane.table)
        try:
            writer.put(number, as_grey(array), plane.scale if plane.table is None else (1.0, 0.0), along)
        except KeyError:
            raise damaged(f"values of type {array.dtype} are none that a volume holds") from None


def _facts(stack: Stack) -> dict[str, str]:
    """What the volume's file says about itself: geometry, and nothing about people."""
    first = stack.planes[0]
    facts = {"format": "speciate volume 1", "spacing": _words((stack.distance, *first.spacing), ",")}
    facts |= {"origin": _words(first.position, ","), "orientation": _words(first.orientation, ",")}
    if first.void:
        facts["void"] = f"{first.void[0]},{first.void[1]}"
    return facts


def _words(numbers: Sequence[float], between: str = " ") -> str:
    return between.join(f"{number:.9g}" for number in numbers)


def _refused(path: Path, error: Exception) -> Quarantined:
    reason = str(error) if isinstance(error, SpeciateError) else damaged(type(error).__name__).args[0]
    return Quarantined(str(path), "; ".join(str(reason).splitlines()))
