"""Mask files become labels when they are added: PNG, NPY and NIfTI, named or not, with what is wrong said."""

import gzip
import json
import struct

import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate.masks import BACKGROUND, Mask

Image = pytest.importorskip("PIL.Image")
VALUES = np.zeros((20, 30), np.uint8)
VALUES[4:9, 5:20], VALUES[12:15, 3:6] = 1, 2


def pictures(folder, many=3):
    """Pictures that differ, of the size of VALUES."""
    rng = np.random.default_rng(0)
    for i in range(many):
        Image.fromarray(rng.integers(0, 255, (*VALUES.shape, 3), dtype=np.uint8)).save(folder / f"p{i}.png")


def nifti(path, values, order="<"):
    """The least that a NIfTI-1 file is."""
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, values.ndim, *values.shape[::-1], *[1] * (7 - values.ndim))
    struct.pack_into(f"{order}hh", head, 70, 512, 16)
    struct.pack_into(f"{order}f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    data = bytes(head) + values.astype(f"{order}u2").tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def label_of(workspace, source):
    (row,) = [row for row in workspace.engine.dataset("d").rows(content=False) if row["source"] == source]
    return row["label"]


def test_every_kind_of_mask_file(workspace, tmp_path):
    """In the folder of the pictures, and yet no pictures; with names from beside the label file."""
    pictures(tmp_path, 6)
    palette = Image.fromarray(VALUES)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "m0.png")
    Image.fromarray(VALUES).save(tmp_path / "m1.png")
    np.save(tmp_path / "m2.npy", VALUES.astype(np.int64))
    nifti(tmp_path / "m3.nii.gz", VALUES)
    nifti(tmp_path / "m4.nii", VALUES, ">")
    rows = [f"p{i}.png,{m}" for i, m in enumerate(("m0.png", "m1.png", "m2.npy", "m3.nii.gz", "m4.nii"))]
    text = Mask.of(VALUES, (BACKGROUND, "lung", "bone")).write()
    quoted = text.replace('"', '""')
    (tmp_path / "labels.csv").write_text("\n".join(["file,mask", *rows, f'p5.png,"{quoted}"']) + "\n")
    (tmp_path / "mask_names.json").write_text('["lung", "bone"]')
    added = workspace.add("d", tmp_path, labels=tmp_path / "labels.csv", format="image")
    assert added.labels == {"mask 20 x 30: bone, lung": 6}
    assert added.target == "mask"
    assert {label_of(workspace, f"p{i}.png") for i in range(6)} == {text}
    again = workspace.add("d", tmp_path, labels=tmp_path / "labels.csv", format="image")
    assert (again.added, again.updated, again.version) == (0, 0, added.version)
    changed_mask = VALUES.copy()
    changed_mask[0, 0] = 1
    Image.fromarray(changed_mask).save(tmp_path / "m1.png")
    changed = workspace.add("d", tmp_path, labels=tmp_path / "labels.csv", format="image")
    assert (changed.added, changed.updated) == (0, 1)
    assert workspace.diff("d", added.version)["relabelled"]["count"] == 1
    assert workspace.audit("d")["splits"]["train"]["labels"]
    assert "mask 20 x 30: bone, lung" in workspace.preview("d")


def test_names_and_binary_masks(workspace, tmp_path):
    pictures(tmp_path, 3)
    Image.fromarray((VALUES > 0).astype(np.uint8) * 255).save(tmp_path / "m0.png")
    Image.fromarray(VALUES > 0).save(tmp_path / "m1.png")
    np.save(tmp_path / "m2.npy", VALUES * 7)
    lines = [
        {"image": "p0.png", "seg": "m0.png", "mask_names": "tumour"},
        {"image": "p1.png", "seg": "m1.png"},
        {"image": "p2.png", "seg": "m2.npy", "mask_names": {"7": "a", "14": "b"}},
    ]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, lines)))
    workspace.add("d", tmp_path, labels=tmp_path / "l.jsonl", target="seg", format="image")
    found = [sorted(Mask.read(label_of(workspace, f"p{i}.png")).runs) for i in range(3)]
    assert found == [["tumour"], ["1"], ["a", "b"]]


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("m.png", lambda p: Image.fromarray(np.zeros((20, 20), np.uint8)).save(p), "20 x 20 (height x width)"),
        ("m.png", lambda p: Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(p), "its mode is RGB"),
        ("m.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\nno"), "cannot read the mask m.png"),
        ("m.npy", lambda p: np.save(p, np.full((20, 30), 0.5)), "whole numbers"),
        ("m.npy", lambda p: np.save(p, np.full((20, 30), 400)), "from 0 to 254"),
        ("m.npy", lambda p: np.save(p, np.full((20, 30), 3)), "has no name"),
        ("m.npy", lambda p: np.save(p, np.array([{}], object), allow_pickle=True), "cannot read the mask"),
        ("m.npy", lambda p: np.save(p, np.zeros(5)), "two dimensions or three"),
        ("m.nii.gz", lambda p: p.write_bytes(gzip.compress(b"x" * 400)), "no NIfTI-1"),
        ("m.nii", lambda p: nifti(p, np.zeros((20, 30))) or p.write_bytes(p.read_bytes()[:500]), "cannot read"),
    ],
)
def test_a_bad_mask_costs_its_picture_alone(workspace, tmp_path, name, make, why):
    pictures(tmp_path, 2)
    Image.fromarray(VALUES).save(tmp_path / "good.png")
    make(tmp_path / name)
    (tmp_path / "labels.csv").write_text(f'file,mask,mask_names\np0.png,good.png,"a,b"\np1.png,{name},"a,b"\n')
    added = workspace.add("d", tmp_path, labels=tmp_path / "labels.csv", format="image")
    refused = [one for one in added.quarantined if one.path.endswith("p1.png")]
    assert added.added == 1
    assert why in refused[0].reason


@pytest.mark.parametrize(
    ("rows", "names", "why"),
    [
        ("p0.png,gone.png\np1.png,also.npy", "", "2 masks that are not there, such as gone.png"),
        ("p0.png,cat", "", "names no mask"),
        ("p0.png,p1.png", "{no json", "cannot read the names of classes"),
    ],
)
def test_what_is_wrong_with_the_label_file_is_said_at_once(workspace, tmp_path, rows, names, why):
    pictures(tmp_path)
    (tmp_path / "labels.csv").write_text(f"file,mask\n{rows}\n")
    if names:
        (tmp_path / "mask_names.json").write_text(names)
    with pytest.raises(UsageError, match=why):
        workspace.add("d", tmp_path, labels=tmp_path / "labels.csv", format="image")


def test_a_damaged_mask_in_the_label_file(workspace, tmp_path):
    pictures(tmp_path, 1)
    (tmp_path / "l.jsonl").write_text(json.dumps({"file": "p0.png", "mask": {"size": [2, 2], "counts": {"a": [1]}}}))
    with pytest.raises(SpeciateError, match="a mask has 4 places"):
        workspace.add("d", tmp_path / "p0.png", labels=tmp_path / "l.jsonl")
