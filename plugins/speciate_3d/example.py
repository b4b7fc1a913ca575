"""Small good files of every kind the format knows, for the conformance kit and for trying things out."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from speciate_3d.gltf import pack
from speciate_3d.shape import Floats, Ints

__all__ = ["WRITERS", "box", "cone", "write"]


def box(x: float = 1, y: float = 1, z: float = 1) -> tuple[Floats, Ints]:
    """Eight vertices, twelve triangles that face outwards."""
    vertices = np.array([(i, j, k) for i in (0, x) for j in (0, y) for k in (0, z)], dtype=np.float64)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return vertices, np.array([t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))], dtype=np.int64)


def cone(height: float = 1, top: float = 0, sides: int = 24) -> tuple[Floats, Ints]:
    """A cone, or a cylinder with a top of the same radius, 1."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(sides)], axis=1)
    vertices = np.concatenate([ring, ring * [top, top, 1] + [0, 0, height], [[0, 0, 0], [0, 0, height]]])
    here, there = np.arange(sides), (np.arange(sides) + 1) % sides
    bottom, lid = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    faces = [(here, there, there + sides), (here, there + sides, here + sides)]
    faces += [(there, here, bottom), (here + sides, there + sides, lid)]
    return vertices, np.concatenate([np.stack(face, axis=1) for face in faces])


def stl(vertices: Floats, faces: Ints) -> bytes:
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    table = np.zeros(len(faces), kind)
    table["corners"] = vertices[faces]
    return b"\0" * 80 + struct.pack("<I", len(faces)) + table.tobytes()


def stl_text(vertices: Floats, faces: Ints) -> bytes:
    lines = ["solid thing"]
    for face in vertices[faces]:
        corners = [f"  vertex {x:.6g} {y:.6g} {z:.6g}" for x, y, z in face]
        lines += ["facet normal 0 0 0", " outer loop", *corners, " endloop", "endfacet"]
    return "\n".join([*lines, "endsolid thing", ""]).encode()


def obj(vertices: Floats, faces: Ints) -> bytes:
    lines = ["mtllib thing.mtl", "o thing", *(f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in vertices), "usemtl red"]
    return "\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in faces + 1), ""]).encode()


def ply(vertices: Floats, faces: Ints, format: str = "binary_little_endian") -> bytes:
    head = f"ply\nformat {format} 1.0\nelement vertex {len(vertices)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") if len(vertices) else ""
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    if format == "ascii":
        lines = [" ".join(f"{value:.6g}" for value in vertex) for vertex in vertices]
        return head.encode() + "\n".join([*lines, *(f"3 {a} {b} {c}" for a, b, c in faces), ""]).encode()
    order = "<" if format == "binary_little_endian" else ">"
    table = np.zeros(len(faces), np.dtype([("n", "u1"), ("corners", order + "i4", 3)]))
    table["n"], table["corners"] = 3, faces
    return head.encode() + vertices.astype(order + "f4").tobytes() + table.tobytes()


def ply_text(vertices: Floats, faces: Ints) -> bytes:
    return ply(vertices, faces, "ascii")


def off(vertices: Floats, faces: Ints) -> bytes:
    lines = [f"{x:.6g} {y:.6g} {z:.6g}" for x, y, z in vertices] + [f"3 {a} {b} {c}" for a, b, c in faces]
    return "\n".join(["OFF", f"{len(vertices)} {len(faces)} 0", *lines, ""]).encode()


def _scene(vertices: Floats, faces: Ints) -> tuple[dict[str, object], bytes]:
    """A mesh that stands in a scene twice, once above itself."""
    places, corners = vertices.astype("<f4").tobytes(), faces.astype("<u2").tobytes()
    corners += bytes(-len(corners) % 4)
    accessors = [{"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3"}]
    accessors += [{"bufferView": 1, "componentType": 5123, "count": faces.size, "type": "SCALAR"}]
    views = [{"buffer": 0, "byteLength": len(places)}]
    views += [{"buffer": 0, "byteOffset": len(places), "byteLength": len(corners)}]
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "children": [1]}, {"mesh": 0, "translation": [0, 3, 0], "scale": [0.5, 0.5, 0.5]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(places + corners)}],
    }, places + corners


