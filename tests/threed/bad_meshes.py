"""Files that lie, bombs and damage, made in code: (name, bytes, a word of the reason it has to be refused with)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from speciate import Row
from speciate_3d.example import (
    WRITERS,
    box,
    cone,
    glb,
    las,
    obj,
    off,
    pcd,
    pcd_packed,
    ply,
    stl,
    stl_text,
    threemf,
    xyz,
)
from speciate_3d.options import ThreeDOptions
from speciate_3d.reader import ThreeDReader

FACES = cone(2, 0.5, 16)


def crafted() -> Iterator[tuple[str, bytes, str]]:
    yield from _stl()
    yield from _obj()
    yield from _ply()
    yield from _off()
    yield from _gltf()
    yield from _threemf()
    yield from _clouds()


def _stl() -> Iterator[tuple[str, bytes, str]]:
    good = stl(*FACES)
    yield "shorter.stl", good[:-50], "triangles"
    yield "longer.stl", good + b"\0" * 50, "triangles"
    yield "huge-count.stl", good[:80] + struct.pack("<I", 2**32 - 1) + good[84:], "triangles"
    yield "none.stl", good[:80] + struct.pack("<I", 0), "no triangles"
    yield "nan.stl", good[:96] + struct.pack("<f", np.nan) + good[100:], "NaN"
    yield "infinite.stl", good[:96] + struct.pack("<f", np.inf) + good[100:], "NaN"
    yield "far.stl", good[:96] + struct.pack("<f", 1e30) + good[100:], "coordinate"
    yield "one-place.stl", good[:84] + b"\0" * (len(good) - 84), "one place"
    text = stl_text(*FACES)
    yield "cut.stl", text[: len(text) // 2], "cut off"
    yield "two-corners.stl", text.replace(b"vertex", b"vertax", 1), "are due"
    yield "no-number.stl", text.replace(b"vertex ", b"vertex x", 1), "no number"
    line = stl(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]]), np.array([[0, 1, 2]]))
    yield "no-area.stl", line, "area"


def _obj() -> Iterator[tuple[str, bytes, str]]:
    good = obj(*FACES)
    yield "beyond.obj", good + b"f 1 2 999\n", "not there"
    yield "zero.obj", good + b"f 0 1 2\n", "not there"
    yield "far-back.obj", good + b"f -1 -2 -999\n", "not there"
    yield "huge-index.obj", good + b"f 1 2 99999999999999999999\n", ""
    yield "two-numbers.obj", b"v 1 2\n" + good, "fewer than three"
    yield "no-number.obj", b"v 1 2 x\n" + good, "no number"
    yield "nan.obj", good.replace(b"v ", b"v nan ", 1), "NaN"
    yield "cut-in-vertices.obj", good[: good.index(b"usemtl") - 9], "no faces"
    yield "cut-later.obj", good + b"o more\nv 1 1 1\nv 2 2 2\nv 1 2 3\n", "cut off"
    yield "compiled.obj", b"L\x01\x05\0" + bytes(200), "NUL"
    yield "meshlab-lies.obj", b"# Vertices: 9\n# Faces: 3\n" + good, "a comment says"
    yield "other.obj", b"hello world\n" * 20, "does not know"


def _ply() -> Iterator[tuple[str, bytes, str]]:
    good, text = ply(*FACES), ply(*FACES, "ascii")
    for name, data in (("binary", good), ("text", text)):
        count = f"element vertex {len(FACES[0])}".encode()
        yield f"{name}-more.ply", data.replace(count, b"element vertex 99999"), ""
        yield f"{name}-fewer.ply", data.replace(count, b"element vertex 7"), ""
        yield f"{name}-bomb.ply", data.replace(count, b"element vertex 4000000000"), "limit"
        yield f"{name}-negative.ply", data.replace(count, b"element vertex -5"), "does not know"
        yield f"{name}-shorter.ply", data[: len(data) - 20], ""
        yield f"{name}-strange.ply", data.replace(b"property float x", b"property string x"), "does not know"
        yield f"{name}-no-x.ply", data.replace(b"property float x", b"property float q"), "no vertices"
    yield "longer.ply", good + b"abc", "more than"
    yield "longer-text.ply", text + b"1 2 3\n", "more than"
    yield "index.ply", text.replace(b"\n3 0 1", b"\n3 0 1111"), "not there"
    yield "fraction.ply", text.replace(b"\n3 0 1 ", b"\n3 0 1.5 "), "not there"
    yield "endless.ply", b"ply\nformat ascii 1.0\n" + b"comment x\n" * 20000, "no end"
    yield "list-bomb.ply", good[:-13] + b"\xff" + good[-12:], ""


def _off() -> Iterator[tuple[str, bytes, str]]:
    good = off(*FACES)
    first = good.split(b"\n")[1]
    yield "more.off", good.replace(first, b"999 999 0"), "header"
    yield "bomb.off", good.replace(first, b"4000000000 4000000000 0"), "header"
    yield "cut.off", good[: len(good) * 2 // 3], "header"
    yield "corners.off", good.replace(b"\n3 ", b"\n9 ", 1), "corners"
    yield "index.off", good.replace(b"\n3 0 ", b"\n3 9999 ", 1), "vertex"
    yield "counts.off", good.replace(first, b"a b c"), "no number"
    yield "binary.off", b"OFF BINARY\n" + bytes(100), "binary"


def _gltf() -> Iterator[tuple[str, bytes, str]]:
    good = glb(*FACES)
    head, binary = opened(good)

    def changed(**parts: object) -> bytes:
        return _glb(head | parts, binary)

    accessors, views, nodes = head["accessors"], head["bufferViews"], head["nodes"]
    yield "bomb.glb", changed(accessors=[{"componentType": 5126, "count": 2 * 10**9, "type": "VEC3"}] * 2), "limit"
    yield "count.glb", changed(accessors=[accessors[0] | {"count": 9999}, accessors[1]]), "needs"
    yield "offset.glb", changed(bufferViews=[views[0] | {"byteOffset": 10**9}, views[1]]), "needs"
    yield "negative.glb", changed(bufferViews=[views[0] | {"byteOffset": -8}, views[1]]), "needs"
    yield "stride.glb", changed(bufferViews=[views[0] | {"byteStride": 10**9}, views[1]]), "needs"
    yield "buffer.glb", changed(buffers=[{"byteLength": 10**9}]), "buffer 0"
    yield "cycle.glb", changed(nodes=[nodes[0] | {"children": [0]}, nodes[1]]), "node 0"
    yield "two-parents.glb", changed(nodes=[{"children": [1, 1]}, nodes[1]]), "node 1"
    deep = [{"children": [i + 1]} for i in range(5000)] + [{"mesh": 0}]
    yield "deep.glb", changed(nodes=deep), "deep"
    large, whole = opened(glb(*cone(2, 0.5, 4000)))
    many = [{"children": list(range(1, 1001))}, *({"mesh": 0} for _ in range(1000))]
    yield "copies.glb", _glb(large | {"nodes": many}, whole), "limit"
    nothing = {"componentType": 5126, "count": 9_000_000, "type": "VEC3"}
    often = [{"primitives": [{"attributes": {"POSITION": 0}}] * 300}]
    yield "without-bytes.glb", changed(accessors=[nothing], meshes=often), "limit"
    corners = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}] * 300}]
    nowhere = nothing | {"componentType": 5121, "count": 9_000_000, "type": "SCALAR"}
    yield "corners-without-bytes.glb", changed(accessors=[accessors[0], nowhere], meshes=corners), "limit"
    yield "draco.glb", changed(extensionsRequired=["KHR_draco_mesh_compression"]), "draco"
    yield (
        "escape.gltf",
        json.dumps(head | {"buffers": [{"byteLength": 4, "uri": "../../secret.bin"}]}).encode(),
        "folder",
    )
    yield (
        "absolute.gltf",
        json.dumps(head | {"buffers": [{"byteLength": 4, "uri": "/etc/hostname"}]}).encode(),
        "folder",
    )
    yield (
        "fetch.gltf",
        json.dumps(head | {"buffers": [{"byteLength": 4, "uri": "http://a.example/x"}]}).encode(),
        "folder",
    )
    yield "length.glb", good[:8] + struct.pack("<I", len(good) + 4) + good[12:], "header"
    yield "shorter.glb", good[:-8], "header"
    yield "chunk.glb", good[:12] + struct.pack("<I", 2**31) + good[16:], "chunk"
    yield "nested.gltf", b"[" * 100_000, "JSON"
    yield "matrix.glb", changed(nodes=[nodes[0] | {"matrix": [0] * 3}, nodes[1]]), "matrix"
    yield "list.glb", changed(meshes={"0": {}}), ""
    yield "version.gltf", b'{"asset": {"version": "1.0"}}', "2.0"


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the buffer of a GLB."""
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def _glb(head: dict[str, object], binary: bytes) -> bytes:
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    start = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    return start + text + struct.pack("<II", len(binary), 0x004E4942) + binary


