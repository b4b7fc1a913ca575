"""The image reader: every kind of picture, upright and in 8 bits, the same from every library that can decode it."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

import speciate
from speciate import SpeciateError, UsageError
from speciate_image import speciate_formats
from speciate_image.example import scene, write
from speciate_image.options import ImageOptions
from speciate_image.pixels import decoded
from speciate_image.reader import ImageReader

PLAIN = [
    ("JPEG", {"quality": 90}),
    ("JPEG", {"quality": 60, "subsampling": 0}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {"quality": 80}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
]


def saved(picture, format, **how) -> bytes:
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, format, **how)
    return out.getvalue()


def pixels(data, **options):
    return decoded(data, ImageOptions(**options))[1]


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("format", "how"), PLAIN)
def test_libraries_agree(format, how, grey):
    """Ours, Pillow and OpenCV, to the last bit; sizes that are no multiple of a JPEG block."""
    picture = Image.fromarray(scene(3, 83, 125)).convert("L" if grey else "RGB")
    data = saved(picture, format, **how)
    ours = pixels(data)
    assert np.array_equal(ours, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    assert np.array_equal(ours, cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    assert np.array_equal(ours, pixels(data, strict=False))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright_by_exif(format, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(scene(4, 40, 60), format, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    header, found = decoded(data, ImageOptions())
    assert np.array_equal(found, upright)
    assert (header.height, header.width) == found.shape[:2]
    assert found.shape[0] == (60 if turn > 4 else 40)


def test_cmyk_is_what_was_printed():
    """Adobe's JPEGs are inverted, which OpenCV does not tell."""
    picture = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    found = pixels(saved(picture, "JPEG", quality=100))
    assert np.abs(found.astype(int) - [0, 255, 255]).max() <= 3


