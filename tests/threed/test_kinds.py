"""Every kind of file: the same shape gives the same points, trimesh agrees, and the kind's own ways are understood."""

import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

import speciate_3d.shape
from speciate import SpeciateError
from speciate_3d.example import WRITERS, box, cone, glb, obj, off, pcd, ply, stl, stl_text, threemf, xyz
from speciate_3d.gltf import pack
from speciate_3d.options import ThreeDOptions
from speciate_3d.pcd import lzf
from speciate_3d.reader import ThreeDReader, parse
from speciate_3d.shape import Broken, indexes, numbers

sys.path.insert(0, str(Path(__file__).parent))
from bad_meshes import zipped

MOST = 10**7
MESHES = [name for name in WRITERS if name.rpartition(".")[2] in ("stl", "obj", "ply", "off")]


def read(path, **options):
    reader = ThreeDReader(ThreeDOptions(**options))
    (row,) = reader.read(path)
    return row, reader.decode(row)


def shape(data, kind):
    return parse(data.encode() if isinstance(data, str) else data, kind, MOST)


# --- against trimesh ----------------------------------------------------------------------------------------------


def things():
    scene = trimesh.Scene([trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=2, radius=4)])
    return {
        "sphere": trimesh.creation.icosphere(subdivisions=3),
        "torus": trimesh.creation.torus(2, 0.5),
        "capsule": trimesh.creation.capsule(3, 1),
        "two": scene.to_mesh(),
        "far": trimesh.creation.box((1, 2, 3), transform=trimesh.transformations.translation_matrix([1e5, -2e5, 3e5])),
    }


@pytest.mark.parametrize("kind", ["stl", "stl_ascii", "obj", "ply", "ply_ascii", "off", "glb"])
@pytest.mark.parametrize("thing", things())
def test_trimesh_agrees_on_what_it_writes(thing, kind):
    mesh = things()[thing]
    name, _, text = kind.partition("_")
    if name == "ply":
        data = mesh.export(file_type="ply", encoding="ascii" if text else "binary")
    else:
        data = mesh.export(file_type=kind)
    data = data.encode() if isinstance(data, str) else data
    theirs = trimesh.load(io.BytesIO(data), file_type=name, process=False, force="mesh")
    ours = shape(data, name)
    assert len(ours.faces) == len(theirs.faces) == len(mesh.faces)
    corners, wanted = ours.vertices[ours.faces], theirs.vertices[theirs.faces]
    np.testing.assert_allclose(corners, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_trimesh_agrees_on_scenes_with_transforms(seed):
    rng = np.random.default_rng(seed)
    scene = trimesh.Scene()
    parts = [trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=1)]
    for number in range(5):
        place = trimesh.transformations.random_rotation_matrix(rng.random(3))
        place[:3, :3] *= rng.uniform(0.3, 2) * (-1 if number == 3 else 1)
        place[:3, 3] = rng.normal(size=3) * 4
        scene.add_geometry(parts[number % 2], node_name=f"n{number}", geom_name=f"g{number % 2}", transform=place)
    ours, theirs = shape(scene.export(file_type="glb"), "glb"), scene.to_mesh()
    assert ours.parts == 5
    mine = trimesh.Trimesh(ours.vertices, ours.faces, process=False)
    np.testing.assert_allclose(mine.bounds, theirs.bounds, rtol=1e-5)
    assert mine.area == pytest.approx(theirs.area, rel=1e-5)
    assert mine.volume == pytest.approx(sum(abs(part.volume) for part in scene.dump()), rel=1e-4)  # none is inside out


@pytest.mark.parametrize("name", MESHES)
def test_one_shape_in_every_kind_is_one_shape(name, tmp_path):
    (tmp_path / "a.stl").write_bytes(stl(*cone(2, 0.5)))
    (tmp_path / name).write_bytes(WRITERS[name](*cone(2, 0.5)))
    one, other = read(tmp_path / "a.stl", up="z")[1], read(tmp_path / name, up="z")[1]
    np.testing.assert_allclose(one["points"], other["points"], atol=2e-5)
    np.testing.assert_allclose(one["normals"], other["normals"], atol=2e-4)


