"""When two structures are nearly the same: a MinHash of their sequences' runs of five residues, in twelve classes.

Residues that evolution swaps most easily (I, L, M and V; K and R; ...) count as one letter, so that relatives keep more
runs than equal letters would. The share of equal bytes estimates the Jaccard similarity of two sets of runs: at the
threshold of 0.12 about 60 % identity of two sequences of one length. Structure has no say: homologues below that, which
only a comparison of folds would find, need a `--group` (superfamily, cluster).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Row
from speciate_pdb.structure import letters_of

__all__ = ["WIDTH", "signatures"]

WIDTH, RUN = 256, 5
CLASSES = ("AG", "C", "DE", "NQ", "FWY", "H", "ILMV", "KR", "P", "ST", "BZJUO", "X")
CLASS = np.full(256, len(CLASSES) - 1, np.uint64)
for number, members in enumerate(CLASSES):
    CLASS[[ord(letter) for letter in members]] = number
CLASS[ord("a") : ord("z") + 1] = np.arange(26) + len(CLASSES)  # nucleic acids are nobody's relatives
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 256]."""
    found = np.empty((len(rows), WIDTH), np.uint8)
    for place, row in enumerate(rows):
        found[place] = _signature(CLASS[letters_of(row["structure"])])
    return found


def _signature(classes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """One-permutation hashing: each run falls into one of the buckets, the smallest stands for it; empty buckets take a
    byte of their neighbour's."""
    if len(classes) < RUN:
        classes = np.append(classes, np.full(RUN - len(classes), 63, np.uint64))
    runs = sum((classes[i : len(classes) - RUN + 1 + i] << np.uint64(6 * i) for i in range(RUN)), np.uint64(0))
    smallest = np.full(WIDTH, EMPTY)
    for seed in range(1, 9):  # short sequences fill the rest with further hashes
        mixed = (np.unique(runs) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
        again = np.full(WIDTH, EMPTY)
        np.minimum.at(again, (mixed & np.uint64(WIDTH - 1)).astype(np.int64), mixed >> np.uint64(8))
        smallest = np.where(smallest == EMPTY, again, smallest)
        if not (smallest == EMPTY).any():
            break
    own = np.where(smallest == EMPTY, -1, np.arange(WIDTH))
    nearest = np.maximum.accumulate(own)
    full = smallest[np.where(nearest < 0, nearest[-1], nearest)]
    return (full & np.uint64(255)).astype(np.uint8)
