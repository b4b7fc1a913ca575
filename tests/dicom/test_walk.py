"""From files to an answer: series in a messy folder become volumes, are learnt from, and one is asked about."""

import json
import subprocess
import sys

import numpy as np
import pytest

import speciate
from speciate import UsageError
from speciate_dicom.example import body, picture, save
from speciate_dicom.geometry import key_of

LARGE = """
import json, resource, sys
import speciate
added = speciate.open(sys.argv[1], quiet=True).add("large", sys.argv[2], format="dicom")
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([added.added, len(added.quarantined), peak >> 10]))
"""


def scans(folder, count, depth=5, side=20):
    """Patients of two kinds, a series each, planes shuffled over names without a suffix; and what does not belong."""
    rows = ["folder,label"]
    for patient in range(count):
        name = f"p{patient}"
        values = body(depth, name, side)
        values[:, : side // 2] += 800 * (patient % 2)
        order = np.random.default_rng(patient).permutation(depth)
        for j, i in enumerate(order):
            save(folder / f"SENTINEL-{name}" / f"SENTINEL{j}", picture(values[i], name, int(i) + 1))
        rows.append(f"SENTINEL-{name},{'dense' if patient % 2 else 'loose'}")
    (folder / "SENTINEL-p0" / "notes.txt").write_text("not a picture")
    table = folder.parent / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def test_series_are_learnt_from(tmp_path):
    table = scans(tmp_path / "in", 20)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    options = {"shape": "8,20,20"}
    added = workspace.add("scans", tmp_path / "in", format="dicom", labels=table, options=options)
    assert (added.added, added.labels) == (20, {"dense": 10, "loose": 10})
    assert [one.path.rpartition("/")[2] for one in added.quarantined] == ["notes.txt"]
    rows = workspace.engine.dataset("scans").rows()
    assert len({row["group"] for row in rows}) == 20
    assert {row["planes"] for row in rows} == {5}
    again = workspace.add("scans", tmp_path / "in", format="dicom", labels=table, options=options)
    assert (again.added, again.version) == (0, added.version)
    ran = workspace.run("dicom/probe-histograms", dataset="scans")
    assert ran.scores["accuracy"]["value"] == 1.0
    question = save(tmp_path / "q.dcm", picture(body(5, "q", 20), "q"))
    answers = workspace.predict(ran.model, question, tmp_path / "in" / "SENTINEL-p3")
    assert [one["output"]["label"] for one in answers["predictions"]][-1] == "dense"
    assert (len(answers["predictions"]), answers["failed"]) == (2, [])
    workspace.score(ran.model, "scans:test")
    named = [path for path in (tmp_path / "ws").rglob("*") if path.is_file() and b"SENTINEL" in path.read_bytes()]
    assert named == [], "what a run writes names no file"


def test_each_plane_of_a_series_may_have_its_label(tmp_path):
    """All of them count as used; where they differ, nothing says what the series is."""
    scans(tmp_path / "in", 2)
    planes = [f"SENTINEL-p{patient}/SENTINEL{plane}" for patient in range(2) for plane in range(5)]
    table = tmp_path / "planes.csv"
    table.write_text("file,label\n" + "".join(f"{plane},{'' if plane[-1] == '0' else plane[10]}\n" for plane in planes))
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("scans", tmp_path / "in", format="dicom", labels=table)
    assert (added.labels, added.labels_unmatched) == ({"0": 1, "1": 1}, 0)
    table.write_text(table.read_text().replace(f"{planes[3]},0", f"{planes[3]},another"))
    with pytest.raises(UsageError, match=r"'another' of .* are one thing"):
        workspace.add("scans", tmp_path / "in", format="dicom", labels=table)


@pytest.mark.soak
def test_a_series_larger_than_memory_is_added_within_bounds(tmp_path):
    """10 GB that are mostly holes, in at most 1 GiB of each process."""
    flat = np.zeros((2, 2), np.uint16)
    folder = tmp_path / "in"
    for i in range(1280):
        path = save(folder / f"{i:05d}.dcm", picture(flat, "large", i + 1, Rows=2048, Columns=2048))
        data = path.read_bytes()
        at = data.rindex(b"\xe0\x7f\x10\x00OW") + 8
        with path.open("wb") as file:
            file.write(data[:at] + (2 * 2048 * 2048).to_bytes(4, "little"))
            file.truncate(at + 4 + 2 * 2048 * 2048)
    assert key_of(folder / "00000.dcm") == key_of(folder / "01279.dcm")
    command = [sys.executable, "-c", LARGE, str(tmp_path / "ws"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added, refused, peak = json.loads(done.stdout.splitlines()[-1])
    assert (added, refused) == (1, 0)
    assert peak < 1024
