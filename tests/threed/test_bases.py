"""The bases of points: what they tell apart, what they need, and the whole walk from files to an answer."""

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from hydra.plugins.config_source import ConfigSource

import speciate
import speciate_3d
from speciate import IMAGE, POINTS, Base, SpeciateError, UsageError
from speciate.catalog import Catalog, Plugin, installed
from speciate_3d import speciate_bases, speciate_recipes
from speciate_3d.descriptors import ShapeDescriptors
from speciate_3d.example import WRITERS, box, cone, stl
from speciate_3d.options import DepthViewsOptions, PointNetOptions, ShapeDescriptorsOptions, ThreeDOptions
from speciate_3d.pointnet import PointNet
from speciate_3d.reader import ThreeDReader
from speciate_3d.views import DepthViews


def sample(data, tmp_path, **options):
    (tmp_path / "a.stl").write_bytes(data)
    reader = ThreeDReader(ThreeDOptions(**options))
    return reader.decode(next(iter(reader.read(tmp_path / "a.stl"))))


def encode(encoder, *samples):
    return encoder.encode(samples, lambda _: None)


@pytest.fixture
def boxes_and_cones(tmp_path):
    boxes = [sample(stl(*box(1, 1 + i / 9, 2)), tmp_path) for i in range(4)]
    return boxes + [sample(stl(*cone(2, i / 9)), tmp_path) for i in range(4)]


# --- shape-descriptors, pointnet ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoder",
    [ShapeDescriptors(ShapeDescriptorsOptions()), PointNet(PointNetOptions()), PointNet(PointNetOptions(seed=1))],
)
def test_like_lies_by_like(encoder, boxes_and_cones):
    vectors = encode(encoder, *boxes_and_cones)
    apart = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(axis=2))
    inside = max(apart[:4, :4].max(), apart[4:, 4:].max())
    assert apart[:4, 4:].min() > 0.8 * inside


def test_a_cloud_without_normals_and_one_point_have_vectors(tmp_path):
    cloud = {"points": np.random.default_rng(0).normal(size=(40, 3)).astype("f4"), "normals": np.zeros((40, 3), "f4")}
    single = {name: array[:1] for name, array in cloud.items()}
    for encoder in (ShapeDescriptors(ShapeDescriptorsOptions()), PointNet(PointNetOptions())):
        assert np.isfinite(encode(encoder, cloud, single)).all()


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        (ShapeDescriptors, ShapeDescriptorsOptions(bins=1)),
        (ShapeDescriptors, ShapeDescriptorsOptions(pairs=1)),
        (PointNet, PointNetOptions(points=5)),
        (PointNet, PointNetOptions(width=1)),
        (PointNet, PointNetOptions(seed=-1)),
        (DepthViews, DepthViewsOptions(views=0)),
        (DepthViews, DepthViewsOptions(size=9)),
        (DepthViews, DepthViewsOptions(pool="mean")),
    ],
)
def test_impossible_options(loader, options):
    with pytest.raises(UsageError) as caught:
        loader(options)
    assert caught.value.do


def test_every_option_changes_the_fingerprint():
    options = [{}, {"seed": 1}, {"points": 512}, {"width": 64}]
    assert len({PointNet(PointNetOptions(**chosen)).fingerprint() for chosen in options}) == 4
    options = [{}, {"bins": 16}, {"pairs": 4096}]
    assert len({ShapeDescriptors(ShapeDescriptorsOptions(**chosen)).fingerprint() for chosen in options}) == 3


def test_the_network_is_trainable_and_encode_is_the_network(boxes_and_cones):
    """Twelve steps of a head over the network: the loss falls, every weight has a gradient, and encode shows it."""
    import torch

    torch.manual_seed(0)
    encoder = PointNet(PointNetOptions(points=128, width=32))
    network, before = encoder.network(), encode(encoder, *boxes_and_cones)
    batch, head = encoder.batch(boxes_and_cones), torch.nn.Linear(32, 2)
    with torch.no_grad():
        assert np.allclose(network(**batch).numpy(), before, atol=1e-6)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], 1e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(head(network(**batch)), torch.tensor([0] * 4 + [1] * 4))
        optimizer.zero_grad()
        loss.backward()
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.8
    assert network is encoder.network()
    assert np.abs(encode(encoder, *boxes_and_cones) - before).max() > 1e-3


# --- depth-views --------------------------------------------------------------------------------------------------


class Thumbnails:
    """A real, small base of images: what a picture looks like in 12 x 12 pixels."""

    width, tolerance = 144, 0.0

    def __init__(self, options):
        pass

    def fingerprint(self):
        return "thumbnails"

    def encode(self, samples, tick):
        found = [s["pixels"][:120, :120, 0].reshape(12, 10, 12, 10).mean(axis=(1, 3)).ravel() / 255 for s in samples]
        tick(len(samples))
        return np.array(found, dtype=np.float32).reshape(len(samples), 144)


