"""The video reader: every container, turned, odd, uneven; clips of every kind; and two libraries that agree."""

import cv2
import numpy as np
import pytest
from video_made import CODECS, encoded, reader, rotated, rows, video

import speciate
from speciate import SpeciateError, UsageError
from speciate_video import speciate_formats
from speciate_video.example import drawn, save
from speciate_video.options import VideoOptions
from speciate_video.sampling import places, square


def walked(path):
    """Every frame through a plain OpenCV loop."""
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        good, picture = capture.read()
        if not good:
            return found
        found.append(picture[:, :, ::-1])


@pytest.mark.parametrize("name", CODECS)
def test_every_container_and_codec_in_both_libraries(tmp_path, name):
    """The frames of both are the same; the tolerance that is promised is 2 of 255 on average."""
    path = encoded(tmp_path / name, *CODECS[name])
    both = []
    for decoder in ("opencv", "pyav"):
        (row,) = rows(path, decoder=decoder)
        assert (row["start"], row["end"], row["frames"], row["at"]) == (0, 24, 24, -1.0)
        assert (row["width"], row["height"], row["fps"], row["seconds"]) == (64, 48, 25.0, 0.96)
        both.append(reader(decoder=decoder).decode(row)["frames"].astype(int))
    assert np.abs(both[0] - both[1]).mean() <= 2
    original = [square(frame, 32) for frame in drawn(0, 2)]
    wanted = np.stack([original[i] for i in places(0, 24, VideoOptions(frames=8))])
    grey = CODECS[name][1] == "gray"
    assert np.abs(both[0] - (wanted.mean(axis=3, keepdims=True) if grey else wanted)).mean() < 16, "as written, in RGB"


