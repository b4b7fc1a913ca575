"""Scores: a number never stands alone, it has its count and its 95% interval.

The interval is a percentile bootstrap over rows: 1,000 resamples of the test rows, seeded, so it repeats.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from speciate.catalog import Catalog
from speciate.contracts import Evaluator
from speciate.task import Predictions, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Score", "difference", "fits", "score_all", "value"]

RESAMPLES = 1000
CHUNK = 16_000_000  # weights held at once, so that a million test rows do not need gigabytes


@dataclass(frozen=True)
class Score:
    """One number with its name, interval and count."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "name"}


def score_all(catalog: Catalog, predictions: Predictions, names: tuple[str, ...] = ()) -> dict[str, Score]:
    """Every installed evaluator that fits the task, or the named ones."""
    wanted = [catalog.get(Evaluator, name) for name in names] or catalog.all(Evaluator)
    fitting = [evaluator for evaluator in wanted if fits(evaluator, predictions.task)]
    return {evaluator.name: _score(catalog, evaluator, predictions) for evaluator in fitting}


def fits(evaluator: Evaluator, task: Task) -> bool:
    return task.name in evaluator.tasks and (not evaluator.needs or evaluator.needs in task.gives())


def value(catalog: Catalog, evaluator: Evaluator, predictions: Predictions) -> float:
    """The number alone, while something is still being learnt."""
    import numpy as np

    scorer = catalog.use(evaluator, "scorer")
    if evaluator.weighted:
        return float(scorer(predictions, np.ones((1, len(predictions))))[0])
    return float(scorer(predictions))


def difference(catalog: Catalog, evaluator: Evaluator, new: Predictions, old: Predictions) -> Score:
    """new - old on the same rows, resampled together: a paired comparison."""
    scorer = catalog.use(evaluator, "scorer")
    return _interval(evaluator.name, resample(scorer, evaluator, new) - resample(scorer, evaluator, old), len(new))


def resample(scorer: Any, evaluator: Evaluator, predictions: Predictions) -> NDArray[np.float64]:
    """[1 + RESAMPLES]: the value on all rows, then on each resample. The same rows are drawn for every scorer."""
    import numpy as np

    n, values = len(predictions), []
    rng = np.random.default_rng(0)
    step = max(1, CHUNK // max(n, 1))
    if evaluator.weighted:
        values.append(scorer(predictions, np.ones((1, n))))
        for start in range(0, RESAMPLES, step):
            drawn = [rng.integers(0, n, n) for _ in range(min(step, RESAMPLES - start))]
            values.append(
                scorer(predictions, np.stack([np.bincount(rows, minlength=n) for rows in drawn]).astype(float))
            )
        return np.concatenate(values)
    values.append([scorer(predictions)])
    values.append([scorer(predictions.take(rng.integers(0, n, n))) for _ in range(RESAMPLES)])
    return np.concatenate(values)


def _score(catalog: Catalog, evaluator: Evaluator, predictions: Predictions) -> Score:
    values = resample(catalog.use(evaluator, "scorer"), evaluator, predictions)
    return _interval(evaluator.name, values, len(predictions))


def _interval(name: str, values: NDArray[np.float64], n: int) -> Score:
    """The value and the middle 95% of its resamples, widened to hold the value (a biased score can lie outside)."""
    import numpy as np

    value = float(values[0])
    if np.isnan(value):
        return Score(name, None, None, None, n)  # undefined on these rows: said, not invented
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Score(name, value, min(float(low), value), max(float(high), value), n)
