"""segment: a class for each pixel or voxel, learnt from masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from speciate import Row, Sample, SpeciateError, UsageError
from speciate.errors import unknown
from speciate.masks import BACKGROUND, Mask, objects, resized, same_shape, values_of
from speciate.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Segment"]

LARGEST = 512  # places along a side that are compared with what a network gives
SHIFT, SMALLER, LARGER, LIGHT = 0.1, 0.75, 1.1, 0.15  # how else a sample is seen: shares of its side, and of its light
COUNTED = 200  # masks that tell how common classes are


class Segment(Task):
    """Targets are Masks, answers arrays of class indexes in the size of the sample; `labels[0]` is background."""

    name = "segment"
    primary = "dice"
    needs = "places"
    pipeline: ClassVar[str] = "image-segmentation"

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        masks = [Mask.read(row["label"]) for row in rows]
        there = sorted({name for mask in masks for name in mask.runs} - {BACKGROUND})
        if len({len(mask.size) for mask in masks}) > 1:
            exists = f"masks of {where} have two dimensions and others three"
            raise SpeciateError("segment wants masks of one kind", exists, "label pictures or volumes, not both")
        chosen = list(options.get("classes") or there)
        for name in chosen:
            if name not in there:
                raise unknown("class", name, there, "type task.classes=[NAME]")
        if not chosen:
            raise SpeciateError("there is nothing to find", f"every mask of {where} is background", "add other masks")
        if not 0 <= float(options.get("dice", 0.5)) <= 1:
            raise UsageError(f"task.dice={options['dice']}", "it is a share, from 0 to 1", "type task.dice=0.5")
        return cls((BACKGROUND, *chosen), options)

    def targets(self, rows: Sequence[Row]) -> NDArray[Any]:
        return objects(
            row["label"] if isinstance(row["label"], np.ndarray) else Mask.read(row["label"]) for row in rows
        )

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        masks = [Mask.of(values, self.labels) for values in answers]
        return [
            {"mask": mask.as_dict(), "classes": [name for name in self.labels[1:] if name in mask.runs]}
            for mask in masks
        ]

    def answers(self, outputs: Sequence[Row]) -> NDArray[Any]:
        return objects(values_of(output["mask"], self.labels) for output in outputs)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[Any]:
        """Background everywhere: one place that stands for all."""
        shape = (1,) * (len(_size(targets[0])) if len(targets) else 2)
        return objects(np.zeros(shape, np.uint8) for _ in range(n))

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """The share of places that differ, of the row where it is largest."""
        return max(
            (float((x != y).mean()) if x.shape == y.shape else 1.0 for x, y in zip(a, b, strict=True)), default=0
        )

    def says(self) -> str:
        classes = ", ".join(f"`{label}`" for label in self.labels[1:])
        return f"For each place of what is sent, one of {classes}, or background: `mask` holds run lengths."

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        """A disk, a bar, and nothing."""
        y, x = np.mgrid[:12, :16]
        disk, bar = ((y - 5) ** 2 + (x - 6) ** 2 < 12) * 1, (abs(y - 8) < 3) * 2
        return [({}, [Mask.of(values, (BACKGROUND, "disk", "bar")).write() for values in (disk, bar, 0 * bar)])]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        return objects(values_of(target, self.labels) for target in targets)

    # --- learning -------------------------------------------------------------------------------------------------

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import PlaceHead

        counts = np.full(len(self.labels), 1e-6)
        for target in targets[:COUNTED] if targets.dtype == object else ():
            counts += np.bincount(values_of(target, self.labels).ravel(), minlength=len(counts))
        return PlaceHead(width, (counts / counts.sum()).tolist())

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        """Masks as one array: in the size of the largest of them, within bounds."""
        import torch

        arrays = [values_of(target, self.labels) for target in targets]
        size = [min(LARGEST, max(sides)) for sides in zip(*(array.shape for array in arrays), strict=True)]
        return torch.from_numpy(np.stack([np.ascontiguousarray(resized(array, size)) for array in arrays]))

    def seen(
        self, sample: Sample, row: Row, augment: Callable[..., Sample] | None, rng: Generator
    ) -> tuple[Sample, Row]:
        """Picture and mask moved and scaled alike in height and width, maybe mirrored; the picture in another light.
        The format's own `augment` is not asked: it would leave the mask where it was."""
        mask = values_of(row["label"], self.labels)
        deep = mask.ndim
        mirrored = bool(self.options.get("mirror")) and rng.random() < 0.5
        scale = rng.uniform(SMALLER, LARGER)
        down, along = rng.uniform(-SHIFT, SHIFT, 2) + (1 - scale) / 2
        ways = [(down, scale, False), (along, scale, mirrored)]
        gain, shift = 1 + rng.uniform(-LIGHT, LIGHT), rng.uniform(-LIGHT, LIGHT)
        moved = {
            name: _lit(_moved(array, deep, ways), gain, shift)
            for name, array in sample.items()
            if getattr(array, "ndim", 0) in (deep, deep + 1)
        }
        return {**sample, **moved}, {**row, "label": _moved(mask, deep, ways)}

    def check(self, targets: NDArray[Any], sizes: Sequence[tuple[int, ...]], rows: Sequence[Row]) -> None:
        for target, size, row in zip(targets, sizes, rows, strict=True):
            mask = _size(target)
            if len(mask) != len(size) or (len(size) == 2 and not same_shape(mask, size)):
                which = f"the mask of row {row.get('id')} ({row.get('source')})"
                asked = f"{which} is {_times(mask)}, its sample {_times(size)}"
                raise SpeciateError(asked, "a mask covers its whole sample", "relabel the row, or drop it")

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy and soft Dice; a class that is not there costs what is said of it."""
        from torch.nn.functional import cross_entropy, one_hot

        scores, share = scores.float(), float(self.options.get("dice", 0.5))
        wanted = _nearest(targets, scores.shape[2:]).long()
        surprise = cross_entropy(scores, wanted, reduction="none", label_smoothing=smoothing).flatten(1).mean(1)
        given = scores.softmax(1)[:, 1:].flatten(2)
        truth = one_hot(wanted.flatten(1), len(self.labels))[..., 1:].transpose(1, 2).to(given.dtype)
        dice = (2 * (given * truth).sum(2) + 1) / (given.sum(2) + truth.sum(2) + 1)
        return (1 - share) * surprise + share * (1 - dice).mean(1)

    def decide(self, scores: Tensor) -> Tensor:
        import torch

        return scores.argmax(1).to(torch.uint8)

    def answered(self, scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> NDArray[Any]:
        """In the size of each sample: scores are interpolated, then the highest wins."""
        from torch.nn.functional import interpolate

        way = "bilinear" if scores.ndim == 4 else "trilinear"
        return objects(
            self.decide(interpolate(one[None].float(), size, mode=way, align_corners=False))[0].cpu().numpy()
            for one, size in zip(scores, sizes, strict=True)
        )


def _moved(array: NDArray[Any], deep: int, ways: Sequence[tuple[float, float, bool]]) -> NDArray[Any]:
    """The last two of `deep` dimensions seen from `start` on, over `length` of the side; edges are repeated."""
    for axis, (start, length, turned) in zip((deep - 2, deep - 1), ways, strict=True):
        side = array.shape[axis]
        at = np.floor(start * side + (np.arange(side) + 0.5) * length).astype(np.intp).clip(0, side - 1)
        array = np.take(array, at[::-1] if turned else at, axis)
    return array


def _lit(array: NDArray[Any], gain: float, shift: float) -> NDArray[Any]:
    """More or less contrast and brightness."""
    if array.dtype == np.uint8:
        table = ((np.arange(256) - 128) * gain + 128 + shift * 128).round().clip(0, 255).astype(np.uint8)
        seen: NDArray[Any] = table[array]
        return seen
    middle, spread = array.mean(), array.std()
    lit: NDArray[Any] = ((array - middle) * gain + middle + shift * spread).astype(array.dtype)
    return lit


def _nearest(targets: Tensor, grid: Sequence[int]) -> Tensor:
    """Masks at the places of a grid."""
    import torch

    for axis, new in enumerate(grid, 1):
        old = targets.shape[axis]
        if old != new:
            at = ((torch.arange(new, device=targets.device) + 0.5) * (old / new)).long().clamp(0, old - 1)
            targets = targets.index_select(axis, at)
    return targets


def _size(target: Any) -> tuple[int, ...]:
    size: tuple[int, ...] = target.shape if isinstance(target, np.ndarray) else target.size
    return size


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
