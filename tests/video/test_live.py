"""What is beside the reader: live streams, near-duplicates, previews and other light."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_made import encoded, reader, rows, video

from speciate import UsageError
from speciate_video import speciate_formats
from speciate_video.example import drawn, save
from speciate_video.look import augment, preview
from speciate_video.near import signatures
from speciate_video.options import VideoOptions
from speciate_video.sampling import square
from speciate_video.stream import samples


def stored_and_live(path, count, options):
    found = [row for row in rows(path, **options) if row["frames"] == options["length"]]
    stored = [reader(**options).decode(row)["frames"] for row in found]
    capture = cv2.VideoCapture(str(path))
    frames = (np.ascontiguousarray(capture.read()[1][:, :, ::-1]) for _ in range(count))
    live = [sample["frames"] for sample in samples(frames, VideoOptions(**options))]
    return stored, live


@settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(0, 50), st.sampled_from(["uniform", "random"]), st.integers(1, 20))
def test_a_stream_gives_the_bits_of_the_stored_file(tmp_path, length, stride, sample, frames):
    path = tmp_path / "a.mp4"
    if not path.exists():
        video(path, count=60)
    options = {"size": 24, "frames": frames, "length": length, "stride": stride, "sample": sample}
    stored, live = stored_and_live(path, 60, options)
    assert len(stored) == len(live) > 0
    for one, other in zip(stored, live, strict=True):
        assert np.array_equal(one, other)


def test_a_stream_answers_as_soon_as_a_clip_is_full():
    taken = []

    def frames():
        for i in range(100):
            taken.append(i)
            yield np.full((20, 30, 3), i, np.uint8)

    stream = samples(frames(), VideoOptions(frames=4, size=8, length=10))
    assert next(stream)["frames"][:, 0, 0, 0].tolist() == [1, 3, 6, 8]
    assert len(taken) == 10
    assert len(list(stream)) == 9
    with pytest.raises(UsageError):
        next(samples(iter([]), VideoOptions()))


def test_the_order_of_colours_does_not_matter():
    picture = np.random.default_rng(0).integers(0, 256, (77, 131, 3), np.uint8)
    for size in (8, 50, 112, 200):
        flipped = square(np.ascontiguousarray(picture[:, :, ::-1]), size)
        assert np.array_equal(square(picture, size), flipped[:, :, ::-1])


# --- near-duplicates ----------------------------------------------------------------------------------------------


def share(one, two):
    both = signatures([one, two])
    return float((both[0] == both[1]).mean())


def test_the_same_video_in_another_form(tmp_path):
    threshold = speciate_formats()[0].near.threshold
    for seed in range(4):
        frames = list(drawn(seed, 2, 48, 160, 120))
        (plain,) = rows(save(tmp_path / f"{seed}.mp4", iter(frames)))
        for name, codec in (("again.avi", "MJPG"), ("other.mkv", "mp4v")):
            (other,) = rows(save(tmp_path / f"{seed}-{name}", iter(frames), codec))
            assert share(plain, other) >= threshold
        small = [cv2.resize(frame, (112, 84), interpolation=cv2.INTER_AREA) for frame in frames]
        (other,) = rows(save(tmp_path / f"{seed}-small.mp4", iter(small)))
        assert share(plain, other) >= threshold
        light = [np.clip(frame * 1.1 + 5, 0, 255).astype(np.uint8) for frame in frames]
        (other,) = rows(save(tmp_path / f"{seed}-light.mp4", iter(light)))
        assert share(plain, other) >= threshold


def test_other_movement_before_the_same_background(tmp_path):
    """One camera, two events: they look alike and are none the less two."""
    threshold = speciate_formats()[0].near.threshold
    found = [
        rows(video(tmp_path / f"{speed}.mp4", seed=5, speed=speed, count=48, width=160, height=120))[0]
        for speed in (1, 7)
    ]
    assert share(*found) < threshold
    assert share(found[0], rows(video(tmp_path / "other.mp4", seed=6, width=160, height=120))[0]) < threshold


def test_the_signature_does_not_change(tmp_path):
    """It is kept in datasets: another one would find none of the old rows."""
    (row,) = rows(encoded(tmp_path / "a.mkv", "ffv1", "bgra"))
    assert signatures([row]).shape == (1, 128)
    assert signatures([]).shape == (0, 128)
    assert row["look"].hex()[:24] == "000040c050400048000040b0"


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_preview_is_a_picture_of_its_frames(tmp_path):
    (row,) = rows(video(tmp_path / "a.mp4"), frames=16)
    sample = reader(frames=16).decode(row)
    seen = preview(row | {"codec": "<script>"}, sample)
    picture = cv2.imdecode(np.frombuffer(seen.png, np.uint8), cv2.IMREAD_COLOR)
    first = cv2.resize(sample["frames"][0], (96, 96), interpolation=cv2.INTER_AREA)
    assert np.array_equal(picture[:96, :96, ::-1], first)
    assert "<script>" not in seen.html
    assert "16 frames" in seen.html
    one = preview({}, {"frames": sample["frames"][:1]})
    assert cv2.imdecode(np.frombuffer(one.png, np.uint8), cv2.IMREAD_COLOR).shape == (96, 96, 3)


def test_another_light_and_place_for_the_whole_clip():
    frames = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), np.uint8)
    frames[1:] = frames[0]
    seen = [augment({"frames": frames}, np.random.default_rng(seed))["frames"] for seed in range(8)]
    for clip in seen:
        assert clip.shape == frames.shape
        assert clip.dtype == np.uint8
        assert all(np.array_equal(frame, clip[0]) for frame in clip), "frames of one clip are changed alike"
    assert len({clip.tobytes() for clip in seen}) == 8
