"""The hash that names what is stored: 128 bits of SHA-256, which processors of this decade compute three times as fast
as BLAKE2, and others no slower than a disk reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["Hash", "hash_of", "hash_of_file"]

DIGITS = 32


class Hash:
    """Of what comes in parts."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self.update = self._state.update

    def __str__(self) -> str:
        return self._state.hexdigest()[:DIGITS]


def hash_of(*parts: bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()[:DIGITS]


def hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
