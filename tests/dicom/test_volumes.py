"""Volumes: which files belong together, in which order, and what is learnt from."""

import json
import struct

import numpy as np
import pytest
from safetensors import safe_open

from speciate import Quarantined, SpeciateError, UsageError
from speciate_dicom.container import Volume, Writer
from speciate_dicom.example import body, picture, save, write
from speciate_dicom.geometry import key_of
from speciate_dicom.options import DicomOptions
from speciate_dicom.resample import fitted
from speciate_dicom.volumes import DicomReader

WHOLE = DicomReader(DicomOptions(shape=""))


def series(folder, name, depth=6, side=16, **more):
    """Files of a series in a shuffled order, and its values."""
    values = body(depth, name, side)
    order = np.random.default_rng(0).permutation(depth)
    files = [
        save(folder / f"{name}{j}", picture(values[i], name, int(i) + 1, **{k: v(i) for k, v in more.items()}))
        for j, i in enumerate(order)
    ]
    return files, values


def parts(paths):
    found = list(WHOLE.read_all(sorted(paths)))
    return [x for x in found if isinstance(x, dict)], [x for x in found if isinstance(x, Quarantined)]


def test_a_series_is_one_volume_in_order(tmp_path):
    files, values = series(tmp_path, "a")
    assert len({key_of(path) for path in files}) == 1
    ((row,), refused) = parts(files)
    sample = WHOLE.decode(row)
    assert refused == []
    assert (sample["voxels"] == values.astype(np.float32) - 1024).all()
    assert sample["spacing"].tolist() == [2.5, 0.75, 0.75]
    assert (row["planes"], row["gaps"], row["geometry"]) == (6, 0, "known")


