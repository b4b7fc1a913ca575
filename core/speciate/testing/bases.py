"""BaseContract: a vector depends on its sample alone, not on its neighbours, its place, the call or the process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Base, Format, Sample, UsageError
from speciate.catalog import load, options_of
from speciate.contracts import Encoder
from speciate.testing.contract import Contract, fresh

__all__ = ["BaseContract"]

MOST = 12  # samples
LEAST_TOLERANCE = 1e-5  # float32 sums in another order differ by about this much

ELSEWHERE = """
import numpy as np
from speciate import Base
base = catalog.get(Base, sys.argv[2])
encoder = catalog.use(base, "loader")(options_of(base, json.loads(sys.argv[3])))
samples = []
with np.load(sys.argv[4] + "/samples.npz", allow_pickle=False) as arrays:
    for key in arrays:
        number, name = key.split(":", 1)
        if int(number) == len(samples):
            samples.append({})
        samples[-1][name] = str(arrays[key]) if arrays[key].dtype.kind == "U" else arrays[key]
np.save(sys.argv[4] + "/vectors.npy", encoder.encode(samples, lambda done: None))
print(encoder.fingerprint(), end="")
"""


class BaseContract(Contract):
    """`samples` gives things to encode; by default the example rows of an installed Format of the same modality.

    Two vectors are equal within the encoder's `tolerance`, or 1e-5 where that is less.
    """

    kind = Base
    names = ("loader",)

    def samples(self, folder: Path) -> list[Sample]:
        """A few samples of the base's modality, not all equal; the folder is empty and yours."""
        for format in self.catalog.all(Format):
            if format.modality.agrees(self.declaration.modality) and format.example:
                reader = self.catalog.use(format, "reader")(options_of(format, {}))
                return [reader.decode(row) for path in load(format.example)(folder) for row in reader.read(Path(path))]
        pytest.skip(f"no installed Format has an example of {self.declaration.modality.name}: override samples")

    @pytest.fixture
    def encoder(self) -> Encoder:
        self.use("loader")
        if type(self) not in ENCODERS:
            ENCODERS[type(self)] = self.load()
        return ENCODERS[type(self)]

    def load(self) -> Encoder:
        """The encoder; a base that cannot start without options is skipped where the contract gives none."""
        try:
            encoder: Encoder = self.use("loader")(self.chosen())
        except UsageError as error:
            if self.options:
                raise
            pytest.skip(f"it needs options: {' '.join(str(error).split())}")
        return encoder

    @pytest.fixture
    def some(self, encoder: Encoder, tmp_path: Path) -> list[Sample]:
        folder = tmp_path / "examples"
        folder.mkdir()
        samples = self.samples(folder)[:MOST]
        assert len(samples) > 1, "one sample is too few to tell"
        return samples

    def test_vectors_have_the_promised_shape(self, encoder: Encoder, some: list[Sample]) -> None:
        vectors = encode(encoder, some)
        assert vectors.dtype == np.float32, f"vectors are {vectors.dtype}, not float32"
        assert vectors.shape == (len(some), encoder.width), f"vectors are {vectors.shape}"
        assert np.isfinite(vectors).all(), "a vector holds NaN or infinity"
        assert encoder.tolerance >= 0, "tolerance is a distance"

    def test_samples_can_be_told_apart(self, encoder: Encoder, some: list[Sample]) -> None:
        vectors = encode(encoder, some)
        assert np.ptp(vectors, axis=0).max() > 0, "every sample has the same vector"

    def test_encoding_repeats(self, encoder: Encoder, some: list[Sample]) -> None:
        self.check_close("the same call twice", encoder, encode(encoder, some), encode(encoder, some))

    def test_order_does_not_matter(self, encoder: Encoder, some: list[Sample]) -> None:
        self.check_close("in reverse", encoder, encode(encoder, some), encode(encoder, some[::-1])[::-1])

    def test_company_does_not_matter(self, encoder: Encoder, some: list[Sample]) -> None:
        alone = np.concatenate([encode(encoder, [sample]) for sample in some])
        self.check_close("one by one", encoder, encode(encoder, some), alone)
        self.check_close("twice over", encoder, encode(encoder, some), encode(encoder, some * 2)[len(some) :])

    def test_nothing_gives_nothing(self, encoder: Encoder) -> None:
        empty = encode(encoder, [])
        assert empty.shape == (0, encoder.width), f"no samples give {empty.shape}, not (0, {encoder.width})"

    def test_progress_adds_up(self, encoder: Encoder, some: list[Sample]) -> None:
        ticks: list[int] = []
        encoder.encode(some, ticks.append)
        assert sum(ticks) == len(some), f"tick was called with {ticks} for {len(some)} samples"

    def test_the_fingerprint_stays(self, encoder: Encoder, some: list[Sample]) -> None:
        """It names what decides the vectors, so neither a call nor a second instance changes it."""
        before = encoder.fingerprint()
        assert before, "the fingerprint is empty"
        encode(encoder, some)
        assert encoder.fingerprint() == before, "encoding changed the fingerprint"
        assert self.use("loader")(self.chosen()).fingerprint() == before, "another instance has another fingerprint"

    def test_places_are_a_samples_own(self, encoder: Any, some: list[Sample]) -> None:
        """Of a base that gives places: one grid for all, and a sample's part of it does not depend on its company."""
        if "places" not in self.declaration.gives:
            return
        together, sizes = places(encoder, some), encoder.sizes(some)
        assert together.shape[:2] == (len(some), encoder.place_width), f"places are {together.shape}"
        assert {len(size) for size in sizes} == {together.ndim - 2}, f"sizes are {sizes}, places {together.shape}"
        assert np.isfinite(together).all(), "a place holds NaN or infinity"
        assert np.ptp(together, axis=tuple(range(2, together.ndim))).max() > 0, "every place is the same"
        for number, sample in enumerate(some):
            alone = places(encoder, [sample])[0]
            part = together[number][(slice(None), *map(slice, alone.shape[1:]))]
            scale = 5 * max(1.0, float(np.abs(alone).max()))  # large numbers, through more layers than a vector's
            self.check_close("places alone", encoder, alone / scale, part / scale)

    def test_another_process_agrees(self, encoder: Encoder, some: list[Sample], tmp_path: Path) -> None:
        """Training and serving are two processes."""
        arrays = {f"{i}:{name}": np.asarray(value) for i, sample in enumerate(some) for name, value in sample.items()}
        np.savez(tmp_path / "samples.npz", allow_pickle=False, **arrays)
        found = fresh(self.catalog, ELSEWHERE, self.name, json.dumps(dict(self.options)), str(tmp_path))
        assert found == encoder.fingerprint(), "another process has another fingerprint"
        self.check_close("another process", encoder, encode(encoder, some), np.load(tmp_path / "vectors.npy"))

    def check_close(self, what: str, encoder: Encoder, a: NDArray[Any], b: NDArray[Any]) -> None:
        bound = max(encoder.tolerance, LEAST_TOLERANCE)
        gap = float(np.abs(a - b).max())
        assert gap <= bound, f"{what}: vectors differ by {gap:.2g}, more than {bound:.2g}"


ENCODERS: dict[type[BaseContract], Encoder] = {}  # one for all checks of a contract: loading weights takes seconds


def encode(encoder: Encoder, samples: Sequence[Sample]) -> NDArray[np.float32]:
    return encoder.encode(samples, lambda _: None)


def places(encoder: Any, samples: Sequence[Sample]) -> NDArray[np.float32]:
    import torch

    network = encoder.places().eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        given = {name: tensor.to(device) for name, tensor in encoder.batch(samples).items()}
        found: NDArray[np.float32] = network(**given).float().cpu().numpy()
    return found
