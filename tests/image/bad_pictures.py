"""Pictures that lie, break off or explode, made in code; and seeded mutations of good ones."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from speciate_image.example import scene


def saved(picture, format, **how) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **how)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, bits: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def resize_jpeg(data: bytes, height: int, width: int) -> bytes:
    """The header says another size than the data has."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def bad(folder: Path) -> dict[str, Path]:
    """Files that must be refused, by what is wrong with them."""
    whole = Image.fromarray(scene(1, 96, 128))
    jpeg, good, tiff = saved(whole, "JPEG"), saved(whole, "PNG"), saved(whole, "TIFF", compression="tiff_lzw")
    webp, bmp, gif = saved(whole, "WEBP"), saved(whole, "BMP"), saved(whole, "GIF")
    empty = zlib.compress(bytes(100))
    deep = png(64, 48, zlib.compress(bytes(48 * (64 * 6 + 1))), bits=16)
    files = {
        "empty.png": b"",
        "text.png": b"this is no picture",
        "html.jpg": b"<!DOCTYPE html><html>404</html>",
        "bomb.png": png(60_000, 60_000, zlib.compress(bytes(1 << 20), 9)),
        "bomb-in-one-row.png": png(2_000_000_000, 1, empty),
        "bomb.jpg": resize_jpeg(jpeg, 65_500, 65_500),
        "bomb.bmp": bmp[:18] + struct.pack("<ii", 100_000, 100_000) + bmp[26:],
        "bomb.gif": gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:],
        "flat.png": png(0, 0, empty),
        "too-little.png": png(128, 96, empty),
        "bad-crc.png": good[:60] + bytes([good[60] ^ 1]) + good[61:],
        "memory.png": deep.replace(struct.pack(">I", deep.index(b"IEND") - deep.index(b"IDAT") - 12), b"\xff" * 4, 1),
        "text-bomb.png": png(8, 8, empty, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20), 9))),
        "taller.jpg": resize_jpeg(jpeg, 960, 128),
        "no-end.jpg": jpeg[:-2],
        "hole.jpg": jpeg[:800] + jpeg[1100:],
        "only-header.jpg": jpeg[:600],
        "stream-of-zeros.jpg": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) - len(jpeg) // 2),
        "program.exe.png": b"MZ" + random.Random(0).randbytes(4000),
    }
    halves = {"png": good, "jpg": jpeg, "tiff": tiff, "webp": webp, "bmp": bmp, "gif": gif}
    files |= {f"half.{kind}": data[: len(data) // 2] for kind, data in halves.items()}
    written = {}
    for name, data in files.items():
        written[name] = folder / name
        written[name].write_bytes(data)
    return written


def strange(folder: Path) -> dict[str, Path]:
    """Files that are odd and yet good."""
    whole = Image.fromarray(scene(2, 96, 128))
    jpeg = saved(whole, "JPEG")
    files = {
        "tail.jpg": jpeg + b"trailing bytes of a camera" * 40,
        "one-pixel.png": saved(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"),
        "thin.png": saved(Image.new("L", (4000, 1), 7), "PNG"),
        "wrong-suffix.png": jpeg,
        "broken-exif.jpg": saved(whole, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "interlaced.gif": saved(whole.convert("P"), "GIF", interlace=1),
        "nan.tif": saved(Image.fromarray(np.array([[np.nan, 1.0], [np.inf, 0.5]], dtype=np.float32)), "TIFF"),
    }
    written = {}
    for name, data in files.items():
        written[name] = folder / name
        written[name].write_bytes(data)
    return written


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Flips anywhere, flips in the header, a shorter file, a hole, a splice, or large numbers in the header."""
    changed = bytearray(data)
    kind = rng.choice(("flip", "flip", "header", "cut", "hole", "splice", "bomb"))
    at = rng.randrange(len(changed))
    if kind in ("flip", "header"):
        reach = len(changed) if kind == "flip" else min(128, len(changed))
        for _ in range(rng.randint(1, 16)):
            changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "hole":
        del changed[at : at + rng.randint(1, 400)]
    elif kind == "splice":
        changed[at:at] = changed[rng.randrange(len(changed)) :][: rng.randint(1, 400)]
    else:
        number = rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0xFFFF, 0))
        at = rng.randrange(min(64, len(changed)))
        changed[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)
    return bytes(changed)
