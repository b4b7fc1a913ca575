"""What a model sees: evenly by area, the same each time, upright and to scale; and what is nearly the same."""

import io
import struct
import zlib

import numpy as np
import pytest
import trimesh

from speciate import POINTS, Format, SpeciateError, UsageError
from speciate.catalog import installed
from speciate_3d.augment import augment
from speciate_3d.example import WRITERS, box, cone, glb, obj, ply, stl, threemf, xyz
from speciate_3d.near import signatures
from speciate_3d.options import ThreeDOptions
from speciate_3d.preview import preview
from speciate_3d.reader import ThreeDReader
from speciate_3d.splat import directions, splat


@pytest.fixture
def put(tmp_path):
    def put(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return put


def read(path, **options):
    reader = ThreeDReader(ThreeDOptions(**options))
    (row,) = reader.read(path)
    return row, reader.decode(row)


# --- sampling -----------------------------------------------------------------------------------------------------


def test_points_are_shared_out_by_area(put):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0], [9, 9, 9.0]])
    faces = np.array([[0, 1, 2], [3, 4, 5], [6, 6, 6], [0, 1, 1]])  # areas 1 to 3, and two that have none
    row, sample = read(put("a.stl", stl(vertices, faces)), points=1000)
    assert row["degenerate"] == 2
    assert abs(int((sample["points"][:, 0] < 0).sum()) - 250) <= 1
    assert sample["normals"].tolist() == [[0, 0, 1]] * 1000


def test_points_lie_on_the_surface_and_normals_face_outwards(put):
    _, sample = read(put("a.ply", ply(*box(2, 2, 2))), normalise="none")
    points, normals = sample["points"], sample["normals"]
    on = np.abs(np.abs(points - 1).max(axis=1) - 1)
    assert on.max() < 1e-6
    assert ((points - 1) * normals).sum(axis=1).min() > 0.999
    sides = np.unique(normals.round(), axis=0, return_counts=True)[1]
    assert len(sides) == 6
    assert sides.min() > 2048 / 6 - 3  # evenly, not by chance


def test_a_seed_gives_the_same_points_and_another_gives_others(put):
    path = put("a.obj", obj(*cone(2, 0.5)))
    one, same, other = (read(path, seed=seed)[1]["points"] for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes()
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize(("there", "asked"), [(50, 20), (50, 50), (50, 170)])
def test_a_cloud_gives_each_point_once_or_equally_often(put, there, asked):
    cloud = np.random.default_rng(0).normal(size=(there, 3))
    _, sample = read(put("a.xyz", xyz(cloud, cloud)), points=asked)
    counts = np.unique(sample["points"], axis=0, return_counts=True)[1]
    assert sample["points"].shape == (asked, 3)
    assert counts.max() - (counts.min() if asked > there else 1) <= 1
    assert not sample["normals"].any()


@pytest.mark.parametrize(("size", "away"), [(1e-30, 0), (1e-6, 0), (1e9, 0), (1e9, 3), (1, 1e6), (1e-3, 1e3)])
def test_size_and_place_do_not_matter(put, size, away):
    vertices, faces = cone(2, 0.5)
    plain = read(put("a.obj", obj(vertices, faces)))[1]
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in (vertices * size + away * size).tolist()]
    text = "\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in faces + 1), ""])
    moved = read(put("b.obj", text.encode()))[1]
    np.testing.assert_allclose(moved["points"], plain["points"], atol=1e-4)
    assert np.isfinite(moved["normals"]).all()


# --- options ------------------------------------------------------------------------------------------------------


def test_normalise(put):
    path = put("a.ply", ply(np.array([1.0, 2, 3]) + box(2, 2, 4)[0], box()[1]))
    sphere, center, none = (read(path, normalise=how)[1]["points"] for how in ("sphere", "center", "none"))
    assert 0.9 < np.sqrt((sphere**2).sum(axis=1)).max() <= 1
    np.testing.assert_allclose(none - [[2, 3, 5]], center, atol=1e-5)
    np.testing.assert_allclose(center / np.sqrt(6), sphere, atol=1e-6)


def test_units(put):
    vertices, faces = box(1, 2, 3)
    assert read(put("a.stl", stl(vertices, faces)), units="mm")[0]["size_z"] == pytest.approx(0.003)
    assert read(put("a.glb", glb(vertices, faces)), units="mm")[0]["size_y"] == pytest.approx(1)  # glTF says metres
    assert read(put("a.3mf", threemf(vertices, faces)), units="m")[0]["size_z"] == pytest.approx(0.003)  # and 3MF mm
    _, sample = read(put("a.stl", stl(vertices, faces)), units="in", normalise="none")
    assert np.abs(sample["points"]).max() == pytest.approx(3 * 0.0254, rel=1e-3)


def test_up(put):
    data = stl(*box(1, 2, 3))
    sizes = {up: read(put("a.stl", data), up=up)[0] for up in ("", "x", "y", "z")}
    assert [[row[f"size_{axis}"] for axis in "xyz"] for row in sizes.values()] == [
        [1, 2, 3],
        [2, 3, 1],
        [3, 1, 2],
        [1, 2, 3],
    ]
    assert read(put("a.obj", obj(*box(1, 2, 3))))[0]["size_z"] == 2  # OBJ and glTF have y up
    sample = read(put("b.stl", stl(*cone(2, 0, 7))), up="y", normalise="none")[1]
    inside = sample["points"].mean(axis=0)
    assert ((sample["points"] - inside) * sample["normals"]).sum(axis=1).min() > -1e-6  # turned, not mirrored


