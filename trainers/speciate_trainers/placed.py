"""Each place that has a label as a row of its own: what the probe learns labels of residues from."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Job, SpeciateError
from speciate.task import Examples

__all__ = ["placed"]

Rows = tuple[NDArray[np.float32], NDArray[Any]]  # what the base knows of places, and their labels
MOST = 4_000_000  # numbers of a split that are learnt from: 31,000 residues of ProteinMPNN are plenty for a head
AT_ONCE = 8  # rows that the base is asked together


def placed(job: Job, encoder: Any) -> tuple[Rows, Rows]:
    """The training and the dev rows: of splits with very many places some rows, chosen by the seed."""
    network = encoder.places().eval()
    with job.progress.track("encode", len(job.train) + len(job.dev)) as tick, torch.no_grad():
        train, dev = (_of(job, encoder, network, part, tick) for part in (job.train, job.dev))
    if not len(train[1]):
        exists = f"in {len(job.train)} training rows no place has a label that is known"
        raise SpeciateError("there is nothing to learn from", exists, "add labels, or more rows")
    return train, dev


def _of(job: Job, encoder: Any, network: torch.nn.Module, part: Examples, tick: Any) -> Rows:
    order = np.random.default_rng(job.seed).permutation(len(part))
    part = part.of([part.rows[i] for i in order])
    samples, start, kept = part.each(), 0, 0
    vectors, targets = [np.zeros((0, encoder.place_width), np.float32)], [np.zeros(0, np.int64)]
    while (some := list(islice(samples, AT_ONCE))) and kept * encoder.place_width < MOST:
        wanted, rows = part.targets[start : start + len(some)], part.rows[start : start + len(some)]
        job.task.check(wanted, encoder.sizes(some), rows)
        given = network(**encoder.batch(some)).movedim(1, -1).float().numpy()
        for places, labels, row in zip(given, wanted, rows, strict=True):
            known = np.flatnonzero(labels[: len(places)] >= 0)  # a base may stop before the end of a long chain
            if not np.isfinite(places[known]).all():
                exists = f"what the base makes of {row.get('source')} row {row.get('row')} holds NaN or infinity"
                raise SpeciateError("cannot learn from what is not a number", exists, "mend or remove this row")
            vectors.append(places[known])
            targets.append(labels[known].astype(np.int64))
            kept += len(known)
        start += len(some)
        tick(len(some))
    tick(len(part) - start)
    return np.concatenate(vectors), np.concatenate(targets)
