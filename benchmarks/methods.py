"""Methods that train a base against the probe on the same base, on the demos' real files:

    python benchmarks/methods.py [dicom-slices text residues image 3d video pdb ...] [--seeds 3]

Each method is run with several seeds. What is compared is how often each test row is answered right (of a row with a
label for each residue, the share of them), over the seeds; the interval is a paired bootstrap over test rows.

`residues` is the secondary structure of SCOPe's domains, of superfamilies that were not seen, from their sequence.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import record

import speciate
from speciate.catalog import installed
from speciate.contracts import Format
from speciate.features import on_dataset
from speciate.progress import StageClock
from speciate_pdb.scope import secondary_structure

# what is run beside the probe, and what both are told: small pictures, so that it ends in minutes on two cores
PLANS = {
    "dicom-slices": ("full", ["base=efficientnet-lite0", "base.size=128"], ["method.epochs=6", "method.freeze=0.3"]),
    "3d": ("full", ["base=pointnet", "base.points=512"], ["method.epochs=25", "method.lr=1e-3", "method.start=zero"]),
    "video": ("full", ["base=conv-video"], ["method.epochs=15", "method.lr=1e-3", "method.start=zero"]),
    "pdb": ("full", ["base=gnn-structure"], ["method.epochs=15", "method.lr=1e-3", "method.start=zero"]),
    "image": ("lora", ["base=efficientnet-lite0", "base.size=128"], ["method.epochs=6"]),
    "text": ("lora", ["base=minilm", "base.max_tokens=64"], ["method.epochs=2", "method.batch_size=32"]),
    "residues": (
        "full",
        ["base=gnn-structure", "task=tag"],
        ["method.epochs=6", "method.batch_size=8", "method.lr=3e-3"],
    ),
}


def right(workspace, ran):
    """How much of each test row a run's model answers right."""
    predictions = on_dataset(workspace.model(ran.model), workspace.engine.dataset("demo"), "test", StageClock(True))
    if predictions.task.name == "tag":
        pairs = zip(predictions.answers, predictions.targets, strict=True)
        return np.array([(answer == truth)[truth >= 0].mean() for answer, truth in pairs])
    return (predictions.answers.argmax(axis=1) == predictions.targets).astype(float)


def add(workspace, name, folder):
    """The rows of a demo, or domains with labels for their residues."""
    if name == "residues":
        path = secondary_structure(folder / "data", lambda question: True, each=1)
        workspace.add("demo", path, format="pdb", target="dssp", group="superfamily")
        return
    catalog = installed()
    demo = catalog.use(catalog.get(Format, name), "demo")(folder / "data", lambda question: True)
    for files in demo.add:
        workspace.add("demo", *files["paths"], **{key: value for key, value in files.items() if key != "paths"})


def compare(name, seeds, folder):
    """One line of the table."""
    workspace = speciate.open(folder / "workspace", quiet=True)
    add(workspace, name, folder)
    method, base, words = PLANS[name]
    start = time.perf_counter()
    probe = right(workspace, workspace.run("", *base, "method=probe", dataset="demo"))
    between = time.perf_counter()
    trained = np.mean(
        [
            right(workspace, workspace.run("", *base, f"method={method}", *words, f"seed={seed}", dataset="demo"))
            for seed in range(seeds)
        ],
        axis=0,
    )
    seconds = between - start, (time.perf_counter() - between) / seeds
    gap, rng = trained - probe, np.random.default_rng(0)
    low, high = np.percentile([gap[rng.integers(0, len(gap), len(gap))].mean() for _ in range(2000)], [2.5, 97.5])
    return (
        f"| {name} | {base[0].removeprefix('base=')} | {probe.mean():.3f} | {method} {trained.mean():.3f} | "
        f"{gap.mean():+.3f} [{low:+.3f}, {high:+.3f}] | {len(gap)} | {seconds[0]:.0f} | {seconds[1]:.0f} |"
    )


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("formats", nargs="*", default=["dicom-slices", "text", "residues"])
    words.add_argument("--seeds", type=int, default=3)
    words.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    chosen = words.parse_args()
    for name in chosen.formats:
        lines = ["| demo | base | probe | trained | difference [95%] | test rows | probe s | trained s a seed |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
        with tempfile.TemporaryDirectory() as folder:
            lines.append(compare(name, chosen.seeds, Path(folder)))
        lines += ["", f"{chosen.seeds} seeds, on rows that were never learnt from; the probe has none."]
        record(f"Training the base, against the probe: {name}", lines, chosen.dry)


if __name__ == "__main__":
    main()
