"""What is read the quick way is what pydicom reads, to the last bit."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.uid import ImplicitVRLittleEndian

from speciate_dicom import pictures
from speciate_dicom.example import body, picture, save, write
from speciate_dicom.fields import Fields
from speciate_dicom.files import header, quietly
from speciate_dicom.quick import quick
from speciate_dicom.resample import Axis, _along

SPEC = importlib.util.spec_from_file_location("dicom_hostile", Path(__file__).with_name("bad_dicom.py"))
hostile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hostile)
SAMPLES = sorted(
    path
    for path in (Path(pydicom.__file__).parent / "data").rglob("*")
    if path.is_file() and path.stat().st_size < 1 << 20 and b"DICM" in path.read_bytes()[:132]
)


def by_pydicom(data):
    """The elements before the pixels, as raw as pydicom gives them."""
    with quietly():
        found = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        return {int(tag): element for tag, element in found.items()}, found


def same(one, other):
    """Raw elements that are equal, or one that pydicom has looked at since, as it does at the character set."""
    if isinstance(other, RawDataElement):
        return tuple(one) == tuple(other)
    return (convert_raw_data_element(one) if isinstance(one, RawDataElement) else one) == other


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    files = write(folder)
    implicit = picture(body(1, "i")[0], "i")
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return [*files, save(folder / "implicit.dcm", implicit)]


def test_elements_are_those_of_pydicom(good):
    """Of our examples and of pydicom's own files; most of which are usual."""
    usual = 0
    for path in [*good, *SAMPLES]:
        data = path.read_bytes()
        with quietly():
            found = quick(data)
        if found is None:
            continue
        usual += 1
        elements, whole = by_pydicom(data)
        ours = {int(tag): element for tag, element in found[0].items()}
        assert ours.keys() == elements.keys(), path
        assert all(same(ours[tag], elements[tag]) for tag in ours), path
        assert found[1] == str(whole.file_meta.TransferSyntaxUID)
        start, _, vr = found[2]
        tag = int.from_bytes(data[start - (12 if vr else 8) :][:2], "little") << 16
        assert tag == 0x7FE00000
    assert usual > 100


def test_values_are_those_of_pydicom(good):
    for path in [*good, *SAMPLES]:
        with quietly():
            found = quick(path.read_bytes())
            if found is None:
                continue
            fields, whole = Fields(found[0]), by_pydicom(path.read_bytes())[1]
            for tag in list(whole.keys()):
                keyword = keyword_for_tag(tag)
                if tag_for_keyword(keyword) != tag or keyword.endswith("Sequence"):
                    continue
                said = whole.get(keyword)
                assert fields.text(keyword) == str(said), (path, keyword)
                value, words = fields.value(keyword), fields.words(keyword)
                many = isinstance(said, pydicom.multival.MultiValue)
                assert (list(value) if many else value) == (list(said) if many else said), (path, keyword)
                assert (list(words) if many else words) == (list(said) if many else said), (path, keyword)


def test_a_mutated_file_is_read_alike_or_left_to_pydicom(good):
    """Whatever the quick way accepts, pydicom reads the same."""
    accepted = 0
    for path in good:
        data = path.read_bytes()
        for seed in range(60):
            bad = hostile.mutated(data, seed)
            with quietly():
                found = quick(bad)
            if found is not None:
                elements, _ = by_pydicom(bad)
                ours = {int(tag): element for tag, element in found[0].items()}
                assert ours.keys() == elements.keys()
                assert all(same(ours[tag], elements[tag]) for tag in ours)
                accepted += 1
    assert accepted > 100


def test_a_header_that_goes_on_is_left_alone(good):
    for path in good:
        data = path.read_bytes()
        at = quick(data)[2][0]
        assert quick(data[: at - 13]) is None
        assert quick(data[:at]) is not None


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("unused", [0, 3])
def test_frames_are_those_of_pydicom(dtype, unused, tmp_path):
    """Also where bits are not used, and filled with what does not belong there."""
    size = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(size.min, size.max, (3, 9, 7), dtype=dtype)
    values = values[0] if dtype == "u1" else values  # three of them would be colours
    bits = values.dtype.itemsize * 8 - unused
    path = save(tmp_path / "a.dcm", picture(values, "a", BitsStored=bits, HighBit=bits - 1))
    frames = list(header(path, 1 << 20).pixels.frames())
    wanted = pydicom.dcmread(path).pixel_array
    assert frames[0].dtype == wanted.dtype
    assert (np.stack(frames).reshape(wanted.shape) == wanted).all()


def test_percentiles_are_those_of_numpy():
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 199, 200, 201, 1000, 65_537):
        for values in (rng.normal(size=count), rng.integers(-1000, 3000, count), np.full(count, 7.0)):
            values = values.astype(np.float32)
            assert tuple(pictures._percentiles(values)) == tuple(np.percentile(values, (pictures.LOW, pictures.HIGH)))
    assert np.isnan(pictures._percentiles(np.array([1, np.nan], dtype=np.float32))).all()


def test_whole_numbers_are_summed_up_alike_in_any_order():
    rng = np.random.default_rng(2)
    for height, width, count in ((64, 64, 32), (50, 1, 7), (100, 33, 32), (512, 512, 32), (33, 5, 32), (9, 9, 4)):
        plane = rng.integers(-1024, 3072, (height, width)).astype(np.float32)
        for start, step in ((0.0, height / count), (1.4, (height - 3) / count)):
            axis = Axis(start, step, count)
            assert (_along(plane, axis, 0, most=4096) == _along(plane, axis, 0)).all()