def glb(vertices: Floats, faces: Ints) -> bytes:
    head, binary = _scene(vertices, faces)
    return pack(head, [binary])


def gltf(vertices: Floats, faces: Ints) -> bytes:
    head, binary = _scene(vertices, faces)
    uri = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    return json.dumps(head | {"buffers": [{"byteLength": len(binary), "uri": uri}]}).encode()


def threemf(vertices: Floats, faces: Ints) -> bytes:
    places = "".join(f'<vertex x="{x:.6g}" y="{y:.6g}" z="{z:.6g}"/>' for x, y, z in vertices)
    corners = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in faces)
    core = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
    model = (
        f'<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter" xmlns="{core}"><resources>'
        f'<object id="1" type="model"><mesh><vertices>{places}</vertices>'
        f"<triangles>{corners}</triangles></mesh></object></resources>"
        '<build><item objectid="1"/><item objectid="1" transform="1 0 0 0 1 0 0 0 1 5 0 0"/></build></model>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("3D/3dmodel.model"), model)
    return packed.getvalue()


def pcd(vertices: Floats, faces: Ints, data: str = "binary") -> bytes:
    head = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    )
    head += f"WIDTH {len(vertices)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(vertices)}\nDATA {data}\n"
    if data == "ascii":
        return (head + "".join(f"{x:.6g} {y:.6g} {z:.6g}\n" for x, y, z in vertices)).encode()
    table = vertices.astype("<f4")
    if data == "binary":
        return head.encode() + table.tobytes()
    plain = table.T.tobytes()
    runs = [plain[i : i + 32] for i in range(0, len(plain), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)  # LZF that repeats nothing
    return head.encode() + struct.pack("<II", len(packed), len(plain)) + packed


def pcd_text(vertices: Floats, faces: Ints) -> bytes:
    return pcd(vertices, faces, "ascii")


def pcd_packed(vertices: Floats, faces: Ints) -> bytes:
    return pcd(vertices, faces, "binary_compressed")


def xyz(vertices: Floats, faces: Ints) -> bytes:
    return "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices).encode()


def las(vertices: Floats, faces: Ints) -> bytes:
    places = np.round(vertices / 1e-4).astype("<i4")
    low, high = places.min(axis=0) * 1e-4, places.max(axis=0) * 1e-4
    bounds = [value for pair in zip(high, low, strict=True) for value in pair]
    head = bytearray(227)
    head[:4], head[24:26] = b"LASF", bytes([1, 2])
    struct.pack_into("<HI", head, 94, 227, 227)
    struct.pack_into("<BHI", head, 104, 0, 20, len(places))
    struct.pack_into("<12d", head, 131, 1e-4, 1e-4, 1e-4, 0, 0, 0, *bounds)
    return bytes(head) + b"".join(place.tobytes() + bytes(8) for place in places)


WRITERS: dict[str, Callable[[Floats, Ints], bytes]] = {
    **{"binary.stl": stl, "text.stl": stl_text, "a.obj": obj, "binary.ply": ply, "text.ply": ply_text, "a.off": off},
    **{"a.glb": glb, "a.gltf": gltf, "a.3mf": threemf, "binary.pcd": pcd, "text.pcd": pcd_text},
    **{"packed.pcd": pcd_packed, "a.xyz": xyz, "a.las": las},
}


def write(folder: Path) -> list[Path]:
    """One file of each kind, each another shape, so that nothing is a duplicate."""
    written = []
    for number, (name, writer) in enumerate(WRITERS.items()):
        path = folder / name
        shape = box(1 + number / 3, 1, 2) if number % 2 else cone(1 + number / 2, number % 3 / 2)
        path.write_bytes(writer(*shape))
        written.append(path)
    return written
