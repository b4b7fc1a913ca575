"""<format>/distill goes from files to a compared model, in every format that has one."""

import csv
import json

import pytest

from speciate import Format
from speciate.catalog import installed, load

SMALL = ["method.epochs=1", "method.batch_size=4"]
FORMATS = {  # format: recipe, what makes the teacher, and what keeps it small
    "text": ("text/distill", "hash-ngrams", []),
    "image": ("image/distill", "shape-colour", ["base.size=16"]),
    "dicom-slices": ("dicom/distill", "shape-colour", ["base.size=16"]),
    "3d": ("3d/distill", "shape-descriptors", ["base.points=128", "base.width=32"]),
    "pdb": ("pdb/distill", "structure-kmers", ["base.width=16", "base.layers=1"]),
    "video": ("video/distill", "frame-histograms", ["base.width=16", "base.channels=4"]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_recipe(name, tmp_path, workspace):
    recipe, base, words = FORMATS[name]
    kind = installed().get(Format, name)
    (tmp_path / "in").mkdir()
    files = load(kind.example)(tmp_path / "in")
    workspace.add("plain", *files, format=name)
    table, rows = tmp_path / "labels.csv", workspace.engine.dataset("plain").rows(content=False)
    sources = sorted({row["source"] for row in rows})
    with table.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["path", "label", "group", "split"])
        for i, source in enumerate(sources):
            split = "test" if i % 4 == 3 or i < 1 else "train"
            out.writerow([source, "ab"[i % 2], source, split])
    workspace.add("things", *files, format=name, labels=table)
    teacher = workspace.run("", f"base={base}", "method=probe", dataset="things").model
    ran = workspace.run(recipe, *words, *SMALL, f"method.teacher=[{teacher}]", dataset="things")
    report = json.loads((workspace.root / "artifacts" / "runs" / ran.run / "report.json").read_text())
    assert ran.parity["holds"]
    assert [row["model"].split(" ", 1)[0] for row in report["table"]] == ["teacher", "student", "student"]
