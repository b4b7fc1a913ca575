"""Slices: the pixels of pydicom's own test files, and what a viewer would show."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from speciate import SpeciateError, UsageError
from speciate_dicom.example import body, picture, save
from speciate_dicom.files import header
from speciate_dicom.near import _binned
from speciate_dicom.options import SliceOptions
from speciate_dicom.pictures import windowed
from speciate_dicom.slices import SliceReader, opened

FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def read(path, **options):
    reader = SliceReader(SliceOptions(**options))
    rows = list(reader.read(path))
    return rows, [reader.decode(row)["pixels"] for row in rows]


NAMES = """
CT_small MR_small MR_small_RLE MR_small_bigendian MR_small_implicit MR_small_padded image_dfl MR_small_jp2klossless
MR_small_jpeg_ls_lossless 693_J2KI J2K_pixelrep_mismatch JPEG2000 rtdose rtdose_rle SC_rgb_small_odd_big_endian
SC_rgb_rle_16bit_2frame SC_ybr_full_422_uncompressed SC_rgb_jpeg_gdcm SC_rgb_dcmtk_+eb+cy+s4 examples_palette
examples_ybr_color
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_pixels_are_what_pydicom_says(name, tmp_path):
    """As stored: in each transfer syntax, signed or not, of one or many frames, colour or grey."""
    path = FILES / f"{name}.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path, force=True)
        if not getattr(data, "file_meta", None) or "TransferSyntaxUID" not in data.file_meta:
            data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        wanted = data.pixel_array
    rows, _ = read(path)
    found = []
    for row in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(opened(row["dicom"])[1])
    wanted = wanted.reshape(np.stack(found).shape)
    assert (np.stack(found) == wanted).all()
    assert [row["frame"] for row in rows] == list(range(len(rows)))


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("keep_phi", [False, True])
def test_tables_of_big_endian_files(keyword, keep_phi, tmp_path):
    """Stored little endian, as the pixels are; pydicom leaves their words as they lie."""
    shown = []
    for order, syntax in (("<", ExplicitVRLittleEndian), (">", ExplicitVRBigEndian)):
        data, table = picture(body(1, "a")[0], "a"), Dataset()
        for name in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
            del data[name]
        table.LUTDescriptor = [2000, 0, 16]
        table.add_new("LUTData", "OW", (np.arange(2000) ** 2 // 80).astype(f"{order}u2").tobytes())
        table.ModalityLUTType = "US"
        setattr(data, keyword, [table])
        data.PixelData = data.pixel_array.astype(f"{order}u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / f"{syntax}.dcm"
        pydicom.dcmwrite(path, data, little_endian=order == "<", implicit_vr=False, enforce_file_format=True)
        shown += read(path, keep_phi=keep_phi)[1]
    assert (shown[0] == shown[1]).all()
    assert len(np.unique(shown[0])) > 20


def reference(data):
    """What pydicom's processing shows, on 0 to 255."""
    values = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) * 255


def test_window_and_rescale_agree_with_pydicom(tmp_path):
    values = body(1, "a", 64)[0]
    path = save(tmp_path / "a.dcm", picture(values, "a", WindowCenter=[60, 500], WindowWidth=[350, 1000]))
    _, (shown,) = read(path)
    assert shown.shape == (64, 64, 3)
    assert np.abs(shown[:, :, 0] - reference(pydicom.dcmread(path))).max() <= 1
    _, (asked,) = read(path, window="500,1000")
    assert (asked[:, :, 1] == windowed(values.astype(np.float32) - 1024, (500, 1000))).all()


def test_inverted_is_upright_again(tmp_path):
    values = body(1, "a")[0]
    plain = save(tmp_path / "a.dcm", picture(values, "a"))
    inverted = save(tmp_path / "b.dcm", picture(values, "b", PhotometricInterpretation="MONOCHROME1"))
    assert (read(plain)[1][0] == 255 - read(inverted)[1][0]).all()


def test_palette_is_colours():
    data = pydicom.dcmread(FILES / "examples_palette.dcm")
    wanted = apply_color_lut(data.pixel_array, data) / 257.0
    _, (shown,) = read(FILES / "examples_palette.dcm")
    assert np.abs(shown - wanted).max() <= 0.5


def test_padding_is_dark_and_has_no_say(tmp_path):
    values = body(1, "a", 32)[0].astype(np.int16) - 1024
    values[:, :8] = -2000
    kwargs = {"RescaleIntercept": 0, "PixelPaddingValue": -2000}
    data = picture(values, "a", **kwargs)
    del data.WindowCenter, data.WindowWidth
    _, (shown,) = read(save(tmp_path / "a.dcm", data))
    rest = save(
        tmp_path / "b.dcm", without_window(picture(np.ascontiguousarray(values[:, 8:]), "b", RescaleIntercept=0))
    )
    assert (shown[:, :8] == 0).all()
    assert (shown[:, 8:] == read(rest)[1][0]).all()


def without_window(data):
    del data.WindowCenter, data.WindowWidth
    return data


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (12, "u2"), (12, "i2"), (16, "u2"), (16, "i2"), (32, "i4")])
def test_depth_and_sign(bits, dtype, tmp_path):
    """Unused bits are no values, whatever stands in them."""
    rng = np.random.default_rng(bits)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if dtype[0] == "i" else (0, 2**bits)
    values = rng.integers(low, high, (20, 21)).astype(dtype)
    dirty = values.copy()
    if bits == 12:
        dirty = (values & 0x0FFF) | rng.integers(0, 16, values.shape).astype(dtype) << 12
    path = save(tmp_path / "a.dcm", picture(dirty, "a", BitsStored=bits, HighBit=bits - 1, RescaleIntercept=0))
    (row,), _ = read(path)
    assert (opened(row["dicom"])[1] == values).all()


