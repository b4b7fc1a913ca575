"""Masks as labels: which class each pixel or voxel belongs to, as text that versions, diffs and `relabel` carry.

    {"size":[4,5],"counts":{"lung":[6,2,3,2,7]}}

`size` is height and width, or depth (or time) before them. `counts` has for each class the lengths of runs, row by row:
so many that are not of the class, then so many that are, and so on to the end, as COCO's uncompressed run lengths are
(which go column by column). What no class claims is background; of two that claim it the later one in a task's order
has it. NumPy is imported where it is needed: those who only show a label need none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speciate.errors import SpeciateError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BACKGROUND", "MOST", "Mask", "objects", "resized", "same_shape", "shown", "tinted", "values_of"]

BACKGROUND = "background"
MOST = 1 << 28  # pixels or voxels of one mask
HEAD = '{"size":'
BENT = 0.02  # how much the proportions of a mask and its picture may differ
COLOURS = ((230, 60, 60), (60, 140, 255), (60, 200, 90), (250, 190, 40), (190, 90, 230), (60, 210, 210))


@dataclass(frozen=True)
class Mask:
    """A size, and for each class that occurs where it is."""

    size: tuple[int, ...]
    runs: Mapping[str, Sequence[int]]

    @classmethod
    def read(cls, label: Any) -> Mask:
        """From a label's text, or from what is parsed of it; what cannot be a mask is refused."""
        try:
            said = json.loads(label) if isinstance(label, str) else label
            size, runs = tuple(said["size"]), {str(name): list(counts) for name, counts in said["counts"].items()}
            numbers = [*size, *(n for counts in runs.values() for n in counts)]
            if not all(type(n) is int and n >= 0 for n in numbers) or len(size) not in (2, 3) or 0 in size:
                raise ValueError("sizes and run lengths are whole numbers, and a mask has two or three dimensions")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = f"{shown(str(label))}: {error}" if isinstance(error, ValueError) else shown(str(label))
            do = 'write {"size":[height,width],"counts":{"NAME":[run lengths]}}, or the path of a PNG'
            raise SpeciateError("a label is no mask", why, do) from None
        whole = math.prod(size)
        wrong = next((name for name, counts in runs.items() if sum(counts) != whole), "")
        if whole > MOST or wrong:
            exists = f"the runs of {wrong!r} are {sum(runs[wrong])} long" if wrong else f"at most {MOST} are taken"
            raise SpeciateError(f"a mask has {whole} places", exists, "mend the label")
        return cls(size, runs)

    @classmethod
    def of(cls, values: NDArray[Any], names: Sequence[str]) -> Mask:
        """From class indexes; `names[0]` is background."""
        import numpy as np

        flat = np.ascontiguousarray(values).ravel()
        there: list[int] = np.flatnonzero(np.bincount(flat, minlength=1)).tolist()
        return cls(tuple(values.shape), {names[i]: _runs(flat == i) for i in there if i})

    def write(self) -> str:
        """The label: equal masks have equal text."""
        return json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        return {"size": list(self.size), "counts": {name: list(self.runs[name]) for name in sorted(self.runs)}}

    def values(self, names: Sequence[str]) -> NDArray[np.uint8]:
        """Class indexes; what belongs to a class that is not named is background."""
        import numpy as np

        flat = np.zeros(math.prod(self.size), np.uint8)
        for index, name in enumerate(names):
            if index and name in self.runs:
                counts = np.asarray(self.runs[name], np.int64)
                flat[np.repeat(np.arange(len(counts)) % 2 == 1, counts)] = index
        return flat.reshape(self.size)


def values_of(mask: Any, names: Sequence[str]) -> NDArray[np.uint8]:
    """The class indexes of a Mask, of a label, or of an array that holds them already."""
    import numpy as np

    if isinstance(mask, np.ndarray):
        return mask
    return (mask if isinstance(mask, Mask) else Mask.read(mask)).values(names)


def resized(values: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """The nearest value for each place of another size; dimensions beyond those of `size` stay."""
    import numpy as np

    for axis, (new, old) in enumerate(zip(size, values.shape, strict=False)):
        if new != old:
            at = ((np.arange(new) + 0.5) * (old / new)).astype(np.intp).clip(0, old - 1)
            values = np.take(values, at, axis)
    return values


def same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two heights and widths have the same proportions, up to a pixel."""
    (h, w), (height, width) = a, b
    return abs(h * width - w * height) <= BENT * h * width + max(h, w, height, width)


def objects(things: Iterable[Any]) -> NDArray[Any]:
    """Things of any shape as an array with one entry each."""
    import numpy as np

    listed = list(things)
    found = np.empty(len(listed), dtype=object)
    for place, thing in enumerate(listed):
        found[place] = thing
    return found


def shown(label: Any, longest: int = 60) -> str:
    """A label as a person reads it: short, whatever it is."""
    text = str(label)
    if text.startswith(HEAD):
        try:
            said = json.loads(text)
            return f"mask {' x '.join(map(str, said['size']))}: {', '.join(sorted(said['counts'])) or BACKGROUND}"
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return text if len(text) <= longest else f"{text[:longest]}..."


def tinted(sample: Mapping[str, Any], label: Any) -> Mapping[str, Any]:
    """A sample with its mask drawn over it: colours on what has them, the outline in white on what has none."""
    import numpy as np

    if not str(label).startswith(HEAD):
        return sample
    mask = Mask.read(label)
    values, deep = mask.values([BACKGROUND, *sorted(mask.runs)]), len(mask.size)
    found = dict(sample)
    for name, array in sample.items():
        shape: tuple[int, ...] = getattr(array, "shape", ())
        if len(shape) == deep + 1 and shape[-1] == 3 and array.dtype == np.uint8:
            there = resized(values, shape[:deep])
            colours = np.array([COLOURS[i % len(COLOURS)] for i in range(int(there.max()) + 1)], np.uint8)
            blended = (array.astype(np.uint16) + colours[there.astype(np.intp) - 1]) // 2
            found[name] = np.where(there[..., None] > 0, blended.astype(np.uint8), array)
        elif len(shape) == deep > 2:
            there = resized(values, shape)
            edge = np.zeros(shape, bool)
            for axis in range(deep):
                edge |= there != np.roll(there, 1, axis)
            found[name] = np.where(edge, array.max(), array)
    return found


def _runs(flags: NDArray[np.bool_]) -> list[int]:
    import numpy as np

    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    lengths: list[int] = np.diff(np.concatenate([[0], edges, [len(flags)]])).tolist()
    return [0, *lengths] if flags[0] else lengths
