"""Labels that say several things at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError

__all__ = ["known", "parts", "places"]


def parts(cell: object, separator: str) -> list[str]:
    """`a|b`, or a JSON list, as its parts."""
    text = str(cell).strip()
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return [str(part) for part in listed]
    found = text.split(separator) if separator else [text]
    return [part.strip() for part in found if part.strip()]


def known(labels: Sequence[str], values: Sequence[str]) -> None:
    """Refuse labels that training has never seen."""
    if strange := sorted(set(values) - set(labels)):
        exists = f"the model knows: {', '.join(labels)}"
        raise SpeciateError(f"labels never seen in training: {', '.join(strange)}", exists, "train on rows with them")


def places(labels: Sequence[str], rows: Sequence[Row]) -> NDArray[np.float64]:
    """The place of each row's label among the labels."""
    values = [str(row["label"]) for row in rows]
    known(labels, values)
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index[value] for value in values], dtype=np.float64)
