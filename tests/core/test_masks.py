"""Masks as labels: what is written is read, what is none is refused, and a person sees a few words."""

import json

import numpy as np
import pytest

from speciate import SpeciateError
from speciate.masks import BACKGROUND, Mask, resized, same_shape, shown, tinted, values_of

NAMES = (BACKGROUND, "lung", "bone")


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, 2 + seed % 2))
    values = (rng.random(shape) < rng.random()) * rng.integers(0, 3, shape).astype(np.uint8)
    label = Mask.of(values, NAMES).write()
    assert np.array_equal(Mask.read(label).values(NAMES), values)
    assert Mask.read(label).write() == label, "equal masks have equal text"
    assert Mask.read(json.loads(label)) == Mask.read(label), "an answer's mask is a label"
    assert np.array_equal(values_of(label, NAMES), values)


def test_the_runs_of_a_small_one():
    """As docs/dicom.md writes it down."""
    label = '{"size":[2,4],"counts":{"lung":[1,2,3,1,1]}}'
    assert Mask.read(label).values(NAMES).tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]
    assert Mask.read('{"size":[1,2],"counts":{"rib":[0,2]}}').values(NAMES).tolist() == [[0, 0]], "not asked for"
    both = '{"size":[1,2],"counts":{"lung":[0,2],"bone":[1,1]}}'
    assert Mask.read(both).values(NAMES).tolist() == [[1, 2]], "the later class has what both claim"


@pytest.mark.parametrize(
    "label",
    [
        *("cat", "", "{}", "[1]", '{"size":[2,2]}', '{"size":[2,2],"counts":[4]}', '{"size":"22","counts":{}}'),
        *('{"size":[2,2],"counts":{"a":[3]}}', '{"size":[2,2],"counts":{"a":[-1,5]}}', '{"size":[4],"counts":{}}'),
        *('{"size":[2,2],"counts":{"a":[1.5,2.5]}}', '{"size":[0,2],"counts":{}}', '{"size":[true,2],"counts":{}}'),
        *('{"size":[99999,99999],"counts":{}}', '{"size":[2,2],"counts":{"a":[1e99]}}', "[" * 5000),
    ],
)
def test_what_is_none_is_refused(label):
    with pytest.raises(SpeciateError) as error:
        Mask.read(label)
    assert len(str(error.value)) < 400, "a label may be megabytes"


def test_other_sizes():
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(resized(values, (6, 8))[::2, ::2], values)
    assert resized(values, (1, 1)).tolist() == [[6]]
    assert resized(values[..., None], (5, 4)).shape == (5, 4, 1)
    assert same_shape((512, 512), (128, 128))
    assert same_shape((511, 340), (128, 85))
    assert not same_shape((512, 512), (128, 150))


def test_what_a_person_sees():
    assert shown('{"size":[2,2],"counts":{"b":[4],"a":[4]}}') == "mask 2 x 2: a, b"
    assert shown('{"size":[2,2],"counts":{}}') == "mask 2 x 2: background"
    assert shown("x" * 100) == "x" * 60 + "..."
    assert shown('{"size":') == '{"size":'
    picture = {"pixels": np.full((2, 2, 3), 100, np.uint8), "spacing": np.ones(3, np.float32)}
    seen = tinted(picture, '{"size":[2,2],"counts":{"a":[1,1,2]}}')["pixels"]
    assert (seen != 100).any(axis=2).tolist() == [[False, True], [False, False]]
    assert tinted(picture, "cat") is picture
    volume = {"voxels": np.zeros((4, 4, 4), np.float32) + np.arange(4, dtype=np.float32)}
    mask = Mask.of((np.arange(64).reshape(4, 4, 4) == 21).astype(np.uint8), NAMES).write()
    assert (tinted(volume, mask)["voxels"] != volume["voxels"]).any()
