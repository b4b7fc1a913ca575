"""The feature cache as a function: what turns rows into vectors, computing only those the dataset does not hold yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from speciate.contracts import Base, Dataset, Encoder, Format, Progress, Reader, Row
from speciate.errors import UsageError
from speciate.model import Model, batches
from speciate.task import Examples, Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["cached", "on_dataset", "seen"]


def cached(
    dataset: Dataset, format: Format, reader: Reader, base: Base, encoder: Encoder, progress: Progress
) -> Callable[[Examples], NDArray[np.float32]]:
    """An `encode` for Examples, kept in the dataset by what decides the vectors: base hash and format options."""
    words = f"{encoder.fingerprint()} {format.name} {json.dumps(dict(dataset.options), sort_keys=True)}"
    key = f"{base.name.replace('-', '_')}_{hashlib.sha256(words.encode()).hexdigest()[:12]}"

    import numpy as np

    def encode(examples: Examples) -> NDArray[np.float32]:
        with progress.track("encode", len(examples)) as tick:
            return dataset.features(
                key,
                examples.rows,
                encoder.width,
                lambda rows: np.concatenate([encoder.encode(b, tick) for b in batches(map(reader.decode, rows))]),
            )

    return encode


def on_dataset(model: Model, dataset: Dataset, split: str, progress: Progress) -> Predictions:
    """A model's answers on the labelled rows of a split."""
    rows = [row for row in dataset.rows(split, content=False) if row["label"] is not None]
    if not rows:
        asked = f"dataset {dataset.name!r} has no labelled rows in {split!r}"
        raise UsageError(asked, "splits are train, dev and test", "name another split as DATASET:SPLIT")

    examples = seen(model, dataset, rows, model.format, model.reader, progress)
    return Predictions(model.task, model.predictor.predict(examples), examples.targets)


def seen(
    model: Model, dataset: Dataset, rows: Sequence[Row], format: Format, reader: Reader, progress: Progress
) -> Examples:
    """Rows of a dataset as a model takes them: its task, and the vectors of its base, kept in the dataset."""

    def encode(examples: Examples) -> NDArray[np.float32]:
        """Asked only by a model that answers from the base's vectors."""
        base = model.catalog.get(Base, model.info["base"]["name"])
        return cached(dataset, format, reader, base, model.encoder, progress)(examples)

    return Examples(rows, model.task, reader.decode, encode, fill=dataset.filled, keep=dataset.features)
