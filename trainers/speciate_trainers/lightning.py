"""Lightning, imported with a third less work. It imports torchmetrics, which imports transformers for two metrics that
ask a language model, and scipy.signal to give it back a name that another package misses: 2.3 s of each process that
trains. Whoever wants them gets them when they ask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["CheckpointIO", "ModelParallelStrategy", "pl"]


class Later:
    """What a module has under a name, imported when it is used."""

    def __init__(self, module: str, name: str) -> None:
        self._where = module, name

    def __getattr__(self, attribute: str) -> Any:
        module, name = self._where
        return getattr(getattr(import_module(module), name), attribute)


class StandIn(ModuleType):
    """A module that has whatever name it is asked for."""

    def __getattr__(self, name: str) -> Later:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self.__name__, name)


@contextmanager
def _later(*names: str) -> Iterator[None]:
    """While this lasts, these modules are there in name alone."""
    for name in (missing := [name for name in names if name not in sys.modules and find_spec(name)]):
        sys.modules[name] = StandIn(name)
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


with _later("scipy.signal", "transformers"):
    import_module("torchmetrics")

import lightning.pytorch as pl  # noqa: E402, TID251  (what else is wanted of it is imported from here)
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO  # noqa: E402, TID251
from lightning.pytorch.strategies import ModelParallelStrategy  # noqa: E402, TID251