def test_series_are_told_apart(tmp_path):
    """By series, by direction, by size, by kind of picture, by echo."""
    files, _ = series(tmp_path / "plain", "a")
    more = {
        "series": {"name": "b"},
        "direction": {"name": "a", "ImageOrientationPatient": lambda i: [0, 1, 0, 0, 0, -1]},
        "size": {"name": "a", "side": 20},
        "kind": {"name": "a", "ImageType": lambda i: ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "echo": {"name": "a", "EchoNumbers": lambda i: 2},
    }
    keys = [key_of(files[0])]
    for folder, kwargs in more.items():
        name = kwargs.pop("name")
        others, _ = series(tmp_path / folder, name, **kwargs)
        assert len({key_of(path) for path in others}) == 1
        keys.append(key_of(others[0]))
    assert len(set(keys)) == len(keys)


def test_gaps_keep_their_place(tmp_path):
    values = np.arange(9, dtype=np.uint16)[:, None, None] * 10 + np.zeros((9, 8, 8), np.uint16)
    files = [save(tmp_path / f"{i}", picture(values[i], "a", i + 1)) for i in range(9) if i not in (3, 4)]
    ((row,), _) = parts(files)
    assert (row["planes"], row["gaps"]) == (7, 2)
    voxels = DicomReader(DicomOptions(shape="9,8,8")).decode(row)["voxels"]
    assert np.allclose(voxels[:, 0, 0] + 1024, np.arange(9) * 10, atol=1e-3)


def test_copies_are_put_aside(tmp_path):
    files, values = series(tmp_path, "a")
    copy = tmp_path / "copy"
    copy.write_bytes(files[0].read_bytes())
    ((row,), (refused,)) = parts([*files, copy])
    assert row["planes"] == len(values)
    assert "copy" in refused.reason


def test_phases_at_one_place_are_volumes_each(tmp_path):
    phases = [body(4, name, 16) for name in "ab"]
    files = []
    for i in range(4):
        for phase, values in enumerate(phases):
            data = picture(values[i], "a", i + 1, TriggerTime=str(phase * 100))
            data.SOPInstanceUID += f".{phase}"
            files.append(save(tmp_path / f"{i}-{phase}", data))
    rows, refused = parts(files)
    assert refused == []
    assert [(WHOLE.decode(row)["voxels"] + 1024 == phases[i]).all() for i, row in enumerate(rows)] == [True, True]


def test_a_damaged_plane_costs_itself_alone(tmp_path):
    files, _ = series(tmp_path, "a", depth=8)
    bad = files[2]
    bad.write_bytes(bad.read_bytes()[:-100])
    (rows, (refused,)) = parts(files)
    assert refused.path == str(bad)
    assert "damaged" in refused.reason
    assert rows[0]["planes"] == 7


def test_files_of_many_frames(tmp_path):
    """Enhanced ones from head to foot, in order of place; plain ones in the order they stand."""
    files = {path.name: path for path in write(tmp_path)}
    (row,) = WHOLE.read(files["enhanced.dcm"])
    assert (WHOLE.decode(row)["voxels"] + 1024 == body(3, "f")[::-1]).all()
    (row,) = WHOLE.read(files["frames.dcm"])
    assert (WHOLE.decode(row)["voxels"] + 1024 == body(4, "e")).all()
    assert row["geometry"] == "assumed"
    assert key_of(files["frames.dcm"]) != key_of(files["enhanced.dcm"])


def test_padding_is_the_lowest_value(tmp_path):
    values = body(3, "a").astype(np.int16) - 1024
    values[:, 0] = -2000
    files = [
        save(tmp_path / f"{i}", picture(v, "a", i, PixelPaddingValue=-2000, RescaleIntercept=0))
        for i, v in enumerate(values)
    ]
    ((row,), _) = parts(files)
    voxels = WHOLE.decode(row)["voxels"]
    assert (voxels[:, 0] == values[:, 1:].min()).all()
    assert (voxels[:, 1:] == values[:, 1:]).all()


def test_the_volume_file_opens_elsewhere_and_tells_nothing(tmp_path):
    files, values = series(tmp_path, "a")
    ((row,), _) = parts(files)
    with safe_open(row["volume"], "np") as file:
        assert (file.get_tensor("voxels") == values).all()
        assert (file.get_tensor("slope") == 1).all()
        assert set(file.metadata()) == {"format", "spacing", "origin", "orientation"}


def test_the_same_series_gives_the_same_file(tmp_path):
    files, _ = series(tmp_path, "a")
    ((first,), _), ((again,), _) = parts(files), parts(files)
    assert first["volume"] != again["volume"]
    assert first["volume"].read_bytes() == again["volume"].read_bytes()


def test_resampling_keeps_means_and_millimetres(tmp_path):
    values = np.random.default_rng(0).integers(0, 1000, (12, 40, 60)).astype(np.int16)
    path = made(tmp_path / "v.safetensors", values, "2,0.5,0.5")
    small, spacing = fitted(Volume(path), (12, 10, 20), 0.0)
    assert np.allclose(small, values.reshape(12, 10, 4, 20, 3).mean(axis=(2, 4)), atol=1e-2)
    assert np.allclose(spacing, [2, 2, 1.5])
    cut, spacing = fitted(Volume(path), (8, 16, 80), 1.0)
    assert cut.shape == (8, 16, 80)
    assert np.allclose(spacing, 1)
    assert (cut[:, :, :25] == cut.min()).mean() > 0.99  # 30 mm of picture in 80: the rest is filled
    large, _ = fitted(Volume(path), (24, 80, 120), 0.0)
    assert abs(large.mean() - values.mean()) < 2


def made(path, values, spacing):
    writer = Writer(path, len(values), {"spacing": spacing})
    for i, plane in enumerate(values):
        writer.put(i, plane, (1.0, 0.0), i * float(spacing.split(",")[0]))
    writer.close()
    return path


def test_options_that_cannot_be_are_refused():
    for shape in ("1,2", "a,b,c", "0,1,1", "4096,4096,4096"):
        with pytest.raises(UsageError, match="shape"):
            DicomReader(DicomOptions(shape=shape))


def test_too_large_a_volume_is_refused_before_it_is_written(tmp_path):
    files, _ = series(tmp_path, "a")
    with pytest.raises(SpeciateError, match="volume_gigabytes"):
        list(DicomReader(DicomOptions(volume_gigabytes=0)).read_all(files))


def test_a_volume_larger_than_memory_is_decoded_within_bounds(tmp_path):
    """3 GB of nothing, of which the planes that are needed are read."""
    import tracemalloc

    head = {"__metadata__": {"spacing": "1,1,1"}}
    depth, side = 6000, 512
    for i, name in enumerate(("slope", "intercept", "place")):
        head[name] = {"dtype": "F64", "shape": [depth], "data_offsets": [8 * depth * i, 8 * depth * (i + 1)]}
    end = 24 * depth + 8
    head["floor"] = {"dtype": "F64", "shape": [1], "data_offsets": [end - 8, end]}
    size = depth * side * side * 2
    head["voxels"] = {"dtype": "I16", "shape": [depth, side, side], "data_offsets": [end, end + size]}
    text = json.dumps(head).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for numbers in (np.ones(depth), np.zeros(depth), np.arange(depth, dtype=float), np.zeros(1)):
            file.write(numbers.astype("<f8").tobytes())
        file.truncate(8 + len(text) + end + size)
    tracemalloc.start()
    voxels, _ = fitted(Volume(path), (32, 64, 64), 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert voxels.shape == (32, 64, 64)
    assert peak < 64 << 20


def test_the_original_of_a_damaged_copy_is_kept(tmp_path):
    files, values = series(tmp_path, "b")
    copy = tmp_path / "a-copy"  # it comes first
    copy.write_bytes(files[0].read_bytes()[:-100])
    ((row,), (refused,)) = parts([*files, copy])
    assert (row["planes"], row["gaps"]) == (len(values), 0)
    assert refused.path == str(copy)