# --- OBJ ----------------------------------------------------------------------------------------------------------

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


FACES = ["f 1 2 3 4", "f 1/1 2/2 3/3 4/4", "f 1//1 2//1 3//1 4//1", "f 1/1/1 2/2/1 3/3/1 4/4/1", "f -4 -3 -2 -1"]
FACES += [
    "f 1 2/1 3/1/1 4//1",
    "f 1 2 \\\n 3 4",
    "  f\t1\t2\t3\t4",
    "f 1 2 3\nf 1 3 4",
    "f 1 2 3 4\nf 1 2",
    "fo 1 2 3 4",
]


@pytest.mark.parametrize("faces", FACES)
def test_obj_faces(faces):
    found = shape(f"{SQUARE}{faces}\n", "obj")
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_obj_relative_indexes_count_from_where_they_stand():
    found = shape(f"{SQUARE}f -4 -3 -2 -1\n{SQUARE}f -4 -3 -2\n", "obj")
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]


def test_obj_colours_materials_comments_and_windows_ends():
    text = (
        "# hi\nmtllib ../../../etc/passwd\no a\nv 0 0 0 1 0 0\nv 1 0 0\nv 1 1 0 1\nusemtl red\nf 1 2 3\nusemtl blue\n"
    )
    found = shape(text.replace("\n", "\r\n"), "obj")
    assert (len(found.vertices), found.faces.tolist(), found.materials, found.up) == (3, [[0, 1, 2]], 2, "y")


def test_obj_materials_are_never_opened(tmp_path):
    (tmp_path / "a.obj").write_text(f"mtllib /etc/passwd\nmtllib ../secret.mtl\nusemtl x\n{SQUARE}f 1 2 3 4\n")
    row, _ = read(tmp_path / "a.obj")
    assert row["materials"] == 1
    assert row["original"] == (tmp_path / "a.obj").read_bytes()


def test_obj_without_faces_is_a_cloud_if_it_never_meant_to_have_any():
    found = shape(SQUARE + "vn 0 0 1\n" * 4, "obj")
    assert len(found.faces) == 0
    assert found.normals.tolist() == [[0, 0, 1]] * 4


# --- PLY, OFF -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_in_every_format(format):
    vertices, faces = cone(2, 0.5)
    found = shape(ply(vertices, faces, format), "ply")
    np.testing.assert_allclose(found.vertices, vertices, atol=1e-5)
    assert found.faces.tolist() == faces.tolist()


def test_ply_with_polygons_colours_and_other_elements():
    head = (
        "ply\nformat ascii 1.0\ncomment x\nelement vertex 5\nproperty double x\nproperty double y\nproperty double z\n"
    )
    head += "property uchar red\nelement face 2\nproperty list uchar int vertex_indices\nproperty float quality\n"
    head += "element edge 1\nproperty int a\nproperty int b\nend_header\n"
    body = "0 0 0 9\n1 0 0 9\n1 1 0 9\n0 1 0 9\n2 2 2 9\n4 0 1 2 3 0.5\n3 0 1 4 0.25\n0 1\n"
    assert shape(head + body, "ply").faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


def test_binary_ply_with_polygons():
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    )
    head += "element face 2\nproperty list uchar uint vertex_index\nproperty uchar mark\nend_header\n"
    places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4").tobytes()
    body = struct.pack("<B4IB", 4, 0, 1, 2, 3, 7) + struct.pack("<B3IB", 3, 0, 1, 2, 7)
    assert shape(head.encode() + places + body, "ply").faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


def test_ply_cloud_with_normals():
    head = "ply\nformat ascii 1.0\nelement vertex 2\n" + "".join(
        f"property float {n}\n" for n in ["x", "y", "z", "nx", "ny", "nz"]
    )
    found = shape(head + "end_header\n0 0 0 0 0 2\n1 1 1 1 0 0\n", "ply")
    assert found.normals.tolist() == [[0, 0, 2], [1, 0, 0]]