@pytest.mark.parametrize(
    "options",
    [{"normalise": "box"}, {"units": "yard"}, {"up": "w"}, {"points": 0}, {"most": 0}, {"most_mb": 0}, {"seed": -1}],
)
def test_impossible_options(options):
    with pytest.raises(UsageError) as caught:
        ThreeDReader(ThreeDOptions(**options))
    assert caught.value.do


def test_what_is_too_large_to_be_true_says_so(put):
    text = "v 0 0 0\nv 1e11 0 0\nv 0 1e11 0\nf 1 2 3\n"
    assert read(put("a.obj", text.encode()), up="z")[0]["size_x"] == 1e11
    with pytest.raises(SpeciateError, match="coordinate"):
        read(put("a.obj", text.replace("e11", "e13").encode()))


# --- near-duplicates ----------------------------------------------------------------------------------------------


def share(one, two):
    both = signatures([one, two])
    return float((both[0] == both[1]).mean())


THINGS = {
    "torus": trimesh.creation.torus(2, 0.5),
    "capsule": trimesh.creation.capsule(3, 1),
    "bracket": trimesh.util.concatenate(
        [trimesh.creation.box((4, 1, 1)), trimesh.creation.box((1, 1, 3)).apply_translation([1.5, 0, 2])]
    ),
    "ring": trimesh.creation.annulus(1, 3, 0.5),
}


def changed(mesh, how, rng):
    mesh = mesh.copy()
    if how == "turned":
        mesh.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
    elif how == "scaled and moved":
        mesh.apply_scale(25.4).apply_translation([100, -20, 3])
    elif how == "shuffled":
        mesh.faces = mesh.faces[rng.permutation(len(mesh.faces))]
    elif how == "finer":
        mesh = mesh.subdivide()
    elif how == "rough":
        mesh.vertices += rng.normal(size=mesh.vertices.shape) * 0.002 * mesh.extents.max()
    return mesh


@pytest.mark.parametrize("how", ["turned", "scaled and moved", "shuffled", "finer", "rough"])
@pytest.mark.parametrize("thing", THINGS)
def test_the_same_part_is_found_again(thing, how, put):
    near, rng = installed().get(Format, "3d").near, np.random.default_rng(5)
    one, _ = read(put("a.stl", THINGS[thing].export(file_type="stl")))
    other, _ = read(put("b.glb", changed(THINGS[thing], how, rng).export(file_type="glb")))
    assert share(one, other) >= near.threshold


def test_other_parts_are_not(put):
    near = installed().get(Format, "3d").near
    rows = [read(put(f"{name}.stl", mesh.export(file_type="stl")))[0] for name, mesh in THINGS.items()]
    rows += [read(put(f"b{i}.stl", stl(*box(1, 1 + i / 2, 2 + i))))[0] for i in range(4)]
    rows += [read(put(f"c{i}.stl", stl(*cone(1 + i, i / 4))))[0] for i in range(4)]
    shares = [share(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    assert max(shares) < near.threshold  # a long cone and a capsule
    assert np.median(shares) < 0.2


def test_the_signature_does_not_change(put):
    """It is kept in datasets: another one would find none of the old rows."""
    row, _ = read(put("a.stl", stl(*box(1, 2, 3))))
    assert signatures([row])[0, :8].tolist() == SIGNATURE
    assert signatures([]).shape == (0, 128)


SIGNATURE = [2, 216, 0, 5, 225, 199, 4, 30]


# --- previews, augmentation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_preview_is_a_png_and_escaped_html(name, put):
    row, sample = read(put(name, WRITERS[name](*cone(2, 0.5))))
    shown = preview(row | {"kind": "<script>alert(1)</script>"}, sample)
    assert shown.png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", shown.png[16:24])
    size = struct.unpack(">I", shown.png[33:37])[0]
    pixels = np.frombuffer(zlib.decompress(shown.png[41 : 41 + size]), np.uint8).reshape(height, width * 3 + 1)[:, 1:]
    assert (width, height) == (512, 256)
    assert 0.02 < (pixels < 255).mean() < 0.9
    assert "<script" not in shown.html
    assert "vertices" in shown.html


def test_a_preview_opens_in_pillow(put):
    pillow = pytest.importorskip("PIL.Image")
    shown = preview(*read(put("a.stl", stl(*box()))))
    picture = pillow.open(io.BytesIO(shown.png))
    picture.load()
    assert (picture.size, picture.mode) == ((512, 256), "RGB")


def test_the_nearer_side_hides_the_farther():
    eye = directions(1)[0]
    points = np.stack([eye, -eye, [1.0, 0, 0]])
    far_first = splat(points[[1, 0, 2]], np.zeros((3, 3)), eye, 64, 3)
    near_first = splat(points, np.zeros((3, 3)), eye, 64, 3)
    assert (far_first == near_first).all()
    assert near_first[31, 31, 0] > splat(points[1:], np.zeros((2, 3)), eye, 64, 3)[31, 31, 0]


def test_augmenting_gives_the_same_modality_and_another_view(put):
    _, sample = read(put("a.stl", stl(*cone(2, 0.5))))
    before = {name: array.copy() for name, array in sample.items()}
    seen = [augment(sample, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert all(POINTS.problems(one) == [] for one in seen)
    assert seen[0]["points"].shape == sample["points"].shape
    assert seen[0]["points"].tobytes() == seen[1]["points"].tobytes() != seen[2]["points"].tobytes()
    lengths = np.sqrt((seen[0]["normals"] ** 2).sum(axis=1))
    assert np.abs(lengths - 1).max() < 1e-5
    assert all((sample[name] == before[name]).all() for name in before)