def test_decode_is_a_plain_loop(tmp_path):
    path = video(tmp_path / "a.mp4")
    (row,) = rows(path)
    frames = walked(path)
    plain = np.stack([square(np.ascontiguousarray(frames[i]), 32) for i in (1, 4, 7, 10, 13, 16, 19, 22)])
    assert np.array_equal(reader().decode(row)["frames"], plain)
    (form,) = speciate_formats()
    assert form.modality is speciate.FRAMES
    assert form.modality.problems(reader().decode(row)) == []


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_stands_upright(tmp_path, degrees):
    flat = encoded(tmp_path / "flat.mp4", "libx264")
    path = rotated(flat, tmp_path / "turned.mp4", degrees)
    found = {}
    for decoder in ("opencv", "pyav"):
        (row,) = rows(path, decoder=decoder)
        assert (row["width"], row["height"]) == ((64, 48) if degrees == 180 else (48, 64))
        found[decoder] = reader(decoder=decoder).decode(row)["frames"]
    (before,) = rows(flat)
    upright = np.rot90(reader().decode(before)["frames"], -degrees // 90, axes=(1, 2)).astype(int)
    assert np.array_equal(found["opencv"], found["pyav"])
    assert np.abs(found["opencv"] - upright).mean() < 3


def test_interlaced_video_is_not_black(tmp_path, monkeypatch):
    """OpenCV gives what its buffer held before, and says that all is well."""
    fields = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = encoded(tmp_path / "fields.mp4", "libx264", height=64, options=fields)
    with pytest.raises(SpeciateError, match=r"is interlaced(.|\n)*decoder=pyav"):
        rows(path)
    (row,) = rows(path, decoder="pyav")
    (whole,) = rows(encoded(tmp_path / "whole.mp4", "libx264", height=64))
    shown, wanted = (reader(decoder="pyav").decode(each)["frames"].astype(int) for each in (row, whole))
    assert np.abs(shown - wanted).mean() < 10
    still = save(tmp_path / "still.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 12)
    assert len(rows(still)) == 1
    monkeypatch.setattr("speciate_video.interlaced.find_spec", lambda name: None)  # as where PyAV is not installed
    for suspect in (path, still):
        with pytest.raises(SpeciateError, match=r"look the same(.|\n)*pip install .av."):
            rows(suspect)


@pytest.mark.parametrize(("width", "height"), [(63, 47), (1, 1), (17, 200), (2, 2)])
def test_odd_sizes(tmp_path, width, height):
    path = encoded(tmp_path / "odd.mkv", "ffv1", "bgra", width=width, height=height)
    (row,) = rows(path)
    assert (row["width"], row["height"], row["frames"]) == (width, height, 24)
    assert reader().decode(row)["frames"].shape == (8, 32, 32, 3)


def test_uneven_times(tmp_path):
    """Frames are counted, whatever their times; annotations in seconds go by the times."""
    times = np.cumsum([0] + [20, 20, 200, 40] * 6)[:24].tolist()
    path = encoded(tmp_path / "uneven.mkv", "libx264", times=times)
    (tmp_path / "uneven.csv").write_text("start,end,label\n0.24,0.56,turn\n")
    (row,) = rows(path, unit="seconds")
    assert (row["start"], row["end"], row["label"]) == (3, 8, "turn")
    (whole,) = rows(encoded(tmp_path / "plain.mkv", "libx264", times=times))
    assert whole["frames"] == 24
    assert whole["fps"] == pytest.approx(23_000 / times[-1], abs=0.01)


def test_no_duration_and_no_rate(tmp_path):
    """A live recording's Matroska says neither how long it is nor how long its parts are."""
    path = encoded(tmp_path / "live.mkv", "libx264", options={"bf": "0"})
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88")  # Duration, 8 bytes
    live = data[:at] + b"\xec\x89" + bytes(9) + data[at + 11 :]  # a Void instead
    path.write_bytes(live)
    (row,) = rows(path)
    assert (row["frames"], row["fps"]) == (24, 25.0)


def test_fragments(tmp_path):
    import av

    source = encoded(tmp_path / "plain.mp4", "libx264")
    path = tmp_path / "fragments.mp4"
    with (
        av.open(str(source)) as given,
        av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    (row,) = rows(path)
    assert row["frames"] == 24


# --- clips --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return encoded(tmp_path_factory.mktemp("long") / "long.mp4", "libx264", count=400, speed=1)


def test_clips_of_a_length(long):
    found = rows(long, length=64, stride=32)
    assert [(row["start"], row["end"]) for row in found][:3] == [(0, 64), (32, 96), (64, 128)]
    assert found[-1]["end"] - found[-1]["start"] >= 32
    assert len({row["group"] for row in found}) == 1
    assert {row["video"] for row in found} == {long}
    short = rows(long, length=1000)
    assert [(row["start"], row["end"]) for row in short] == [(0, 400)]


@pytest.mark.parametrize("decoder", ["opencv", "pyav"])
@pytest.mark.parametrize("sample", ["uniform", "random"])
def test_a_far_clip_is_the_same_sought_or_walked(long, decoder, sample):
    options = {"decoder": decoder, "sample": sample, "length": 50}
    far = [row for row in rows(long, **options) if row["at"] >= 0]
    assert len(far) == 7
    for row in far:
        sought = reader(**options).decode(row)["frames"]
        assert np.array_equal(sought, reader(**options).decode(row | {"at": -1.0})["frames"])


def test_a_wrong_time_is_walked(long):
    row = rows(long, length=50)[5]
    wanted = reader().decode(row)["frames"]
    for at in (row["at"] + 1.5, 1e9, 0.5):
        assert np.array_equal(reader().decode(row | {"at": at})["frames"], wanted)


def test_scenes(tmp_path):
    from speciate_video.example import save

    shots = [np.full((48, 64, 3), grey, np.uint8) for grey in [20] * 30 + [200] * 2 + [90] * 25 + [240] * 40]
    path = save(tmp_path / "cuts.avi", iter(shots), "MJPG")
    assert [(row["start"], row["end"]) for row in rows(path, scenes=27.0)] == [(0, 30), (30, 57), (57, 97)]
    assert len(rows(path)) == 1


def test_annotations(tmp_path):
    path = video(tmp_path / "a.mp4", count=40)
    (tmp_path / "a.csv").write_text("start,end,label,group\n0,10,left,anna\n10,40,right,bert\n")
    found = rows(path)
    assert [(r["start"], r["end"], r["label"], r["group"]) for r in found] == [
        (0, 10, "left", "anna"),
        (10, 40, "right", "bert"),
    ]
    common = tmp_path / "all.csv"
    common.write_text("video,start,end,label\na.mp4,5,15,up\nother.mp4,0,9,down\na,20,30,down\n")
    found = rows(path, annotations="all.csv")
    assert [(r["start"], r["end"], r["label"]) for r in found] == [(5, 15, "up"), (20, 30, "down")]
    unnamed = rows(video(tmp_path / "b.mp4", seed=1), annotations="all.csv")
    assert [(r["start"], r["end"], r.get("label")) for r in unnamed] == [(0, 24, None)]


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_annotations_as_excel_writes_them(tmp_path, mark):
    """They used to be taken for some other table, without a word."""
    path = video(tmp_path / "a.mp4", count=40)
    lines = ("Start, End ,Label,Camera", "0,10,left,A", "10,40,right,B")
    (tmp_path / "a.csv").write_text("\n".join(lines).replace(",", mark), encoding="utf-8-sig")
    found = [(row["start"], row["end"], row["label"], row["Camera"]) for row in rows(path)]
    assert found == [(0, 10, "left", "A"), (10, 40, "right", "B")]


@pytest.mark.parametrize("line", ["0,41,x", "-1,5,x", "9,9,x", "9,8,x", "a,8,x", ",,x", "0,1e99,x", "0,nan,x"])
def test_a_wrong_line_refuses_the_file(tmp_path, line):
    path = video(tmp_path / "a.mp4", count=40)
    (tmp_path / "a.csv").write_text(f"start,end,label\n0,10,fine\n{line}\n")
    with pytest.raises(SpeciateError, match=r"line 3 of a\.csv"):
        rows(path)


def test_another_table_with_the_name_of_the_video(tmp_path):
    path = video(tmp_path / "a.mp4")
    (tmp_path / "a.csv").write_text("sensor,value\n1,2\n")
    assert len(rows(path)) == 1


# --- sampling and options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 7), (5, 100), (1000, 1016), (3, 4)])
@pytest.mark.parametrize("sample", ["uniform", "random"])
def test_places(start, end, sample):
    for count in (1, 8, 16, 100):
        options = VideoOptions(frames=count, sample=sample)
        found = places(start, end, options)
        assert len(found) == count
        assert found == sorted(found)
        assert start <= found[0] <= found[-1] < end
        assert found == places(start, end, options)
    if sample == "random" and end - start > 50:
        assert places(start, end, VideoOptions(sample=sample)) != places(
            start, end, VideoOptions(sample=sample, seed=1)
        )


@pytest.mark.parametrize(
    "options",
    [
        {"frames": 0},
        {"size": 4},
        {"sample": "best"},
        {"unit": "hours"},
        {"stride": 5},
        {"length": -1},
        {"scenes": 27.0, "length": 10},
        {"decoder": "vlc"},
    ],
)
def test_options_that_cannot_be_meant(tmp_path, options):
    path = video(tmp_path / "a.mp4")
    with pytest.raises(UsageError) as caught:
        rows(path, **options)
    assert caught.value.do


def test_a_clip_that_is_not_in_the_video(tmp_path):
    path = video(tmp_path / "a.mp4")
    for start, end in ((0, 30), (100, 120), (5, 5), (-3, 4)):
        with pytest.raises(SpeciateError):
            reader().decode({"video": path, "start": start, "end": end, "at": -1.0})