def test_what_is_transparent_shows_the_background():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    indexed = Image.new("P", (4, 4), 1)
    indexed.putpalette([0, 0, 0, 255, 0, 0])
    for format in ("PNG", "WEBP", "TIFF"):
        how = {"lossless": True, "exact": True} if format == "WEBP" else {}
        assert (pixels(saved(clear, format, **how)) == 255).all()
        assert (pixels(saved(clear, format, **how), background=9) == 9).all()
        assert np.abs(pixels(saved(half, format, **how), background=0)[0, 0].astype(int) - [128, 0, 0]).max() <= 1
    assert (pixels(saved(indexed, "PNG", transparency=1)) == 255).all()
    assert (pixels(saved(indexed, "PNG"))[0, 0] == [255, 0, 0]).all()
    assert (pixels(saved(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()


@pytest.mark.parametrize(("format", "how"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_the_first_picture_of_several(format, how):
    first, second = (Image.fromarray(scene(seed)) for seed in (5, 6))
    data = saved(first, format, save_all=True, append_images=[second], **how)
    header, found = decoded(data, ImageOptions())
    assert header.frames == 2
    off = np.abs(found.astype(int) - np.asarray(first)).mean()
    assert off < (6 if format == "GIF" else 0.01)  # a GIF has 256 colours


def deep(suffix: str, values) -> bytes:
    return cv2.imencode(suffix, values)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_pictures_are_scaled(suffix, channels):
    values = np.repeat(np.linspace(1000, 3000, 64 * 64).reshape(64, 64, 1), channels, axis=2).astype(np.uint16)
    data = deep(suffix, values[:, :, 0] if channels == 1 else values)
    header, spread = decoded(data, ImageOptions())
    assert header.bits == 16
    assert (spread.min(), spread.max()) == (0, 255)
    assert (np.diff(spread[:, :, 0].ravel().astype(int)) >= 0).all()
    assert np.array_equal(
        pixels(data, deep="full"), np.rint(np.repeat(values, 3 // channels, 2) / 257).astype(np.uint8)
    )
    window = pixels(data, deep="window", low=1000, high=2000)
    assert window[32, 0, 0] == 255
    assert int(window[16, 0, 0]) == pytest.approx(127, abs=2)


def test_deep_colours_keep_their_order_and_transparency():
    values = np.zeros((8, 8, 4), dtype=np.uint16)
    values[:, :, 2], values[:, :, 3] = 65535, 65535  # OpenCV's red, opaque
    values[4:, :, 3] = 0
    found = pixels(deep(".png", values), deep="full")
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[7, 7].tolist() == [255, 255, 255]


def test_libraries_agree_on_deep_grey():
    values = (np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        data = deep(suffix, values)
        found = np.asarray(Image.open(io.BytesIO(data)))
        assert np.array_equal(found, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def test_floats_and_what_is_no_number():
    values = np.array([[np.nan, 1.0, np.inf], [0.0, 0.5, -np.inf]], dtype=np.float32)
    data = saved(Image.fromarray(values), "TIFF")
    assert pixels(data, deep="full")[:, :, 0].tolist() == [[0, 255, 255], [0, 128, 0]]
    assert pixels(saved(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "TIFF")).max() == 0


def test_white_is_zero():
    """A TIFF may say so, of 8 bits (Pillow turns them when it saves, too) and of more."""
    assert (pixels(saved(np.full((5, 5), 9, np.uint8), "TIFF", tiffinfo={262: 0})) == 9).all()
    assert (pixels(saved(np.zeros((5, 5), np.uint16), "TIFF", tiffinfo={262: 0}), deep="full") == 255).all()


def tiff(values, tags=()) -> bytes:
    """A plain TIFF with tags that no library here writes."""
    planes = dict(tags).get(284) == 2
    height, width, count = values.shape
    data = (values.transpose(2, 0, 1) if planes else values).tobytes()
    size, kind = len(data), {"u": 1, "i": 2}[values.dtype.kind]
    each = size // count if planes else size
    base = {256: width, 257: height, 259: 1, 262: 2 if count > 2 else 1, 277: count, 278: height, 339: kind}
    lists = {258: [8 * values.itemsize] * count, 273: range(8, 8 + size, each), 279: [each] * (size // each)}
    entries = {tag: [value] for tag, value in base.items()} | lists | {tag: [value] for tag, value in tags}
    more, table = b"", struct.pack("<H", len(entries))
    for tag in sorted(entries):
        field = struct.pack(f"<{len(entries[tag])}I", *entries[tag])
        where = struct.pack("<I", 8 + size + 6 + 12 * len(entries) + len(more))
        table += struct.pack("<HHI", tag, 4, len(entries[tag])) + (field if len(field) == 4 else where)
        more += b"" if len(field) == 4 else field
    return b"II*\0" + struct.pack("<I", 8 + size) + data + table + bytes(4) + more


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_tiff_is_upright_too(turn, channels):
    values = (np.arange(4 * 6 * channels).reshape(4, 6, channels) * 257).astype(np.uint16)
    header, found = decoded(tiff(values, [(274, turn)]), ImageOptions(deep="full"))
    assert np.array_equal(found, pixels(tiff((values >> 8).astype(np.uint8), [(274, turn)])))
    assert (header.height, header.width) == found.shape[:2]


@pytest.mark.parametrize(("kind", "black", "middle"), [("i2", 0, 128), ("u2", 0, 0), ("i4", 0, 128), ("u4", 0, 0)])
def test_the_whole_range_of_numbers_with_and_without_a_sign(kind, black, middle):
    limits = np.iinfo(kind)
    values = np.array([[[limits.min], [0], [limits.max]]], kind)
    assert pixels(tiff(values), deep="full")[0, :, 0].tolist() == [black, middle, 255]


def test_deep_colours_that_are_multiplied_by_their_transparency():
    values = np.full((2, 2, 4), (16000, 8000, 4000, 32000), np.uint16)
    values[1] = 0
    for kind, seen in ((1, [62, 31, 16]), (2, [30, 15, 8])):
        found = pixels(tiff(values, [(338, kind)]), deep="full", background=0)
        assert (found[0, 0].tolist(), found[1, 1].tolist()) == (seen, [0, 0, 0])


def test_deep_colours_in_planes_are_refused():
    """OpenCV would mix them up, without a word."""
    shallow = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(pixels(tiff(shallow, [(284, 2)])), shallow)
    with pytest.raises(SpeciateError, match="each colour in a plane of its own"):
        pixels(tiff(shallow.astype(np.uint16), [(284, 2)]))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values, *chunks, colour=2, late=()) -> bytes:
    """A PNG of 16 bits with other chunks before and behind its pixels."""
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), *late, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_deep_png_that_moves():
    """OpenCV makes the first picture of it black."""
    values = np.full((8, 8, 4), (65535, 0, 0, 65535), np.uint16)
    control = struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, 8, 8, 0, 0, 1, 10, 0, 0)
    lines = zlib.compress(b"".join(b"\0" + line.tobytes() for line in values[:, :, ::-1].astype(">u2")))
    late = ((b"fcTL", second), (b"fdAT", struct.pack(">I", 2) + lines))
    data = png(values, (b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control), colour=6, late=late)
    header, found = decoded(data, ImageOptions(deep="full"))
    assert (header.frames, found[4, 4].tolist()) == (2, [255, 0, 0])


def test_one_deep_colour_that_is_transparent():
    values = np.array([[[1000, 2000, 3000], [9000, 9000, 9000]]], np.uint16)
    found = pixels(png(values, (b"tRNS", struct.pack(">HHH", 1000, 2000, 3000))), deep="full")
    assert found[0].tolist() == [[255, 255, 255], [35, 35, 35]]
    found = pixels(png(values[:, :, :1], (b"tRNS", struct.pack(">H", 1000)), colour=0), deep="full")
    assert found[0].tolist() == [[255, 255, 255], [35, 35, 35]]


def test_exif_behind_the_pixels_and_as_imagemagick_wrote_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.zeros((4, 6, 3), np.uint16)
    assert pixels(png(values, late=((b"eXIf", exif.tobytes()[6:]),))).shape == (6, 4, 3)
    told = b"\nexif\n%8d\n%s\n" % (len(exif.tobytes()), exif.tobytes().hex().encode())
    profile = b"Raw profile type exif\0\0" + zlib.compress(told)
    assert pixels(png(values, (b"zTXt", profile))).shape == (6, 4, 3)


@pytest.mark.parametrize(("bits", "masks"), [(16, (0x7C00, 0x3E0, 0x1F)), (32, (0xFF000000, 0xFF0000, 0xFF00))])
def test_bmp_with_masks(bits, masks):
    """White is white, whatever bits it has."""
    whole = [sum(masks), masks[0], masks[1], masks[2]]
    row = struct.pack(f"<4{'H' if bits == 16 else 'I'}", *whole)
    info = struct.pack("<IiiHHIIiiII3I", 52, 4, 1, 1, bits, 3, len(row), 0, 0, 0, 0, *masks)
    data = b"BM" + struct.pack("<IHHI", 14 + len(info) + len(row), 0, 0, 14 + len(info)) + info + row
    assert pixels(data)[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_a_known_kind_with_an_unreadable_header_is_not_called_unknown():
    whole = saved(scene(1), "PNG")
    with pytest.raises(SpeciateError, match="has a header that cannot be read") as told:
        pixels(whole[:20] + b"\xff" + whole[21:])
    assert "first bytes" not in str(told.value)


def test_a_row_says_what_is_known(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "a.jpg").write_bytes(saved(scene(7, 30, 50), "JPEG", exif=exif))
    (row,) = ImageReader(ImageOptions()).read(tmp_path / "a.jpg")
    facts = {name: row[name] for name in ("width", "height", "mode", "bits", "kind", "frames")}
    assert facts == {"width": 30, "height": 50, "mode": "RGB", "bits": 8, "kind": "jpeg", "frames": 1}
    assert row["image"] == (tmp_path / "a.jpg").read_bytes()
    assert len(row["look"]) == 64


def test_the_limit_is_checked_before_anything_is_decompressed(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(scene(8, 100, 100), "PNG")[:200])  # its pixels are cut off
    with pytest.raises(SpeciateError, match="the limit is 9,999 pixels"):
        list(ImageReader(ImageOptions(max_pixels=9999)).read(tmp_path / "a.png"))
    with pytest.raises(SpeciateError, match="damaged or cut off"):
        list(ImageReader(ImageOptions(max_pixels=10_000)).read(tmp_path / "a.png"))


@pytest.mark.parametrize("options", [{"deep": "log"}, {"background": 256}, {"max_pixels": 0}, {"low": 5, "high": 5}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        ImageReader(ImageOptions(**options))


def test_a_damaged_jpeg_can_be_wanted(tmp_path):
    whole = saved(scene(9, 96, 128), "JPEG")
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(SpeciateError, match="-o strict=false"):
        list(ImageReader(ImageOptions()).read(tmp_path / "a.jpg"))
    (row,) = ImageReader(ImageOptions(strict=False)).read(tmp_path / "a.jpg")
    assert (row["height"], row["width"]) == (96, 128)


def test_files_without_a_suffix_are_known_by_their_first_bytes(tmp_path, workspace):
    for path in write(tmp_path):
        if path.suffix not in (".webp",):  # RIFF is many things
            path.rename(tmp_path / path.name.replace(".", "-"))
        else:
            path.unlink()
    added = workspace.add("bare", tmp_path)
    assert (added.format, added.quarantined) == ("image", ())
    assert added.rows == len(list(tmp_path.glob("*-*")))


def test_declared():
    (form,) = speciate_formats()
    assert form.modality is speciate.IMAGE
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"} <= {pattern[1:] for pattern in form.patterns}