def test_frames_of_an_enhanced_file_have_their_own_place(tmp_path):
    from speciate_dicom.example import write

    path = next(path for path in write(tmp_path) if path.name == "enhanced.dcm")
    rows, _ = read(path)
    files = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(row["dicom"])) for row in rows]
    assert [file.ImagePositionPatient[2] for file in files] == [0, -2.5, -5]
    assert len({file.SOPInstanceUID for file in files}) == 3
    assert {file.SOPClassUID.name for file in files} == {"CT Image Storage"}


def test_a_missing_decoder_is_named(monkeypatch):
    from pydicom.pixels import get_decoder

    decoder = get_decoder("1.2.840.10008.1.2.4.80")
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(SpeciateError, match=r"speciate\[dicom-codecs\]"):
        read(FILES / "MR_small_jpeg_ls_lossless.dcm")


REFUSED = {
    "rtplan.dcm": "no picture",
    "DICOMDIR": "no picture",
    "liver_1frame.dcm": "segmentation",
    "README.txt": "no DICOM",
    "MR_truncated.dcm": "damaged",
}


@pytest.mark.parametrize(("name", "says"), REFUSED.items())
def test_what_is_no_picture_is_refused(name, says):
    path = next(FILES.rglob(name))
    with pytest.raises(SpeciateError, match=says):
        read(path)


def test_limits_are_asked_from_the_header(tmp_path):
    path = save(tmp_path / "a.dcm", picture(body(1, "a")[0], "a", Rows=60000, Columns=60000))
    with pytest.raises(SpeciateError, match="frame_megabytes"):
        header(path, 1 << 28)
    for window in ("40", "1,0", "a,b"):
        with pytest.raises(UsageError, match="window"):
            SliceReader(SliceOptions(window=window))


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "uint32"])
def test_the_mean_of_large_pixels_is_no_other_number(kind):
    """Likeness is taken from the means of a few; doses have 32 bits."""
    ends = np.iinfo(kind)
    for value in (ends.min, ends.max):
        assert (_binned(np.full((515, 601), value, kind), 2) == value).all()
