"""Small good DICOM files made by code, for the conformance kit and for trying things out: nobody was scanned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

__all__ = ["body", "picture", "save", "write"]

CT, MR, CAPTURE = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "7"))
ENHANCED_CT = f"{CT}.1"
SIDE = 24


def write(folder: Path) -> list[Path]:
    """Files that are a thing each: one plane, many frames, an enhanced one, colours, compressed, without a suffix."""
    flat = body(3, "a")
    inverted = picture(flat[1], "b", PhotometricInterpretation="MONOCHROME1", SOPClassUID=MR, Modality="MR")
    colours = np.stack([flat[0] // 16, flat[1] // 16, flat[2] // 16], axis=2).astype(np.uint8)
    packed = picture(body(1, "d")[0], "d", PixelPaddingValue=0)
    packed.compress(RLELossless, generate_instance_uid=False)
    return [
        save(folder / "plane.dcm", picture(flat[0], "a")),
        save(folder / "inverted.dcm", inverted),
        save(folder / "colours.dcm", picture(colours, "c", SOPClassUID=CAPTURE, Modality="OT")),
        save(folder / "packed.dcm", packed),
        save(folder / "frames.dcm", _frames(body(4, "e"), "e")),
        save(folder / "enhanced.dcm", _enhanced(body(3, "f"), "f")),
        save(folder / "IM0001", picture(body(1, "g")[0], "g")),
    ]


def body(depth: int, name: str, side: int = SIDE) -> NDArray[np.uint16]:
    """Stored values of a ball in air with some texture, another one for each name."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (depth, side, side)), indexing="ij")
    radius, (dy, dx) = rng.uniform(0.5, 0.9), rng.uniform(-0.2, 0.2, 2)
    inside = z * z * 0.5 + (y - dy) ** 2 + (x - dx) ** 2 < radius**2
    values = np.where(inside, 1064 + 200 * np.sin(5 * x + rng.uniform(0, 6)), 24) + rng.uniform(0, 40, inside.shape)
    return np.asarray(values, dtype=np.uint16)


def picture(array: NDArray[Any], name: str, number: int = 1, **more: Any) -> Dataset:
    """A file of one plane, or of several frames; `name` tells patients and series apart."""
    data = Dataset()
    data.SOPClassUID, data.Modality, data.PatientID, data.PatientName = CT, "CT", f"P-{name}", f"Example^{name}"
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid(name, 1), _uid(name, 2)
    data.SOPInstanceUID, data.StudyDate, data.InstanceNumber = _uid(name, 2 + number), "20200301", number
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [0.75, 0.75], 2.5
    data.RescaleSlope, data.RescaleIntercept, data.WindowCenter, data.WindowWidth = 1, -1024, 40, 400
    colours = array.ndim == 3 and array.dtype == np.uint8
    if array.ndim == 3 and not colours:
        data.NumberOfFrames = len(array)
    data.Rows, data.Columns = array.shape[:2] if colours else array.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colours else (1, "MONOCHROME2")
    if colours:
        data.PlanarConfiguration = 0
    bits = array.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    for keyword, value in more.items():
        setattr(data, keyword, value)
    pixels = array.tobytes()
    data.PixelData = pixels + b"\0" * (len(pixels) % 2)
    data["PixelData"].VR = "OW" if bits > 8 else "OB"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, data, enforce_file_format=True)
    return path


def _frames(values: NDArray[np.uint16], name: str) -> Dataset:
    """Frames that only follow one another."""
    data = picture(values, name)
    del data.ImagePositionPatient, data.ImageOrientationPatient
    return data


def _enhanced(values: NDArray[np.uint16], name: str) -> Dataset:
    """Frames with a place each, in functional groups."""
    data = picture(values, name, SOPClassUID=ENHANCED_CT)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, keyword)
    measures, facing = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.75], 2.5
    facing.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([facing])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for i in range(len(values)):
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, -2.5 * i]  # written from head to foot
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return data


def _uid(name: str, number: int) -> str:
    return f"1.2.826.0.1.3680043.10.1.{int.from_bytes(name.encode(), 'big')}.{number}"