@pytest.mark.parametrize("head", ["OFF\n4 1 0\n", "OFF4 1 0\n", "# c\nOFF # d\n\n4 1\n", "OFF 4 1 0\n"])
def test_off_headers(head):
    assert len(shape(head + "0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 255 0 0\n", "off").faces) == 2


def test_off_with_colours_and_normals():
    assert len(shape("COFF\n3 1 0\n0 0 0 1 1 1 1\n1 0 0 1 1 1 1\n1 1 0 1 1 1 1\n3 0 1 2\n", "off").faces) == 1
    assert shape("NOFF\n2 0 0\n0 0 0 0 0 1\n1 0 0 0 1 0\n", "off").normals.tolist() == [[0, 0, 1], [0, 1, 0]]


# --- glTF ---------------------------------------------------------------------------------------------------------


def opened(data):
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def test_gltf_with_its_buffer_beside_it_is_kept_as_one_glb(tmp_path):
    head, binary = opened(glb(*cone(2, 0.5)))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my thing.bin").write_bytes(binary)
    head["buffers"] = [{"byteLength": len(binary), "uri": "sub/my%20thing.bin"}]
    head["images"] = [{"uri": "../../secret.png"}]
    (tmp_path / "a.gltf").write_text(json.dumps(head))
    (tmp_path / "b.glb").write_bytes(glb(*cone(2, 0.5)))
    (row, one), (other_row, other) = read(tmp_path / "a.gltf"), read(tmp_path / "b.glb")
    assert row["kind"] == "glb"
    assert (one["points"] == other["points"]).all()
    assert opened(row["original"])[1] == opened(other_row["original"])[1]
    assert b"secret" not in row["original"]
    (tmp_path / "again.glb").write_bytes(row["original"])
    assert (read(tmp_path / "again.glb")[1]["points"] == one["points"]).all()


def test_gltf_is_not_followed_out_of_its_folder(tmp_path):
    head, binary = opened(glb(*box()))
    (tmp_path / "out.bin").write_bytes(binary)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "out.bin")
    for uri in ("../out.bin", "%2e%2e/out.bin", str(tmp_path / "out.bin"), "link.bin", "file:///etc/hostname", "x\0"):
        (tmp_path / "in" / "a.gltf").write_text(json.dumps(head | {"buffers": [{"byteLength": 4, "uri": uri}]}))
        with pytest.raises(SpeciateError, match="folder"):
            read(tmp_path / "in" / "a.gltf")


