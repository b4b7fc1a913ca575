"""Reading 3D files beside trimesh: CPU time a file, one thread, each in its fastest order of arguments.

    python benchmarks/format_3d.py            # 82k triangles of a sphere in each kind, and small ones
    python benchmarks/format_3d.py FOLDER     # and the OBJ files of a folder

`read` is all that ingest asks of a reader: parse, check, sample points, keep the bytes. trimesh parses only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trimesh

from speciate_3d.options import ThreeDOptions
from speciate_3d.reader import ThreeDReader, parse

KINDS = {"stl": {}, "stl_ascii": {}, "obj": {}, "ply": {}, "ply_ascii": {"encoding": "ascii"}, "off": {}, "glb": {}}
LEAST = 1.0  # CPU seconds for each figure


def cost(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time, the least of rounds."""
    work()
    best, spent = float("inf"), 0.0
    while spent < LEAST:
        start = time.process_time()
        work()
        took = time.process_time() - start
        best, spent = min(best, took), spent + took
    return best * 1000


def bare_load(path: Path) -> object:
    return trimesh.load(path, process=False, force="mesh", skip_materials=True)


def row(name: str, path: Path, kind: str) -> None:
    reader, data = ThreeDReader(ThreeDOptions()), path.read_bytes()
    ours = cost(lambda: parse(data, kind, 10**8))
    whole = cost(lambda: list(reader.read(path)))
    bare = cost(lambda: bare_load(path))
    usual = cost(lambda: trimesh.load(path, force="mesh"))
    print(f"{name:16} {ours:9.2f} {whole:9.2f} {bare:9.2f} {usual:9.2f} {bare / ours:8.2f} {bare / whole:8.2f}")


def main(folders: list[str]) -> None:
    print(f"{'ms':16} {'parse':>9} {'read':>9} {'trimesh':>9} {'default':>9} {'x parse':>8} {'x read':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for detail in (6, 2):
            mesh = trimesh.creation.icosphere(subdivisions=detail)
            for kind, options in KINDS.items():
                name, _, _ = kind.partition("_")
                path = Path(scratch) / f"{detail}-{kind}.{name}"
                exported = mesh.export(file_type="ply" if name == "ply" else kind, **options)
                path.write_bytes(exported.encode() if isinstance(exported, str) else exported)
                row(f"{kind} {len(mesh.faces):,}", path, name)
    for folder in folders:
        many(folder, sorted(Path(folder).rglob("*.obj"))[::8])


def many(folder: str, paths: list[Path]) -> None:
    reader = ThreeDReader(ThreeDOptions())
    whole = cost(lambda: [list(reader.read(path)) for path in paths])
    bare = cost(lambda: [bare_load(path) for path in paths])
    print(f"{len(paths)} OBJ of {folder}: read {whole:.0f} ms, trimesh {bare:.0f} ms, x {bare / whole:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
