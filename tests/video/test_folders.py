"""Folders of numbered frames: one video, one stored file, the same pictures."""

import zipfile

import cv2
import numpy as np
import pytest
from video_made import pictures, reader, rows, video

import speciate
from speciate import SpeciateError
from speciate_video.folders import key, numbered


def read_all(paths, **options):
    return list(reader(**options).read_all(paths))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_frames_in_the_order_of_their_numbers(tmp_path, suffix):
    paths = pictures(tmp_path / "shot", suffix=suffix, first=8)  # 8, 9, 10: not the order of names without zeros
    paths = [path.rename(path.with_name(f"f{numbered(path)[1]}{suffix}")) for path in paths]
    (row,) = read_all(sorted(paths))
    assert (row["start"], row["end"], row["width"], row["height"], row["fps"]) == (0, 12, 64, 48, 0.0)
    plain = [cv2.resize(cv2.imread(str(path)), (32, 32), interpolation=cv2.INTER_AREA)[:, :, ::-1] for path in paths]
    found = reader(frames=12).decode(row)["frames"]
    assert np.array_equal(found, np.stack(plain))


def test_one_folder_one_key(tmp_path):
    one, other = pictures(tmp_path / "a"), pictures(tmp_path / "b")
    assert len({key(path) for path in one}) == len({key(path) for path in one + other}) - 1 == 1
    assert key(tmp_path / "a" / "left_01.png") != key(tmp_path / "a" / "right_01.png")
    assert key(tmp_path / "a.mp4") != key(tmp_path / "b.mp4")


def test_equal_frames_make_an_equal_file(tmp_path):
    one, two = (read_all(pictures(tmp_path / name, first=first)) for name, first in (("a", 1), ("b", 700)))
    assert one[0]["video"].read_bytes() == two[0]["video"].read_bytes()


def test_a_zip_of_frames_is_the_same_video(tmp_path):
    (row,) = read_all(pictures(tmp_path / "shot"))
    target = tmp_path / "again.frames.zip"
    target.write_bytes(row["video"].read_bytes())
    (again,) = rows(target)
    assert np.array_equal(reader().decode(row)["frames"], reader().decode(again)["frames"])


def test_annotations_beside_the_folder(tmp_path):
    (tmp_path / "shot.csv").write_text("start,end,label\n2,9,jump\n")
    (row,) = read_all(pictures(tmp_path / "shot"))
    assert (row["start"], row["end"], row["label"]) == (2, 9, "jump")


def test_every_third_frame_is_a_video_and_a_hole_is_none(tmp_path):
    assert read_all(pictures(tmp_path / "third", step=3))[0]["frames"] == 12
    paths = pictures(tmp_path / "hole")
    paths.pop(5).unlink()
    with pytest.raises(SpeciateError, match="there is no number 6"):
        read_all(paths)
    assert read_all(paths, gaps=True)[0]["frames"] == 11


def damage(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "huge":
        path.write_bytes(data[:16] + (65000).to_bytes(4, "big") * 2 + data[24:])
    else:
        cv2.imwrite(str(path), np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("suffix", "how"),
    [(".png", "cut"), (".jpg", "cut"), (".bmp", "cut"), (".png", "empty"), (".png", "huge"), (".png", "other size")],
)
def test_one_bad_frame_refuses_the_video(tmp_path, suffix, how):
    paths = pictures(tmp_path / "shot", suffix=suffix)
    damage(paths[7], how)
    with pytest.raises(SpeciateError) as caught:
        read_all(paths)
    assert caught.value.do


def test_zips_that_are_no_frames(tmp_path):
    bomb = tmp_path / "bomb.frames.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(50 << 20))
    other = tmp_path / "other.frames.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("0.txt", "no picture")
    empty = tmp_path / "empty.frames.zip"
    zipfile.ZipFile(empty, "w").close()
    for path in (bomb, other, empty):
        with pytest.raises(SpeciateError):
            rows(path)


def test_folders_and_files_through_a_workspace(tmp_path):
    """Added together, kept once each, learnt from, and asked about."""
    for name, seed in (("a", 1), ("b", 2)):
        pictures(tmp_path / "in" / name, seed=seed)
    video(tmp_path / "in" / "c.mp4")
    ws = speciate.open(tmp_path / "ws", quiet=True)
    added = ws.add("d", tmp_path / "in", format="video", options={"size": 32})
    assert (added.rows, added.quarantined) == (3, ())
    assert ws.add("d", tmp_path / "in", format="video").added == 0
    assert len([path for path in (ws.root / "blobs").rglob("*") if path.is_file()]) == 3
    stored = ws.engine.dataset("d").rows()
    assert all(reader().decode(row)["frames"].shape == (8, 32, 32, 3) for row in stored)