def primitive(mode, corners, **more):
    places = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 0]], "<f4").tobytes()
    order = np.array(corners, "<u2").tobytes()
    accessors = [{"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3"} | more]
    accessors.append({"bufferView": 1, "componentType": 5123, "count": len(corners), "type": "SCALAR"})
    views = [{"buffer": 0, "byteLength": 60}, {"buffer": 0, "byteOffset": 60, "byteLength": len(order)}]
    views += [{"buffer": 0, "byteLength": 2, "byteOffset": 60}, {"buffer": 0, "byteLength": 12, "byteOffset": 48}]
    mesh = {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}]}
    head = {"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}], "meshes": [mesh], "accessors": accessors}
    return shape(pack(head | {"bufferViews": views, "buffers": [{"byteLength": 0}]}, [places + order]), "glb")


def test_gltf_strips_fans_and_sparse_accessors():
    assert primitive(5, [0, 1, 2, 3]).faces.tolist() == [[0, 1, 2], [3, 2, 1]]
    assert primitive(6, [0, 1, 2, 3]).faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert primitive(0, [0, 1]).faces.tolist() == []
    sparse = {"count": 1, "indices": {"bufferView": 2, "componentType": 5123}, "values": {"bufferView": 3}}
    assert primitive(4, [3, 1, 2], sparse=sparse).vertices[3].tolist() == [2, 1, 0]


def test_gltf_quantised_places():
    places = np.array([[0, 0, 0, 0], [127, 0, 0, 0], [0, -128, 0, 0]], "i1").tobytes()
    accessor = {"bufferView": 0, "componentType": 5120, "count": 3, "type": "VEC3", "normalized": True}
    head = {"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}], "accessors": [accessor], "buffers": [{}]}
    head["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
    head["bufferViews"] = [{"buffer": 0, "byteLength": 12, "byteStride": 4}]
    found = shape(pack(head | {"extensionsRequired": ["KHR_mesh_quantization"]}, [places]), "glb")
    assert found.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, -1, 0]]


# --- 3MF, clouds --------------------------------------------------------------------------------------------------


def test_threemf_builds_items_where_they_belong():
    found = shape(threemf(*box(1, 2, 3)), "3mf")
    assert (found.parts, found.unit, len(found.faces)) == (2, 0.001, 24)
    assert found.vertices.max(axis=0).tolist() == [6, 2, 3]


def test_threemf_components_in_other_parts_as_slicers_write_them():
    with zipfile.ZipFile(io.BytesIO(threemf(*box()))) as archive:
        model = archive.read("3D/3dmodel.model").replace(b"millimeter", b"inch")
    space = b'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
    component = b'<component p:path="/3D/Objects/a.model" objectid="1" transform="2 0 0 0 2 0 0 0 2 9 0 0"/>'
    root = b'<model unit="inch" %s><resources><object id="5"><components>%s</components></object></resources>'
    root += b'<build><item objectid="5"/></build></model>'
    other = model[: model.index(b"<build>")] + b"</model>"
    found = shape(zipped(**{"3D__3dmodel": root % (space, component), "3D__Objects__a": other}), "3mf")
    assert found.unit == 0.0254
    assert (found.vertices.min(axis=0).tolist(), found.vertices.max(axis=0).tolist()) == ([9, 0, 0], [11, 2, 2])


def test_pcd_leaves_out_what_is_no_number_and_says_so(tmp_path):
    places = np.random.default_rng(0).normal(size=(50, 3))
    places[::5] = np.nan
    (tmp_path / "a.pcd").write_bytes(pcd(places, np.zeros((0, 3))))
    row, sample = read(tmp_path / "a.pcd")
    assert (row["vertices"], row["invalid"], row["faces"]) == (40, 10, 0)
    assert np.isfinite(sample["points"]).all()


def test_pcd_with_other_fields_normals_and_padding():
    head = "VERSION .7\nFIELDS normal_x normal_y normal_z x y z rgb _\nSIZE 4 4 4 8 8 8 4 1\nTYPE F F F F F F U U\n"
    head += "COUNT 1 1 1 1 1 1 1 4\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA binary\n"
    body = b"".join(struct.pack("<3f3dI4x", 0, 0, 1, i, 2, 3, 9) for i in range(2))
    found = shape(head.encode() + body, "pcd")
    assert found.vertices.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert found.normals.tolist() == [[0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("packed", "plain"),
    [(b"\x04hello", b"hello"), (b"\x00a\xe0\x05\x00", b"a" * 15), (b"\x02abc\x60\x02", b"abcabcab"), (b"", b"")],
)
def test_lzf(packed, plain):
    assert lzf(packed, len(plain)) == plain


@pytest.mark.parametrize(
    "text",
    ["1 2 3\n4 5 6\n", "1,2,3\n4,5,6", "x y z\n1 2 3\n4 5 6\n", "# c\n1;2;3\n4;5;6\n", "2\n1 2 3 9\n4 5 6 9\n"],
)
def test_xyz_in_the_ways_it_is_written(text):
    assert shape(text, "xyz").vertices.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_xyz_with_normals_or_colours():
    assert shape("1 2 3 0 0 1\n4 5 6 0 1 0\n", "xyz").normals.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert shape("1 2 3 255 0 1\n4 5 6 0 1 0\n", "xyz").normals is None


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize(("version", "kind"), [("1.2", 0), ("1.2", 3), ("1.4", 6)])
def test_las_as_laspy_writes_it(suffix, version, kind):
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=kind, version=version)
    header.offsets, header.scales = [500_000, 5_000_000, 100], [0.001] * 3
    file = laspy.LasData(header)
    places = np.random.default_rng(0).uniform(0, 50, size=(500, 3)) + header.offsets
    file.x, file.y, file.z = places.T
    packed = io.BytesIO()
    file.write(packed, do_compress=suffix == "laz")
    np.testing.assert_allclose(shape(packed.getvalue(), suffix).vertices, places, atol=0.0006)


@pytest.mark.parametrize("writer", [obj, off, stl_text, xyz])
def test_a_mark_of_utf_8_before_text_is_passed_over(writer):
    data = writer(*box(1, 2, 3))
    kind = writer.__name__.partition("_")[0]
    assert len(shape(b"\xef\xbb\xbf" + data, kind).vertices) == len(shape(data, kind).vertices)


def test_kinds_are_told_by_their_first_bytes_where_the_name_says_nothing(tmp_path):
    for number, data in enumerate((glb(*box()), ply(*box()), off(*box()), pcd(*box()))):
        path = tmp_path / f"thing{number}"
        path.write_bytes(data)
        assert read(path)[0]["kind"] in ("glb", "ply", "off", "pcd")
    (tmp_path / "other").write_bytes(obj(*box()))
    with pytest.raises(SpeciateError, match="suffix"):
        read(tmp_path / "other")


# --- numbers as text ----------------------------------------------------------------------------------------------


def test_numbers_are_read_as_python_reads_them(monkeypatch):
    """To the last bit, in whatever way they are written, and wherever a long text is cut into pieces."""
    monkeypatch.setattr(speciate_3d.shape, "PIECE", 7)
    drawn = np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100)
    words = [f"{value:+.17e}" if i % 3 else repr(float(value)) for i, value in enumerate(drawn)]
    words += ["1", "-0", "+2.5", "1e999", "5e-324", ".5", "5.", "nan", "-inf"]
    for blank in (" ", "\n", " \t\r\n"):
        found = numbers(blank.join(words).encode(), "a test", len(words))
        np.testing.assert_array_equal(found, [float(word) for word in words])
    assert indexes(b" 7 -3\n+12  007", "a test", 4).tolist() == [7, -3, 12, 7]