def zipped(**parts: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name.replace("__", "/") + ".model", data)
    return packed.getvalue()


def lying_zip() -> bytes:
    """A zip whose list says that 8 MB, packed well, are 4 GB."""
    data = zipped(a=bytes(1 << 23))
    at = data.index(b"PK\1\2") + 24
    return data[:at] + struct.pack("<I", 0xF0000000) + data[at + 4 :]


def _threemf() -> Iterator[tuple[str, bytes, str]]:
    good = threemf(*FACES)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        model = archive.read("3D/3dmodel.model")
    yield "bomb.3mf", lying_zip(), "limit"
    yield "cut.3mf", good[: len(good) // 2], "zip"
    yield "no-model.3mf", zipped(), ".model"
    yield "doctype.3mf", zipped(a=b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><model/>'), "document type"
    yield "index.3mf", zipped(a=model.replace(b'v1="0"', b'v1="9999"', 1)), "not there"
    yield "number.3mf", zipped(a=model.replace(b'x="1"', b'x="one"', 1)), "no number"
    yield "item.3mf", zipped(a=model.replace(b'objectid="1"', b'objectid="7"', 1)), "not there"
    inner = b'<object id="1"><components><component objectid="1"/></components></object>'
    start, end = model.index(b"<object"), model.index(b"</resources>")
    yield "itself.3mf", zipped(a=model[:start] + inner + model[end:]), "itself"
    levels = b"".join(
        b'<object id="%d"><components>%s</components></object>' % (i, b'<component objectid="%d"/>' % (i + 1) * 10)
        for i in range(1, 12)
    )
    last = model[start:end].replace(b'id="1"', b'id="12"', 1)
    yield "billion.3mf", zipped(a=model[:start] + levels + last + model[end:]), "limit"


def _clouds() -> Iterator[tuple[str, bytes, str]]:
    good, packed = pcd(*FACES), pcd_packed(*FACES)
    count = len(FACES[0])
    yield "points.pcd", good.replace(f"POINTS {count}".encode(), b"POINTS 99999"), "header"
    width = good.replace(f"POINTS {count}".encode(), b"POINTS 99999").replace(f"WIDTH {count}".encode(), b"WIDTH 99999")
    yield "width.pcd", width, "header"
    yield "cut.pcd", good[:-5], "header"
    yield "field.pcd", good.replace(b"SIZE 4 4 4", b"SIZE 4 4 3"), "field"
    yield "fields.pcd", good.replace(b"FIELDS x y z", b"FIELDS x y"), "same length"
    yield "unpacked.pcd", packed.replace(struct.pack("<I", count * 12), struct.pack("<I", 2**32 - 1), 1), "promises"
    at = packed.index(b"DATA binary_compressed\n") + len(b"DATA binary_compressed\n") + 8
    yield "before.pcd", packed[:at] + b"\xff\xff\xff" + packed[at + 3 :], "LZF"
    text = pcd(*FACES, "ascii")
    yield "cut-text.pcd", text[: len(text) * 3 // 4], "header"
    yield "two.xyz", b"1 2\n3 4\n", "numbers"
    yield "widths.xyz", b"1 2 3\n4 5 6\n7 8\n", "numbers"
    yield "chemistry.xyz", b"3\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0\n", "says 3"
    yield "cut.xyz", xyz(*FACES)[:-6], "cut off"
    yield "promise.xyz", b"9\n1 2 3\n4 5 6\n", "says 9"
    laser = las(*FACES)
    yield "cut.las", laser[:-10], "header"
    yield "bomb.las", laser[:107] + struct.pack("<I", 2**32 - 1) + laser[111:], "header"
    yield "scale.las", laser[:131] + struct.pack("<d", 7.5) + laser[139:], "bounds"
    yield "format.las", laser[:104] + b"\x3f" + laser[105:], "format"


# --- mutations ------------------------------------------------------------------------------------------------------

SEEDS = {name: writer(*(box(1, 2, 3) if i % 2 else FACES)) for i, (name, writer) in enumerate(WRITERS.items())}


def reader() -> ThreeDReader:
    return ThreeDReader(ThreeDOptions(points=64))


def counts(name: str, rows: list[Row]) -> tuple[object, ...]:
    """Points that are no numbers are left out and counted: together they are what the header says."""
    (row,) = rows
    return (int(row["vertices"]) + int(row["invalid"]), row["faces"], row["parts"])
