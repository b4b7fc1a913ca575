"""Checkpoints that survive: written beside the last one, on the disk and read back before it may go.

A file's name ends in the first characters of its sha256, so that a damaged one is known and the one before it taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from speciate import SpeciateError
from speciate.files import sync
from speciate_trainers.lightning import CheckpointIO

__all__ = ["KEPT", "Durable", "newest", "write"]

KEPT = 2  # checkpoints of a run that stay


class Durable(CheckpointIO):  # type: ignore[misc]  # Lightning is imported untyped
    """How Lightning's checkpoints come to the disk here."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        read: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return read

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def write(checkpoint: dict[str, Any], path: Path) -> Path:
    """`step-00000120.ckpt` comes to lie at `step-00000120-0123456789abcdef.ckpt`; older ones beyond KEPT go."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    data = buffer.getbuffer()
    digest = hashlib.sha256(data).hexdigest()[:16]
    final, temporary = path.with_name(f"{path.stem}-{digest}.ckpt"), path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if _digest(temporary) != digest:
            raise OSError("what was written cannot be read back")
        temporary.replace(final)
        sync(path.parent)
    except OSError as error:
        _forget(temporary)
        exists = f"{error.strerror or error}; {len(data):,} bytes to write; the checkpoint before it is kept"
        do = "free some space or mend the permissions, then type `speciate resume RUN`"
        raise SpeciateError(f"cannot write the checkpoint {final}", exists, do) from error
    for old in [file for file in _files(path.parent) if file != final][: -KEPT + 1]:
        old.unlink(missing_ok=True)
    return final


def newest(folder: Path) -> Path | None:
    """The newest checkpoint that is whole."""
    for path in reversed(_files(folder)):
        if _digest(path) == path.stem.rpartition("-")[2]:
            return path
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*-*.ckpt"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):  # where the folder cannot be written to, there is nothing to take away
        path.unlink(missing_ok=True)