@pytest.mark.parametrize("text", ["1 2 x", "1 0x10", "1 0X10", "1_0", "1,5", "1 2e", "\xe9 1"])
def test_what_is_no_number_is_named(text):
    for read_ in (numbers, indexes):
        with pytest.raises(Broken, match="which is no number"):
            read_(text.encode("latin-1"), "a test")


def test_lax_ways_of_writing_that_others_take():
    """Comments behind values, small letters where capitals are usual, and the other way round."""
    mesh = "v 0 0 0 # one\nv 1 0 0\t# two\nv 0 1 0 1 # with a weight\n# a comment\nf 1 2 3 # all\n"
    assert shape(mesh, "obj").faces.tolist() == [[0, 1, 2]]
    assert shape("off\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "off").faces.tolist() == [[0, 1, 2]]
    head = "ply\nformat ascii 1.0\nelement vertex 1\n" + "".join(f"property float {axis}\n" for axis in "XYZ")
    assert shape(f"{head}end_header\n1 2 3\n", "ply").vertices.tolist() == [[1, 2, 3]]


def test_a_text_that_is_no_stl_is_called_so():
    with pytest.raises(Broken, match="does not begin with solid"):
        shape("v 0 0 0\n" * 20, "stl")


def test_facets_may_be_written_closer_than_usual():
    """Words and numbers without a blank between them, and capitals."""
    corner = "vertex{} 0 0 vertex0 1 0\nVERTEX 0 0 1"
    text = f"solid\nfacet normal 0 0 1 outer loop {corner.format(1)} endloop endfacet\nendsolid\n"
    assert shape(text, "stl").vertices.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
