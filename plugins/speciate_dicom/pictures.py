"""From stored values to what a person sees: rescale, window, padding, photometric interpretation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi

from speciate import UsageError
from speciate_dicom.fields import Fields

__all__ = [
    *("as_grey", "automatic", "padding", "rendered", "rescaled", "scale", "shown", "void_of", "window_of", "windowed"),
]

Window = tuple[float, float]  # centre and width
LOW, HIGH = 0.5, 99.5  # percentiles of an automatic window
SAMPLE = 1 << 16  # pixels that percentiles are taken from


def rendered(array: NDArray[Any], data: Dataset, window: str) -> NDArray[np.uint8]:
    """[height, width, 3]: what a viewer shows."""
    found = shown(array, data, window)
    if found.ndim == 3:
        return found
    colours = np.empty((*found.shape, 3), dtype=np.uint8)
    for channel in range(3):  # twice as fast as `repeat`
        colours[..., channel] = found
    return colours


def shown(array: NDArray[Any], data: Dataset, window: str) -> NDArray[np.uint8]:
    """The same, [height, width] where it is grey."""
    fields = Fields(data)
    kind = fields.text("PhotometricInterpretation", "MONOCHROME2")
    if kind == "PALETTE COLOR":
        return _bytes(apply_color_lut(array, data))
    if array.ndim == 3:
        return _bytes(array, int(fields.value("BitsStored") or 8))
    void = padding(array, data)
    grey = _looked_up(array, data) if not window else None
    if grey is None:
        values = rescaled(array, data)
        grey = windowed(values, _chosen(values, void, fields, window), fields.text("VOILUTFunction", "LINEAR"))
    if kind == "MONOCHROME1":
        grey = 255 - grey
    if void is not None:
        grey[void] = 0
    return grey


def rescaled(array: NDArray[Any], data: Dataset) -> NDArray[np.float32]:
    """Values in their own units: Hounsfield, dose, counts."""
    if data.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(array, data), dtype=np.float32)
    slope, intercept = scale(data)
    values = array.astype(np.float32)
    if slope != 1:
        values *= np.float32(slope)
    if intercept:
        values += np.float32(intercept)
    return values


def scale(data: Dataset) -> tuple[float, float]:
    """Slope and intercept."""
    fields = Fields(data)
    slope, intercept = fields.value("RescaleSlope"), fields.value("RescaleIntercept")
    if slope is None and (dose := fields.value("DoseGridScaling")) is not None:
        return float(dose), 0.0
    return float(1 if slope is None else slope), float(intercept or 0)


def void_of(data: Dataset) -> tuple[int, int] | None:
    """The stored values, from and to, that stand for no picture."""
    fields = Fields(data)
    low = fields.value("PixelPaddingValue")
    if not isinstance(low, int):
        return None
    high = fields.value("PixelPaddingRangeLimit")
    return (min(low, high), max(low, high)) if isinstance(high, int) else (low, low)


def padding(array: NDArray[Any], data: Dataset) -> NDArray[np.bool_] | None:
    """Where there is no picture, or nothing where there is picture everywhere."""
    ends = void_of(data)
    if ends is None:
        return None
    void: NDArray[np.bool_] = (array >= ends[0]) & (array <= ends[1])
    return void if void.any() and not void.all() else None


def windowed(values: NDArray[np.float32], window: Window, function: str = "LINEAR") -> NDArray[np.uint8]:
    """As DICOM defines it (PS3.3 C.11.2.1.2), onto 0 to 255."""
    centre, width = window
    if function == "SIGMOID":
        grey = 255 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -50, 50)))
        return np.asarray(np.rint(grey), dtype=np.uint8)
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    scaled = values * np.float32(255 / width)
    scaled += np.float32(127.5 - centre * 255 / width)
    return np.asarray(np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled), dtype=np.uint8)


def window_of(text: str) -> Window | None:
    """CENTRE,WIDTH as a person types it; nothing for auto."""
    if text in ("", "auto"):
        return None
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"window={text!r}", "a window is CENTRE,WIDTH or auto", "type window=40,400") from None
    if not width > 0:
        raise UsageError(f"window={text!r}", "the width is more than 0", "type window=40,400")
    return centre, width


def automatic(values: NDArray[np.float32]) -> Window:
    """All but the darkest and the brightest few."""
    flat = values.reshape(-1)
    low, high = _percentiles(flat[:: max(1, flat.size // SAMPLE)])
    if not high > low:
        low, high = flat.min(), flat.max()
    width = float(high) - float(low)
    return (float(low) + float(high)) / 2 + 0.5, width + 1 if width > 0 else 2.0


def _percentiles(values: NDArray[np.float32]) -> tuple[Any, Any]:
    """`np.percentile` of LOW and HIGH, in half its time."""
    ordered = np.sort(values)
    if not len(ordered) or np.isnan(ordered[-1]):
        low, high = np.percentile(values, (LOW, HIGH))
        return low, high
    at = (len(ordered) - 1) * np.true_divide(np.array([LOW, HIGH]), 100)
    below = np.floor(at).astype(np.int64)
    a, b, share = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)], at - below
    low, high = np.where(share >= 0.5, b - (b - a) * (1 - share), a + (b - a) * share)
    return low, high


def as_grey(array: NDArray[Any]) -> NDArray[Any]:
    """Colours as brightness (ITU-R 601), so that a colour picture can be a plane of a volume."""
    if array.ndim == 2:
        return array
    weighed = array @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(np.rint(weighed), dtype=array.dtype)


def _chosen(values: NDArray[np.float32], void: NDArray[np.bool_] | None, fields: Fields, window: str) -> Window:
    """The window that was asked for, the file's own, or an automatic one."""
    asked = window_of(window)
    if asked is not None:
        return asked
    centre, width = (_first(fields.value(name)) for name in ("WindowCenter", "WindowWidth"))
    if not window and centre is not None and width is not None and width >= 1:
        return centre, width
    return automatic(values if void is None else values[~void])


def _looked_up(array: NDArray[Any], data: Dataset) -> NDArray[np.uint8] | None:
    """Through the file's own table of grey values, where it has one."""
    table = data.get("VOILUTSequence") if "VOILUTSequence" in data else None
    if not table:
        return None
    values = apply_modality_lut(array, data)
    found = apply_voi(values.astype(np.int64), data)
    return _bytes(found, int(table[0].LUTDescriptor[2]))


def _bytes(array: NDArray[Any], bits: int = 0) -> NDArray[np.uint8]:
    """Values of so many bits as bytes."""
    bits = bits or array.dtype.itemsize * 8
    if bits == 8 and array.dtype == np.uint8:
        return array
    top = float(2**bits - 1)
    return np.asarray(np.rint(np.clip(array.astype(np.float32) * np.float32(255 / top), 0, 255)), dtype=np.uint8)


def _first(value: Any) -> float | None:
    try:
        return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return None
