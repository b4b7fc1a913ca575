"""The bytes of a file, unpacked within a limit, and what kind of file they are."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from speciate_pdb.table import Broken

__all__ = ["BINARY", "FASTA", "MMCIF", "PDB", "kind_of", "load"]

PDB, MMCIF, BINARY, FASTA = "PDB", "mmCIF", "BinaryCIF", "FASTA"
CHUNK = 1 << 20
SUFFIXES = {
    **dict.fromkeys((".pdb", ".ent"), PDB),
    **dict.fromkeys((".cif", ".mmcif", ".mcif"), MMCIF),
    ".bcif": BINARY,
    **dict.fromkeys((".fasta", ".fa", ".faa"), FASTA),
}


def load(path: Path, megabytes: int) -> bytes:
    """All of a file; of a packed one no more than was allowed, whatever it holds."""
    most = megabytes << 20
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            data = file.read(most + 1)
        else:
            data = _unpacked(gzip.GzipFile(fileobj=file), most)
    if len(data) > most:
        raise Broken(f"it is larger than {megabytes} MB; type -o max_megabytes=N if that is right")
    if not data.strip():
        raise Broken("it is empty")
    return data


def _unpacked(file: gzip.GzipFile, most: int) -> bytes:
    parts, size = [], 0
    try:
        while size <= most and (part := file.read(CHUNK)):
            parts.append(part)
            size += len(part)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Broken(f"its gzip is damaged or cut off after {size:,} bytes: {error}") from None
    return b"".join(parts)


def kind_of(path: Path, data: bytes) -> str:
    """By what the bytes begin with; by the name where that says nothing."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    named = SUFFIXES.get(path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower())
    if named == BINARY or ((0x80 <= data[0] <= 0x8F or data[0] == 0xDE) and b"dataBlocks" in data[: 1 << 20]):
        return BINARY
    if start[:1] == b">":
        return FASTA
    lines = [line for line in start.splitlines() if not line.startswith(b"#")]
    if lines and lines[0][:5].lower() == b"data_":
        return MMCIF
    return named or PDB