class thumbnails:  # noqa: N801
    """The plugin that declares it."""

    @staticmethod
    @speciate.hookimpl
    def speciate_bases():
        return [Base("thumbnails", "twelve by twelve", IMAGE, "threed_thumbnails:Thumbnails")]


@pytest.fixture
def with_thumbnails(monkeypatch):
    monkeypatch.setitem(sys.modules, "threed_thumbnails", sys.modules[__name__])
    catalog = Catalog([Plugin("3d", speciate_3d), Plugin("thumbnails", thumbnails)])
    monkeypatch.setattr("speciate_3d.views.installed", lambda: catalog)


def test_views_go_through_an_image_base(with_thumbnails, boxes_and_cones):
    views = DepthViews(DepthViewsOptions(image="thumbnails", size=120))
    ticks = []
    vectors = views.encode(boxes_and_cones * 3, ticks.append)
    assert vectors.shape == (24, 3 * 144)
    assert sum(ticks) == 24
    assert (vectors[:8] == vectors[8:16]).all()
    assert (vectors[0] == encode(views, boxes_and_cones[0])[0]).all()
    apart = np.sqrt(((vectors[:8, None] - vectors[None, :8]) ** 2).sum(axis=2))
    assert apart[:4, 4:].min() > max(apart[:4, :4].max(), apart[4:, 4:].max()) * 0.8
    pooled = DepthViews(DepthViewsOptions(image="thumbnails", size=120, pool="max", views=6))
    assert encode(pooled, *boxes_and_cones).shape == (8, 144)
    assert encode(pooled).shape == (0, 144)


def test_every_view_option_changes_the_fingerprint(with_thumbnails):
    options = [{}, {"views": 4}, {"size": 128 + 32}, {"pool": "max"}]
    made = [DepthViews(DepthViewsOptions(image="thumbnails", **chosen)).fingerprint() for chosen in options]
    assert len(set(made)) == 4


def test_a_missing_image_base_is_told_in_three_parts(with_thumbnails):
    with pytest.raises(SpeciateError) as caught:
        DepthViews(DepthViewsOptions())
    assert "efficientnet-lite0" in caught.value.asked
    assert "thumbnails" in caught.value.exists
    assert "pip install" in caught.value.do


@pytest.mark.skipif("efficientnet-lite0" not in {b.name for b in installed().all(Base)}, reason="no image plugin here")
def test_views_through_the_packaged_image_base(boxes_and_cones):
    views = DepthViews(DepthViewsOptions())
    vectors = encode(views, *boxes_and_cones)
    assert vectors.shape == (8, 3 * 1280)
    apart = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(axis=2))
    assert apart[:4, 4:].min() > max(apart[:4, :4].max(), apart[4:, 4:].max())


# --- the walk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "base"), [("probe", "depth-views"), ("probe-shape", "shape-descriptors")])
def test_recipe(name, base):
    assert speciate_recipes() == ["pkg://speciate_3d.conf"]
    text = (resources.files("speciate_3d.conf") / "recipe" / "3d" / f"{name}.yaml").read_text()
    assert ConfigSource._get_header_dict(text) == {"package": "_global_"}
    assert f"override /base: {base}\n" in text
    assert base in [known.name for known in speciate_bases()]
    assert {known.modality for known in speciate_bases()} == {POINTS}


def test_from_files_of_every_kind_to_an_answer(tmp_path):
    kinds = [name for name in WRITERS if "pcd" not in name and name not in ("a.xyz", "a.las")]
    for number in range(72):
        what, grown = ("box", "cone")[number % 2], 1 + number / 40
        name = kinds[number // 2 % len(kinds)]
        path = tmp_path / "things" / what / f"{number}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WRITERS[name](*(box(1, grown, 2) if what == "box" else cone(grown, number % 3 / 3))))
        (path.parent / "beside.mtl").write_text("newmtl red\n")
    workspace = speciate.open(tmp_path / "workspace", quiet=True)
    added = workspace.add("things", *sorted((tmp_path / "things").rglob("*-*")), labels="folders")
    assert (added.rows + added.duplicates, added.quarantined) == (72, ())
    ran = workspace.run("3d/probe-shape", dataset="things")
    assert ran.scores["accuracy"]["value"] > 0.9
    assert ran.parity["holds"]
    (tmp_path / "new.ply").write_bytes(WRITERS["binary.ply"](*cone(1.11, 0.1)))
    (answer,) = workspace.predict(ran.model, tmp_path / "new.ply")["predictions"]
    assert answer["output"]["label"] == "cone"


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = """
import json, sys
import speciate_3d
speciate_3d.speciate_formats(), speciate_3d.speciate_bases(), speciate_3d.speciate_recipes()
light = sorted({"numpy", "torch", "laspy", "trimesh"} & set(sys.modules))
from speciate_3d import augment, descriptors, near, preview, reader, views
print(json.dumps([light, sorted({"torch", "laspy", "trimesh", "transformers"} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]
