"""Near-duplicates, previews, augmentations, and the bases' own promises."""

import itertools
import struct
import zlib

import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate_dicom import near, views
from speciate_dicom.bases import ConvVolume, SliceMean, VolumeHistograms, levels
from speciate_dicom.demo import _slices
from speciate_dicom.example import body, picture, save
from speciate_dicom.options import ConvOptions, DicomOptions, HistogramOptions, SliceMeanOptions, SliceOptions
from speciate_dicom.slices import SliceReader
from speciate_dicom.volumes import DicomReader

SLICES, VOLUMES = SliceReader(SliceOptions()), DicomReader(DicomOptions(shape="12,24,24"))


def rows(folder, name, values, **more):
    path = save(folder / f"{name}.dcm", picture(values, name, **more))
    return next(SLICES.read(path)), next(VOLUMES.read(path))


def alike(a, b):
    return float((a == b).mean())


def test_near_duplicates_are_found(tmp_path):
    """With noise, another scale and another window; other bodies are other ones."""
    rng = np.random.default_rng(0)
    first = body(1, "a", 96)[0]
    noisy = (first.astype(float) + rng.normal(0, 8, first.shape)).clip(0).astype(np.uint16)
    small = body(1, "a", 96)[0].reshape(48, 2, 48, 2).mean(axis=(1, 3)).astype(np.uint16)
    others = [body(1, name, 96)[0] for name in "bcdefgh"]
    found = [rows(tmp_path, f"n{i}", v) for i, v in enumerate([first, noisy, small, *others])]
    for signatures in (near.pictures([a for a, _ in found]), near.volumes([b for _, b in found])[:, :32]):
        assert signatures.dtype == np.uint8
        assert min(alike(signatures[0], signatures[i]) for i in (1, 2)) >= 0.7
        assert max(alike(signatures[0], signatures[i]) for i in range(3, 10)) < 0.7
    assert near.pictures([]).shape == (0, 32)


def test_previews_are_pictures(tmp_path):
    one, whole = rows(tmp_path, "a<b>", body(6, "a", 40))
    for row, reader, show in ((one, SLICES, views.picture), (whole, VOLUMES, views.volume)):
        shown = show(row | {"modality": "<CT>"}, reader.decode(row))
        pixels = decoded(shown.png)
        assert max(pixels.shape[:2]) >= 200
        assert np.ptp(pixels) > 50
        assert "&lt;CT&gt;" in shown.html
        assert "<script" not in shown.html


def decoded(png):
    """The pixels of a PNG, every chunk's checksum compared."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, body_, size = 8, b"", (0, 0)
    while at < len(png):
        (length,) = struct.unpack(">L", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">L", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + data)
        size = struct.unpack(">LL", data[:8]) if name == b"IHDR" else size
        body_ += data if name == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(body_), np.uint8).reshape(size[1], 1 + 3 * size[0])
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(size[1], size[0], 3)


def test_augmented_is_alike_but_not_equal(tmp_path):
    one, whole = rows(tmp_path, "a", body(8, "a", 40))
    for sample, change in (
        (SLICES.decode(one), views.augmented_picture),
        (VOLUMES.decode(whole), views.augmented_volume),
    ):
        name = next(iter(sample))
        a, b = (change(sample, np.random.default_rng(1))[name] for _ in range(2))
        assert (a == b).all()
        assert (a.shape, a.dtype) == (sample[name].shape, sample[name].dtype)
        assert (a != sample[name]).any()
        assert np.corrcoef(a.ravel(), sample[name].ravel())[0, 1] > 0.7


def test_levels_are_zero_to_one():
    voxels = np.linspace(-1000, 1000, 5000, dtype=np.float32).reshape(5, 10, 100)
    assert levels(voxels, "0,400").min() == 0
    assert levels(voxels, "auto").max() == 1
    assert levels(np.zeros((2, 2, 2), np.float32), "auto").max() < 1


def test_conv_is_what_the_seed_makes_and_trains():
    import torch

    one, same, other = (ConvVolume(ConvOptions(size=16, width=16, seed=seed)) for seed in (1, 1, 2))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    samples = [{"voxels": np.random.default_rng(i).random((8, 8, 8), np.float32)} for i in range(3)]
    vectors = torch.nn.functional.linear(one.network()(**one.batch(samples)), torch.ones(1, 16))
    vectors.sum().backward()
    assert all(p.grad is not None for p in one.network().parameters())


def test_a_missing_image_base_is_named():
    with pytest.raises(SpeciateError, match="no-such-base"):
        SliceMean(SliceMeanOptions(base="no-such-base"))


def test_impossible_options_are_refused():
    for make in (
        lambda: ConvVolume(ConvOptions(size=1)),
        lambda: VolumeHistograms(HistogramOptions(bins=1)),
        lambda: SliceMean(SliceMeanOptions(slices=0)),
    ):
        with pytest.raises(UsageError):
            make()


def test_the_demo_keeps_neighbours_together():
    """Blocks are runs of slices, each in one split; every level is in each split."""
    found = list(_slices())
    assert len(found) == 595
    blocks = [block for _, _, block, _ in found]
    assert len([1 for a, b in itertools.pairwise(blocks) if a != b]) + 1 == len(set(blocks)) == 36
    assert len({(label, split) for _, label, _, split in found}) == 36
