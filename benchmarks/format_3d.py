"""3D files beside trimesh: `python benchmarks/format_3d.py [--files N] [--dry]`.

Spheres of 20k triangles, each a little rough in a way of its own, in each kind of file. Bare: trimesh.load, asked for
as little as it can do. Ours: parse, check against the header, sample points, keep the bytes.
"""

import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import trimesh
from bench import BESIDE, bar, beside, cpu, options, record

from speciate_3d.options import ThreeDOptions
from speciate_3d.reader import ThreeDReader, parse

KINDS = {"stl": {}, "stl_ascii": {}, "obj": {}, "ply": {}, "ply_ascii": {"encoding": "ascii"}, "off": {}, "glb": {}}

QUICK, TIMES = ("stl", "ply", "glb"), 8  # so many times as many files, or the time is that of starting up


def draw(folder, kind, count):
    name, rng, paths = kind.partition("_")[0], np.random.default_rng(0), []
    folder.mkdir()
    for i in range(count):
        mesh = trimesh.creation.icosphere(subdivisions=5)
        mesh.vertices *= rng.uniform(0.8, 1.2, 3) + 0.02 * rng.standard_normal((len(mesh.vertices), 1))
        exported = mesh.export(file_type="ply" if name == "ply" else kind, **KINDS[kind])
        paths.append(folder / f"{i}.{name}")
        paths[-1].write_bytes(exported.encode() if isinstance(exported, str) else exported)
    return paths


def bare(paths):
    for path in paths:
        trimesh.load(path, process=False, force="mesh", skip_materials=True)


def usual(paths):
    for path in paths:
        trimesh.load(path, force="mesh")


def main():
    asked = options(__doc__, 20).parse_args()
    lines, adds, parses = list(BESIDE), {}, {}
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            paths = draw(Path(name) / kind, kind, asked.files * (TIMES if kind in QUICK else 1))
            line, _, adds[kind] = beside(kind, paths, bare, ThreeDReader(ThreeDOptions()), Path(name), "--format", "3d")
            lines.append(line)
            suffix = kind.partition("_")[0]
            ours = cpu(lambda paths=paths, suffix=suffix: [parse(p.read_bytes(), suffix, 10**8) for p in paths])
            parses[kind] = cpu(usual, paths) / ours
    lines += ["", bar("`add` beside bare trimesh", adds, 0.8)]
    lines += [bar("our parsers alone beside trimesh.load as it comes", parses, 1.0)]
    what = f"{asked.files} files of each kind, {asked.files * TIMES} of the quick ones; files a CPU second."
    record("Format: 3d", [what, "", *lines], asked.dry)


if __name__ == "__main__":
    main()
