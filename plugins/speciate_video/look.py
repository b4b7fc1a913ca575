"""A clip as people look at it, and as a network that learns may see it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from speciate import Preview, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["augment", "preview"]

SHOWN, SIDE = 16, 96  # frames, pixels
CROP = 0.8  # the least share of a side that is kept
LIGHT = 0.2


def preview(row: Mapping[str, Any], sample: Sample) -> Preview:
    """Frames side by side in the order of time, as one picture, and what is known of the clip."""
    frames = sample["frames"]
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), SHOWN)).round().astype(int)]
    known = {name: row[name] for name in ("start", "end", "seconds", "fps", "width", "height", "codec") if name in row}
    words = ", ".join(f"{html.escape(name)} {html.escape(str(value))}" for name, value in known.items())
    return Preview(_sheet(chosen), f"<p>{len(frames)} frames: {words}</p>")


def _sheet(frames: NDArray[np.uint8]) -> bytes:
    import cv2

    across = min(len(frames), math.ceil(math.sqrt(len(frames)) * 1.4))
    down = math.ceil(len(frames) / across)
    sheet = np.full((down * SIDE, across * SIDE, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // across * SIDE, i % across * SIDE
        small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        sheet[top : top + SIDE, left : left + SIDE] = small[:, :, ::-1]
    return bytes(cv2.imencode(".png", sheet)[1])


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """The same clip from nearby and in another light. Never mirrored or reversed: left and right, before and after may
    be what it is about."""
    import cv2

    frames = sample["frames"]
    size = frames.shape[1]
    kept = round(size * rng.uniform(CROP, 1.0))
    top, left = (int(rng.integers(0, size - kept + 1)) for _ in range(2))
    gain, shift = rng.uniform(1 - LIGHT, 1 + LIGHT), rng.uniform(-LIGHT, LIGHT) * 128
    light = np.clip(np.arange(256) * gain + shift, 0, 255).astype(np.uint8)
    parts = light[frames[:, top : top + kept, left : left + kept]]
    width, height = frames.shape[2], size
    scaled = [cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_LINEAR) for part in parts]
    return {"frames": np.stack(scaled)}
