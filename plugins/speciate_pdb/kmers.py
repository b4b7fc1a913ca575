"""A base without weights: short runs of residues, composition, and the shape of the backbone, in numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_pdb.features import CA, residue_features, torsions
from speciate_pdb.options import KmerOptions

__all__ = ["Kmer"]

VERSION = "structure-kmers 1"  # raise it when the same structure would give other vectors
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
CLASSES = ("AVLIMC", "FWY", "ST", "NQH", "DE", "KR", "G", "P")  # what the reduced runs are counted over
GAPS = (1, 2, 3, 4)  # pairs of classes so many residues apart: helices and strands alternate differently
BINS = 6  # of each torsion
SHAPE = 8 + BINS * BINS
COMPOSITION = len(LETTERS) + 2
CODE = np.full(256, len(LETTERS), np.int64)
GROUP = np.full(256, len(CLASSES), np.int64)
for place, letter in enumerate(LETTERS):
    CODE[ord(letter)] = place
for place, members in enumerate(CLASSES):
    GROUP[[ord(letter) for letter in members]] = place
PAIRS = len(GAPS) * (len(CLASSES) + 1) ** 2


class Kmer:
    """Counts, square-rooted: hashed runs, composition, pairs of classes, and where coordinates are, shape."""

    tolerance = 0.0

    def __init__(self, options: KmerOptions) -> None:
        if not 1 <= options.longest <= 8 or options.width < 16:
            asked = f"base.longest={options.longest} base.width={options.width}"
            raise UsageError(asked, "runs have 1 to 8 residues, and at least 16 buckets", "type base.longest=3")
        self.options = options
        self.width = options.width + COMPOSITION + PAIRS + SHAPE

    def fingerprint(self) -> str:
        chosen = (VERSION, self.options.width, self.options.longest)
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), np.float32)
        for row, sample in zip(vectors, samples, strict=True):
            letters = np.frombuffer(sample["sequence"].encode("ascii", "replace"), np.uint8)
            parts = [self._runs(letters), _composition(letters), _pairs(GROUP[letters]), _shape(sample)]
            row[:] = np.concatenate(parts)
            tick(1)
        return vectors

    def _runs(self, letters: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Signed counts of the runs of each length, in buckets; as a vector of length 1."""
        counts = np.zeros(self.options.width)
        codes = CODE[letters].astype(np.uint64) + np.uint64(1)
        rolled = np.zeros(len(codes), np.uint64)
        for length in range(1, self.options.longest + 1):
            if len(codes) < length:
                break
            rolled = rolled[: len(codes) - length + 1] * np.uint64(31) + codes[length - 1 :]
            mixed = (rolled + np.uint64(length << 56)) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(31)
            signs = np.where(mixed >> np.uint64(63), 1.0, -1.0)
            counts += np.bincount((mixed % np.uint64(len(counts))).astype(np.int64), signs, len(counts))
        rooted = np.sign(counts) * np.sqrt(np.abs(counts))
        vector: NDArray[np.float64] = rooted / max(float(np.linalg.norm(rooted)), 1e-12)
        return vector


def _composition(letters: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of each residue, and how long the sequence is."""
    counts = np.bincount(CODE[letters], minlength=len(LETTERS) + 1)
    return np.append(counts / max(len(letters), 1) * 4, np.log1p(len(letters)) / 8)


def _pairs(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often a class follows a class so many residues on, against what their shares alone would give."""
    many = len(CLASSES) + 1
    share = np.bincount(groups, minlength=many) / max(len(groups), 1)
    found = []
    for gap in GAPS:
        both = groups[:-gap] * many + groups[gap:]
        seen = np.bincount(both, minlength=many * many) / max(len(both), 1)
        found.append((np.sqrt(seen) - np.sqrt(np.outer(share, share).ravel())) * 2)
    return np.concatenate(found)


def _shape(sample: Sample) -> NDArray[np.float64]:
    """The shares of helix and strand as CA distances tell them, how dense and how long it is, and a map of torsions;
    zeros where there are no coordinates."""
    found = np.zeros(SHAPE)
    alpha = sample["backbone"][:, CA]
    seen = np.isfinite(alpha).all(axis=1)
    if seen.sum() < 4:
        return found
    features = residue_features(sample)[seen]
    three, four = features[:, 9], features[:, 11]
    helix = (np.abs(three - 0.52) < 0.08) & (np.abs(four - 0.62) < 0.1)
    strand = three > 0.92
    spread = np.sqrt(alpha[seen].astype(np.float64).var(axis=0).sum()) / max(seen.sum(), 1) ** (1 / 3)
    changes = np.count_nonzero(np.diff(helix)), np.count_nonzero(np.diff(strand))
    found[:8] = [1, helix.mean(), strand.mean(), *features[:, [13, 15]].mean(axis=0) / 3, spread / 4, *changes]
    found[6:8] *= 4 / seen.sum()
    angles = torsions(sample["backbone"].astype(np.float64), sample["chain"])[:, :2]
    angles = angles[np.isfinite(angles).all(axis=1)]
    if len(angles):
        place = np.clip(((angles + np.pi) / (2 * np.pi) * BINS).astype(np.int64), 0, BINS - 1)
        found[8:] = np.sqrt(np.bincount(place[:, 0] * BINS + place[:, 1], minlength=BINS * BINS) / len(angles))
    return found
