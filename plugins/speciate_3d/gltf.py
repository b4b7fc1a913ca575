"""glTF and GLB: a scene of meshes, in JSON and buffers. Every accessor is checked against its buffer before it is read.

Materials, textures, skins and animations are left alone; compressed geometry is refused by the name of its extension.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_3d.shape import Broken, Floats, Ints, Shape, joined, too_many

__all__ = ["buffers", "document", "pack", "parse"]

JSON, BIN = 0x4E4F534A, 0x004E4942
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", 5126: "f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
HARMLESS = ("KHR_materials", "KHR_texture", "KHR_lights", "EXT_texture", "KHR_mesh_quantization", "KHR_animation")
DEEPEST = 256
Json = dict[str, Any]


def parse(data: bytes, most: int) -> Shape:
    head, binary = document(data)
    return _Scene(head, buffers(head, binary, {}), most).shape()


def document(data: bytes) -> tuple[Json, bytes]:
    """The JSON and the binary chunk, if there is one."""
    if data[:4] != b"glTF":
        return _json(data), b""
    if len(data) < 20:
        raise Broken(f"it has {len(data)} bytes, a GLB has at least 20")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2 or length != len(data):
        raise Broken(f"its header says version {version} and {length:,} bytes; it has {len(data):,}")
    chunks, at = dict[int, bytes](), 12
    while at < len(data):
        size, kind = struct.unpack_from("<II", data, at) if at + 8 <= len(data) else (length, 0)
        if at + 8 + size > len(data):
            raise Broken(f"its chunk at byte {at} says {size:,} bytes, {max(0, len(data) - at - 8):,} are left")
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    if JSON not in chunks:
        raise Broken("it has no JSON chunk")
    return _json(chunks[JSON]), chunks.get(BIN, b"")


def _json(data: bytes) -> Json:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Broken(f"its JSON cannot be read: {why}") from None
    if not isinstance(found, dict) or not str(found.get("asset", {}).get("version", "")).startswith("2"):
        raise Broken("it is no glTF 2.0: asset.version is missing or another", "export it as glTF 2.0")
    wanted = [name for name in found.get("extensionsRequired", []) if not str(name).startswith(HARMLESS)]
    if wanted:
        raise Broken(f"it needs {', '.join(map(str, wanted))}, which is not read here", "export it without compression")
    return found


def buffers(head: Json, binary: bytes, beside: dict[str, bytes]) -> list[bytes]:
    """Every buffer with as many bytes as it says; `beside` are the files that a .gltf names."""
    found = []
    for number, buffer in enumerate(head.get("buffers", [])):
        uri, size = buffer.get("uri"), int(buffer["byteLength"])
        content = binary if uri is None else beside.get(uri) if uri in beside else _embedded(str(uri), number)
        if content is None or len(content) < size or (uri is None and len(content) > size + 3):
            raise Broken(f"buffer {number} says {size:,} bytes, it has {len(content or b''):,}")
        found.append(content[:size])
    return found


def _embedded(uri: str, number: int) -> bytes:
    head, comma, text = uri.partition(",")
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        raise Broken(f"buffer {number} is in another file, {uri[:60]!r}", "add it with its .bin beside it, or as .glb")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Broken(f"buffer {number} is no base64: {error}") from None


def pack(head: Json, contents: list[bytes]) -> bytes:
    """Geometry whose buffers lay in other files, as one GLB."""
    kept = {key: value for key, value in head.items() if key not in ("images", "textures", "samplers", "materials")}
    starts, binary = [], b""
    for content in contents:
        starts.append(len(binary))
        binary += content + bytes(-len(content) % 4)
    views = [dict(view) for view in head.get("bufferViews", [])]
    for view in views:
        view["byteOffset"] = int(view.get("byteOffset", 0)) + starts[int(view["buffer"])]
        view["buffer"] = 0
    kept |= {"bufferViews": views, "buffers": [{"byteLength": len(binary)}]}
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    start = struct.pack("<4sIIII", b"glTF", 2, length, len(text), JSON) + text
    return start + struct.pack("<II", len(binary), BIN) + binary


class _Scene:
    """What a glTF shows: its nodes, each with where it stands, and their meshes."""

    def __init__(self, head: Json, contents: list[bytes], most: int) -> None:
        self.head, self.contents, self.most = head, contents, most
        self.left = {"VEC3": most, "SCALAR": 3 * most}  # vertices and corners: many may ask for one without bytes

    def shape(self) -> Shape:
        placed = self._placed()
        meshes = {mesh: self._mesh(mesh) for mesh in dict.fromkeys(mesh for mesh, _ in placed)}
        self._count(placed, meshes)
        shapes: list[Shape] = []
        for mesh, place in placed:
            for vertices, faces in meshes[mesh]:
                moved = vertices @ place[:3, :3].T + place[:3, 3]
                shapes.append(Shape(moved, faces[:, ::-1] if np.linalg.det(place[:3, :3]) < 0 else faces))
        whole = joined(shapes)
        whole.unit, whole.up = 1.0, "y"
        whole.materials = len(self.head.get("materials", []))
        return whole

    def _mesh(self, number: int) -> list[tuple[Floats, Ints]]:
        return [self._primitive(primitive) for primitive in self._list("meshes")[number]["primitives"]]

    def _count(self, placed: list[tuple[int, Floats]], meshes: dict[int, list[tuple[Floats, Ints]]]) -> None:
        """One mesh may stand in a thousand places: counted before it is put there."""
        sizes = {mesh: sum(max(len(v), len(f)) for v, f in parts) for mesh, parts in meshes.items()}
        count = sum(sizes[mesh] for mesh, _ in placed)
        if count > self.most:
            raise too_many(count, self.most)

    def _list(self, name: str) -> list[Json]:
        found = self.head.get(name, [])
        if not isinstance(found, list):
            raise Broken(f"{name} is no list")
        return found

    def _placed(self) -> list[tuple[int, Floats]]:
        """(mesh, matrix) of every node of the scene, each node once."""
        nodes, scenes = self._list("nodes"), self._list("scenes")
        roots = scenes[int(self.head.get("scene", 0))].get("nodes", []) if scenes else range(len(nodes))
        found, seen = list[tuple[int, Floats]](), set[int]()
        waiting = [(int(root), np.eye(4), 0) for root in reversed(list(roots))]
        while waiting:
            number, above, depth = waiting.pop()
            if number in seen or depth > DEEPEST:
                raise Broken(f"node {number} hangs below two others, below itself, or {DEEPEST} deep")
            seen.add(number)
            node = nodes[number]
            place = above @ _matrix(node)
            if "mesh" in node:
                found.append((int(node["mesh"]), place))
            waiting += [(int(child), place, depth + 1) for child in reversed(node.get("children", []))]
        return found

    def _primitive(self, primitive: Json) -> tuple[Floats, Ints]:
        vertices = self._accessor(int(primitive["attributes"]["POSITION"]), "VEC3").astype(np.float64)
        mode = int(primitive.get("mode", 4))
        if mode not in (4, 5, 6):
            return vertices, np.zeros((0, 3), dtype=np.int64)
        if "indices" in primitive:
            order = self._accessor(int(primitive["indices"]), "SCALAR").ravel().astype(np.int64)
        else:
            order = np.arange(len(vertices))
        if len(order) and order.max() >= len(vertices):
            raise Broken(f"a triangle names vertex {order.max():,}, there are {len(vertices):,}")
        return vertices, _triangles(order, mode)

    def _accessor(self, number: int, kind: str) -> NDArray[Any]:
        """The numbers of an accessor; its promises are checked before anything is allocated."""
        accessor = self._list("accessors")[number]
        component, count = COMPONENTS.get(accessor["componentType"]), int(accessor["count"])
        if component is None or accessor["type"] != kind or count < 1:
            raise Broken(f"accessor {number} is {count} of {accessor['type']!r} {accessor['componentType']!r}")
        self.left[kind] -= count
        if count > self.most or self.left[kind] < 0:
            raise too_many(max(count, self.most - self.left[kind]), self.most)
        width = WIDTHS[kind]
        if "bufferView" in accessor:
            start = int(accessor.get("byteOffset", 0))
            values = self._view(int(accessor["bufferView"]), start, component, count, width, number).copy()
        else:
            values = np.zeros((count, width), dtype=component)
        if "sparse" in accessor:
            self._sparse(values, accessor["sparse"], component, number)
        return _unpacked(values) if accessor.get("normalized") else values

    def _sparse(self, values: NDArray[Any], sparse: Json, component: str, number: int) -> None:
        count, at, what = int(sparse["count"]), sparse["indices"], sparse["values"]
        if not 0 < count <= len(values):
            raise Broken(f"accessor {number} changes {count:,} of {len(values):,} values")
        kind = COMPONENTS[at["componentType"]]
        places = self._view(int(at["bufferView"]), int(at.get("byteOffset", 0)), kind, count, 1, number).ravel()
        if int(places.max()) >= len(values):
            raise Broken(f"accessor {number} changes value {int(places.max()):,} of {len(values):,}")
        start = int(what.get("byteOffset", 0))
        values[places] = self._view(int(what["bufferView"]), start, component, count, values.shape[1], number)

    def _view(self, view: int, start: int, component: str, count: int, width: int, number: int) -> NDArray[Any]:
        """[count, width] of a part of a buffer."""
        there = self._list("bufferViews")[view]
        kind = np.dtype("<" + component)
        content, room = self.contents[int(there["buffer"])], int(there["byteLength"])
        first, step = int(there.get("byteOffset", 0)), int(there.get("byteStride", 0)) or kind.itemsize * width
        need = start + step * (count - 1) + kind.itemsize * width
        if min(start, first, room) < 0 or step < kind.itemsize * width or first + room > len(content) or need > room:
            raise Broken(
                f"accessor {number} needs {need:,} bytes of a view of {room:,} at {first:,} of {len(content):,}"
            )
        return np.ndarray((count, width), kind, content, first + start, (step, kind.itemsize))


def _triangles(order: Ints, mode: int) -> Ints:
    """Of a list, a strip or a fan."""
    if mode == 4:
        if len(order) % 3:
            raise Broken(f"{len(order):,} corners are no whole triangles")
        return order.reshape(-1, 3)
    if len(order) < 3:
        raise Broken("a strip has fewer than three corners")
    if mode == 6:
        return np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
    faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    faces[1::2] = faces[1::2, ::-1]
    return faces


def _matrix(node: Json) -> Floats:
    if "matrix" in node:
        found = np.array(node["matrix"], dtype=np.float64)
        if found.shape != (16,) or not np.isfinite(found).all():
            raise Broken("a node's matrix is not 16 numbers")
        return found.reshape(4, 4).T
    x, y, z, w = map(float, node.get("rotation", (0, 0, 0, 1)))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    place = np.eye(4)
    place[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
    place[:3, 3] = node.get("translation", (0, 0, 0))
    if not np.isfinite(place).all():
        raise Broken("a node stands nowhere: its transform is NaN or infinite")
    return place


def _unpacked(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers that stand for -1 to 1 or 0 to 1."""
    if values.dtype.kind == "f":
        return values
    found: NDArray[Any] = np.maximum(values.astype(np.float64) / np.iinfo(values.dtype).max, -1.0)
    return found
