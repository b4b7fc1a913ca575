"""Near-duplicate pictures: found after what people do to pictures, and not between different ones."""

import cv2
import numpy as np
import pytest

from speciate import Format
from speciate.catalog import installed
from speciate_image.example import scene
from speciate_image.near import look, signatures

MANY = 150
GOLDEN = [128, 108, 0, 40, 48, 116, 24, 128, 140, 196, 16, 184]


def sharp(seed: int):
    """A scene with edges and texture, as photographs have."""
    rng, picture = np.random.RandomState(seed), scene(seed, 192, 256)
    for _ in range(8):
        corners = rng.randint(0, 256, (3, 2)).astype(np.int32)
        cv2.fillPoly(picture, [corners], tuple(map(int, rng.randint(0, 256, 3))))
    return cv2.add(picture, rng.randint(0, 12, picture.shape).astype(np.uint8))


def share(one, two):
    a, b = (signatures([{"look": look(pixels)} for pixels in part]) for part in (one, two))
    return (a == b).mean(axis=1)


def jpeg(quality):
    return lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


CHANGES = {
    "jpeg 90": jpeg(90),
    "jpeg 40": jpeg(40),
    "half the size": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "a third larger": lambda p: cv2.resize(p, None, fx=1.33, fy=1.33, interpolation=cv2.INTER_CUBIC),
    "half the size, jpeg 60": lambda p: jpeg(60)(cv2.resize(p, None, fx=0.5, fy=0.5)),
    "brighter": lambda p: cv2.add(p, (20, 20, 20, 0)),
    "more contrast": lambda p: np.clip(p * 1.1, 0, 255).astype(np.uint8),
    "grey": lambda p: cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
}


@pytest.fixture(scope="module")
def pictures_():
    return [sharp(seed) for seed in range(MANY)]


@pytest.mark.parametrize("change", CHANGES)
def test_found_after_a_change(change, pictures_):
    near = installed().get(Format, "image").near
    found = share(pictures_, [CHANGES[change](picture) for picture in pictures_])
    assert (found >= near.threshold).mean() >= 0.98


def test_different_pictures_are_far_apart(pictures_):
    near = installed().get(Format, "image").near
    for step in (1, 7, 50):
        assert share(pictures_, np.roll(np.array(pictures_), step, axis=0)).max() < near.threshold - 0.2


def test_pictures_with_nothing_on_them_are_equal():
    blanks = [np.full((40 + i, 50, 3), grey, np.uint8) for i, grey in enumerate((0, 7, 128, 255))]
    assert share(blanks, blanks[::-1]).min() == 1.0


def test_an_add_keeps_copies_on_one_side(tmp_path, workspace):
    for seed in range(40):
        picture = sharp(1000 + seed)
        cv2.imwrite(str(tmp_path / f"{seed}.png"), picture)
        cv2.imwrite(str(tmp_path / f"{seed}.jpg"), jpeg(60)(picture))
    workspace.add("copies", tmp_path)
    splits = {}
    for row in workspace.engine.dataset("copies").rows():
        splits.setdefault(row["source"].rsplit("/", 1)[-1].split(".")[0], set()).add(row["split"])
    assert len(splits) == 40
    assert all(len(sides) == 1 for sides in splits.values())
    assert {"train", "test"} <= {side for sides in splits.values() for side in sides}


def test_the_signature_does_not_change():
    """It is kept in datasets: another one would find none of the old rows."""
    assert list(look(scene(1, 64, 64))[:12]) == GOLDEN
    assert signatures([]).shape == (0, 64)
