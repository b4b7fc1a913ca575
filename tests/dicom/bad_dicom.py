"""DICOM files that mean harm, made by code; and mutations of good ones, by seed."""

import struct
import zlib
from pathlib import Path

import numpy as np
from pydicom.uid import RLELossless

from speciate_dicom.example import body, picture, save

__all__ = ["bombs", "mutated"]

DEFLATED = "1.2.840.10008.1.2.1.99"


def bombs(folder: Path) -> list[Path]:
    """Small files that ask for much, or go round in circles."""
    flat = body(1, "h")[0]
    wide = picture(flat, "wide", Rows=65535, Columns=65535)
    many = picture(flat, "many", NumberOfFrames=2**31 - 1)
    packed = picture(flat, "packed")
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.Rows = packed.Columns = 60000
    files = [("wide", wide), ("many", many), ("packed", packed)]
    made = [save(folder / f"{name}.dcm", data) for name, data in files]
    good = save(folder.parent / "good", picture(flat, "good")).read_bytes()
    deep, endless = folder / "deep.dcm", folder / "endless.dcm"
    deep.write_bytes(_before_the_patient(good, (_element(0x8, 0x1110, b"SQ") + _item()) * 5000))
    endless.write_bytes(_before_the_patient(good, _element(0x10, 0x10, b"UN", 0xFFFFFFFE)))
    return [*made, deep, endless, _deflated(folder / "deflated.dcm")]


def _deflated(path: Path) -> Path:
    """Few megabytes that inflates to 600."""
    uid = DEFLATED.encode() + b"\0" * (len(DEFLATED) % 2)
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(600)) + deflate.flush()
    path.write_bytes(head + body)
    return path


def _before_the_patient(good: bytes, more: bytes) -> bytes:
    at = good.index(b"\x10\x00\x10\x00PN")
    return good[:at] + more + good[at:]


def _element(group: int, number: int, kind: bytes, length: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<HH2sHL", group, number, kind, 0, length)


def _item() -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)


def mutated(good: bytes, seed: int) -> bytes:
    """Flips (anywhere, or in the header), a cut, a splice, or a number at its limit."""
    rng = np.random.default_rng(seed)
    data = bytearray(good)
    kind = rng.integers(10)
    if kind < 6:
        end = len(data) if kind < 4 else min(len(data), 1200)
        for place in rng.integers(0, end, rng.integers(1, 65)):
            data[place] = rng.integers(256)
    elif kind < 8:
        del data[rng.integers(1, len(data)) :]
    elif kind < 9:
        a, b = sorted(rng.integers(0, len(data), 2))
        data[a:b] = [] if rng.integers(2) else data[a:b] * 2
    else:
        place = int(rng.integers(132, len(data) - 4))
        data[place : place + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xfe\xff\0\xe0"][
            rng.integers(4)
        ]
    return bytes(data)
