"""What a person looks at, and what a network is shown to train on."""

import io

import numpy as np
import pytest
from PIL import Image

from speciate import IMAGE
from speciate_image.example import scene, write
from speciate_image.options import ImageOptions
from speciate_image.reader import ImageReader
from speciate_image.views import augment, preview


def test_previews_are_small_pngs(tmp_path):
    reader = ImageReader(ImageOptions())
    for path in write(tmp_path):
        (row,) = reader.read(path)
        sample = reader.decode(row)
        shown = preview(row, sample)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")), sample["pixels"])
        assert f"<td>{row['width']} x {row['height']}</td>" in shown.html


def test_a_large_picture_is_shown_smaller_and_words_are_escaped():
    sample = {"pixels": scene(1, 700, 1400)}
    shown = preview({"kind": "<script>", "mode": "RGB"}, sample)
    assert Image.open(io.BytesIO(shown.png)).size == (512, 256)
    assert "<script>" not in shown.html
    assert "&lt;script&gt;" in shown.html


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (48, 64)])
def test_augmented_pictures_are_pictures(shape):
    sample = {"pixels": scene(2, *shape)}
    kept = sample["pixels"].copy()
    seen = [augment(sample, np.random.default_rng(seed)) for seed in range(20)]
    assert all(IMAGE.problems(view) == [] for view in seen)
    assert all(0 < view["pixels"].size <= kept.size for view in seen)
    assert np.array_equal(sample["pixels"], kept)
    again = augment(sample, np.random.default_rng(3))
    assert np.array_equal(again["pixels"], seen[3]["pixels"])
    if shape == (48, 64):
        assert len({view["pixels"].tobytes() for view in seen}) == 20
