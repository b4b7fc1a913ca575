"""Mask files: a PNG, NPY or NIfTI file that a label file names becomes the label itself, class names and all.

`named` finds the files when labels are joined; `read` runs where strangers' bytes are read, in the limited processes.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError, UsageError
from speciate.masks import BACKGROUND, HEAD, MOST, Mask, same_shape

__all__ = ["COLUMN", "NAMES", "Named", "named", "names_beside", "read"]

COLUMN, NAMES = "mask", "mask_names"
MOST_CLASSES = 254
NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
Values = NDArray[Any]
Named = tuple[str, Mapping[int, str]]
"""A mask's file and what its values are called: it travels to the processes that read."""


def named(value: Any, home: Path, sure: bool) -> Path | str | None:
    """What a cell of a label file says: the path of a mask, a mask's text, or nothing of the kind."""
    if isinstance(value, Mapping) or (isinstance(value, str) and value.startswith(HEAD)):
        return Mask.read(value).write()
    text = str(value or "")
    if not text.lower().endswith(tuple(READERS)):
        if sure and text:
            exists = f"it says {text[:60]!r}; a mask is a file: {', '.join(READERS)}"
            raise UsageError(f"column {COLUMN!r} of the label file names no mask", exists, "type --target COLUMN")
        return None
    path = home / text.replace("\\", "/")
    return path if sure or path.is_file() else None


def names_beside(said: Any, home: Path) -> dict[int, str]:
    """What values are called: `lung,bone` in the label file's own column, else in mask_names.json beside it, as
    ["lung", "bone"] or {"1": "lung", "7": "bone"}."""
    beside = home / f"{NAMES}.json"
    try:
        if isinstance(said, str) and said and not said.startswith(("[", "{")):
            given: Any = [part.strip() for part in said.split(",")]
        elif said:
            given = json.loads(said) if isinstance(said, str) else said
        else:
            given = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        pairs = given.items() if isinstance(given, Mapping) else enumerate(given, 1)
        return {int(value): str(name) for value, name in pairs if str(name) != BACKGROUND}
    except (ValueError, TypeError, OSError) as error:
        exists = f"{NAMES} is {str(said)[:60]!r}" if said else f"it says {error}"
        do = 'write ["lung", "bone"] for the values 1 and 2, or {"1": "lung"}'
        raise UsageError(f"cannot read the names of classes in {beside}", exists, do) from error


def read(mask: Named, row: Row) -> str:
    """The label that a mask file is, for a row that may say how high and wide its picture is."""
    path, names = Path(mask[0]), mask[1]
    try:
        values = next(reader for end, reader in READERS.items() if path.name.lower().endswith(end))(path)
        whole = _whole(values)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise SpeciateError(f"cannot read the mask {path.name}", str(error), "write it again") from error
    _check_size(path.name, whole, row)
    there = np.flatnonzero(np.bincount(whole.ravel(), minlength=1)).tolist()
    strange = [value for value in there if value and names and value not in names]
    if strange:
        exists = f"there are: {', '.join(f'{value} {name}' for value, name in sorted(names.items()))}"
        do = f"name them all in {NAMES}"
        raise SpeciateError(f"value {strange[0]} of the mask {path.name} has no name", exists, do)
    return Mask.of(whole, [names.get(i, str(i)) if i else BACKGROUND for i in range(MOST_CLASSES + 1)]).write()


def _whole(values: Values) -> NDArray[np.uint8]:
    """Class indexes, 0 to 254; a mask of 0 and 255 alone has one class, 1."""
    if values.ndim not in (2, 3) or not values.size:
        raise ValueError(f"a mask has two dimensions or three, not {list(values.shape)}")
    if values.dtype.kind not in "biuf":
        raise ValueError(f"a mask holds whole numbers, not {values.dtype}")
    low, high = float(values.min()), float(values.max())
    if high == 255 and bool(((values == 0) | (values == 255)).all()):
        values = values == 255
    elif not 0 <= low <= high <= MOST_CLASSES:
        raise ValueError(f"a mask holds class indexes from 0 to {MOST_CLASSES}, not {low:g} to {high:g}")
    found: NDArray[np.uint8] = values.astype(np.uint8)
    if values.dtype.kind == "f" and not bool((found == values).all()):
        raise ValueError("a mask holds whole numbers")
    return found


def _check_size(name: str, values: Values, row: Row) -> None:
    size = [row.get(side) for side in ("height", "width")]
    if all(isinstance(side, int) and side > 0 for side in size) and not same_shape(
        values.shape[-2:], cast("list[int]", size)
    ):
        asked = f"the mask {name} is {values.shape[-2]} x {values.shape[-1]} (height x width)"
        exists = f"what it belongs to is {size[0]} x {size[1]}: other proportions"
        raise SpeciateError(asked, exists, "give a mask of the whole picture, upright")


def _png(path: Path) -> Values:
    """Grey values or places in a palette, as they are."""
    try:
        from PIL import Image
    except ImportError as error:
        do = 'type `pip install "speciate[image]"`, or give masks as NPY'
        raise UsageError("masks in PNG need pillow", "it is not installed", do) from error
    with Image.open(path, formats=["PNG"]) as image:
        _refuse_large((image.height, image.width))
        if image.mode not in ("1", "L", "P", "I;16", "I"):
            raise ValueError(f"its mode is {image.mode}: a mask has one channel, of class indexes or a palette")
        return np.asarray(image)


def _npy(path: Path) -> Values:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    _refuse_large(values.shape)
    return np.asarray(values)


def _nifti(path: Path) -> Values:
    """The voxels as they are stored, [slice, row, column]: those of a tool that keeps the order of the series."""
    with path.open("rb") as raw:
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw)
        head = file.read(348)
        order = "<" if head[:4] == b"\x5c\x01\0\0" else ">"
        if len(head) < 348 or head[344:346] not in (b"n+", b"ni"):
            raise ValueError("it is no NIfTI-1 file")
        numbers = np.frombuffer(head[40:56], f"{order}i2").tolist()
        shape = [n for n in numbers[1 : numbers[0] + 1] if n != 1] if 1 <= numbers[0] <= 7 else []
        kind = NIFTI_TYPES.get(int(np.frombuffer(head[70:72], f"{order}i2")[0]))
        if kind is None or len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(f"its size is {shape} or its type unknown: a mask has two dimensions or three")
        _refuse_large(shape)
        start = int(np.frombuffer(head[108:112], f"{order}f4")[0])
        if not 348 <= start <= 1 << 20:
            raise ValueError(f"its voxels begin at byte {start}")
        file.read(start - 348)
        dtype = np.dtype(order + kind)
        data = file.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(data, dtype, math.prod(shape)).reshape(shape[::-1])


def _refuse_large(shape: Any) -> None:
    if math.prod(shape) > MOST:
        raise ValueError(f"it has {math.prod(shape)} values, at most {MOST} are taken")


READERS = {".png": _png, ".npy": _npy, ".nii.gz": _nifti, ".nii": _nifti}
