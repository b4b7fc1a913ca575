"""The recipes are where Hydra looks for them, and a run goes from files to answers."""

from importlib import resources

import cv2
import numpy as np
import pytest
from hydra.plugins.config_source import ConfigSource

from speciate_image import speciate_bases, speciate_recipes
from speciate_image.example import scene


@pytest.mark.parametrize(("name", "base"), [("probe", "efficientnet-lite0"), ("probe-shape", "shape-colour")])
def test_recipe(name, base):
    assert speciate_recipes() == ["pkg://speciate_image.conf"]
    text = (resources.files("speciate_image.conf") / "recipe" / "image" / f"{name}.yaml").read_text()
    assert ConfigSource._get_header_dict(text) == {"package": "_global_"}
    assert f"override /base: {base}\n" in text
    assert base in [known.name for known in speciate_bases()]


def drawn(label, seed):
    """A bright shape on a scene: the task is to name the shape."""
    rng, picture = np.random.RandomState(seed), scene(seed, 72, 96)
    (x, y), size, colour = rng.randint(26, 46, 2), int(rng.randint(14, 20)), (250, 250, 250)
    if label == "disk":
        cv2.circle(picture, (int(x), int(y)), size, colour, -1)
    else:
        cv2.rectangle(picture, (int(x) - size, int(y) - 3), (int(x) + size, int(y) + 3), colour, -1)
    return picture


def test_from_files_to_answers(tmp_path, workspace):
    for label in ("disk", "bar"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for i in range(30):
            kind = ("png", "jpg", "webp")[i % 3]
            cv2.imwrite(str(tmp_path / "in" / label / f"{i}.{kind}"), drawn(label, 100 * i + len(label)))
    added = workspace.add("shapes", tmp_path / "in", labels="folders")
    assert (added.rows, dict(added.labels)) == (60, {"disk": 30, "bar": 30})
    for recipe in ("image/probe", "image/probe-shape"):
        ran = workspace.run(recipe, dataset="shapes", **{"method.c": [10.0]})
        assert ran.parity["holds"]
        asked = [tmp_path / "in" / label / "0.png" for label in ("disk", "bar")]
        said = workspace.predict(ran.model, *asked)["predictions"]
        assert [one["output"]["label"] for one in said] == ["disk", "bar"]
