"""Small good pictures of every kind the format knows, for the conformance kit and for trying things out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["scene", "write"]

CAMERA = 0x0112


def scene(seed: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A picture with coarse and fine parts: soft coloured shapes on a slope of light."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    found = np.stack([x * a + y * b for a, b in rng.uniform(-0.5, 0.5, (3, 2))], axis=2) + 0.5
    for _ in range(6):
        (cy, cx), radius, colour = rng.uniform(0, 0.8, 2), rng.uniform(0.05, 0.25), rng.uniform(-0.5, 0.5, 3)
        found += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / radius**2)[:, :, None] * colour
    pixels: NDArray[np.uint8] = np.rint(found.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def write(folder: Path) -> list[Path]:
    """Write them; each shows a scene of its own, so that nothing is a duplicate."""
    written = []
    for seed, (name, picture, how) in enumerate(_kinds()):
        out = io.BytesIO()
        picture(Image.fromarray(scene(seed))).save(out, **how)
        written.append(folder / name)
        written[-1].write_bytes(out.getvalue())
    deep = np.linspace(0, 4095, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint16) ^ scene(50)
    for name, values in (("deep.png", deep), ("deep.tiff", deep + 1), ("deepgrey.png", deep[:, :, 0])):
        data = cv2.imencode(Path(name).suffix, values)[1].tobytes()
        written.append(folder / name)
        written[-1].write_bytes(data)
    return written


def _kinds() -> list[tuple[str, Any, dict[str, Any]]]:
    """(file name, what to make of the scene, how to save it)."""
    turned = Image.Exif()
    turned[CAMERA] = 6
    frames = [Image.fromarray(scene(seed)) for seed in (60, 61)]
    return [
        ("colour.png", lambda p: p, {"format": "PNG"}),
        ("grey.png", lambda p: p.convert("L"), {"format": "PNG"}),
        ("palette.png", lambda p: p.quantize(64), {"format": "PNG"}),
        ("alpha.png", _faded, {"format": "PNG"}),
        ("bits.png", lambda p: p.convert("1"), {"format": "PNG"}),
        ("colour.jpg", lambda p: p, {"format": "JPEG", "quality": 90}),
        ("grey.jpeg", lambda p: p.convert("L"), {"format": "JPEG", "progressive": True}),
        ("cmyk.jpg", lambda p: p.convert("CMYK"), {"format": "JPEG"}),
        ("turned.jpg", lambda p: p, {"format": "JPEG", "exif": turned}),
        ("colour.webp", lambda p: p, {"format": "WEBP"}),
        ("alpha.webp", _faded, {"format": "WEBP", "lossless": True}),
        ("moving.webp", lambda p: p, {"format": "WEBP", "save_all": True, "append_images": frames}),
        ("colour.tif", lambda p: p, {"format": "TIFF"}),
        ("packed.tiff", lambda p: p, {"format": "TIFF", "compression": "tiff_lzw"}),
        ("float.tif", lambda p: p.convert("F"), {"format": "TIFF"}),
        ("colour.bmp", lambda p: p, {"format": "BMP"}),
        ("moving.gif", lambda p: p, {"format": "GIF", "save_all": True, "append_images": frames}),
    ]


def _faded(picture: Image.Image) -> Image.Image:
    """Half of it is transparent."""
    faded = picture.convert("RGBA")
    faded.putalpha(Image.linear_gradient("L").resize(picture.size))
    return faded
