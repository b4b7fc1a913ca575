"""A picture seen another way to train on, and shown to a person."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from speciate import Preview, Sample
from speciate_image.prepare import resized

__all__ = ["augment", "preview"]

LONGEST, FACTS = 512, ("kind", "mode", "bits", "frames")
LEAST, STRETCH, LIGHT = 0.6, 0.25, 0.25  # of each side that is kept; of the shape; of brightness and contrast


def augment(sample: Sample, rng: Generator) -> Sample:
    """A part of it, maybe mirrored, a little brighter or darker: what another photograph of the thing could be."""
    pixels = sample["pixels"]
    height, width = pixels.shape[:2]
    side = rng.uniform(LEAST, 1)
    shape = rng.uniform(1 - STRETCH / 2, 1 + STRETCH / 2)
    h, w = (max(1, min(full, round(full * side * by))) for full, by in ((height, shape), (width, 1 / shape)))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    seen = pixels[top : top + h, left : left + w]
    if rng.random() < 0.5:
        seen = seen[:, ::-1]
    contrast, brightness = rng.uniform(1 - LIGHT, 1 + LIGHT), rng.uniform(-LIGHT, LIGHT) * 128
    table = ((np.arange(256) - 128) * contrast + 128 + brightness).round().clip(0, 255).astype(np.uint8)
    return {**sample, "pixels": table[seen]}


def preview(row: Mapping[str, Any], sample: Sample) -> Preview:
    """The picture, at most 512 pixels long, and what is known of it."""
    pixels = sample["pixels"]
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    small = resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()
    known = {"size": f"{width} x {height}"} | {name: row[name] for name in FACTS if name in row}
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in known.items())
    return Preview(png, f"<table>{cells}</table>")
