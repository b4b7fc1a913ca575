"""Tasks of places: masks and labels of residues, from their loss to a served answer."""

import json

import numpy as np
import pytest
import torch

import speciate
from speciate import Base, SpeciateError, UsageError
from speciate.catalog import installed, options_of
from speciate.masks import Mask, objects
from speciate_trainers.keep import Kept
from speciate_trainers.tasks.segment import Segment
from speciate_trainers.tasks.tag import Tag

LABELS = ("background", "disk", "bar")


def disk(seed=0, height=24, width=32, many=2):
    """A picture with a bright disk and a dark bar, and the mask of both."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.integers(6, height - 6), rng.integers(6, width - 6)
    mask = (((y - cy) ** 2 + (x - cx) ** 2) < 20).astype(np.uint8)
    mask[(abs(y - (cy + height // 2) % height) < 2) & (mask == 0)] = 2 if many > 1 else 0
    grey = np.array([110, 230, 20], np.uint8)[mask] + rng.integers(0, 20, mask.shape, dtype=np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2), mask


def text(mask):
    return Mask.of(mask, LABELS).write()


def encoder(name, **options):
    base = installed().get(Base, name)
    return installed().use(base, "loader")(options_of(base, options))


# --- segment, by itself -------------------------------------------------------------------------------------------


def test_classes_are_those_that_occur_or_are_asked_for():
    rows = [{"label": text(disk(i)[1])} for i in range(3)]
    assert Segment.pose(rows, "d", {}).labels == ("background", "bar", "disk")
    chosen = Segment.pose(rows, "d", {"classes": ["disk"]})
    assert chosen.labels == ("background", "disk")
    assert chosen.tensor(chosen.targets(rows)).max() == 1
    with pytest.raises(UsageError, match="no class named 'dsk'"):
        Segment.pose(rows, "d", {"classes": ["dsk"]})
    with pytest.raises(SpeciateError, match="a label is no mask"):
        Segment.pose([{"label": "cat"}], "d", {})
    with pytest.raises(SpeciateError, match="nothing to find"):
        Segment.pose([{"label": text(np.zeros((2, 2), np.uint8))}], "d", {})


def test_the_loss_is_cross_entropy_and_dice():
    task, rng = Segment(LABELS, {"dice": 0.3}), np.random.default_rng(0)
    mask = rng.integers(0, 3, (2, 5, 6)).astype(np.uint8)
    scores = torch.from_numpy(rng.normal(size=(2, 3, 5, 6)))
    found = task.loss(scores, task.tensor(objects(mask)))
    p = np.exp(scores.numpy())
    p /= p.sum(axis=1, keepdims=True)
    for i in range(2):
        truth = np.eye(3)[mask[i]].transpose(2, 0, 1)
        surprise = -np.log((p[i] * truth).sum(axis=0)).mean()
        dice = [(2 * (p[i, c] * truth[c]).sum() + 1) / (p[i, c].sum() + truth[c].sum() + 1) for c in (1, 2)]
        assert float(found[i]) == pytest.approx(0.7 * surprise + 0.3 * (1 - np.mean(dice)), abs=1e-5)
    right = torch.nn.functional.one_hot(torch.from_numpy(mask).long(), 3).movedim(-1, 1) * 50.0
    assert float(task.loss(right, task.tensor(objects(mask))).max()) < 0.01
    small = task.loss(scores[:, :, ::2, ::2], task.tensor(objects(mask)))
    assert small.shape == (2,), "masks come to the grid of the network"


def test_masks_of_several_sizes_and_answers_in_the_size_of_the_sample():
    task = Segment(LABELS)
    both = task.tensor(objects([np.ones((4, 6), np.uint8), np.zeros((8, 3), np.uint8)]))
    assert both.shape == (2, 8, 6)
    scores = torch.zeros(2, 3, 4, 4)
    scores[:, 1, :2], scores[:, 0, 2:] = 1, 1
    answers = task.answered(scores, [(8, 4), (5, 7)])
    assert [a.shape for a in answers] == [(8, 4), (5, 7)]
    assert answers[0].tolist() == [[1] * 4] * 4 + [[0] * 4] * 4
    out = task.outputs(answers)
    assert out[0]["classes"] == ["disk"]
    json.dumps(out)
    assert task.gap(answers, task.answers(out)) == 0
    assert task.gap(answers, objects([answers[0], 1 - answers[1]])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_picture_and_mask_move_alike(seed):
    """A picture that shows its own mask still does, however it is seen."""
    _, mask = disk(seed, 40, 50)
    picture = {"pixels": np.repeat(mask[:, :, None] * 120, 3, axis=2)}
    seen, row = Segment(LABELS, {"mirror": True}).seen(
        picture, {"label": text(mask), "id": "a"}, None, np.random.default_rng(seed)
    )
    moved = row["label"]
    assert moved.shape == mask.shape
    assert not np.array_equal(moved, mask), "it was moved"
    levels = [seen["pixels"][moved == value] for value in np.unique(moved)]
    assert all(np.ptp(level) == 0 for level in levels), "each class is of one brightness still"
    assert np.array_equal(picture["pixels"][:, :, 0], mask * 120), "what was given stays"


def test_volumes_move_alike_and_a_mask_of_other_size_too():
    mask = np.zeros((4, 20, 30), np.uint8)
    mask[:, 5:12, 8:20] = 1
    voxels = np.repeat(np.repeat(mask, 2, axis=1), 2, axis=2).astype(np.float32)
    sample = {"voxels": voxels, "spacing": np.ones(3, np.float32)}
    rng = np.random.default_rng(3)
    seen, row = Segment(LABELS).seen(sample, {"label": text(mask), "id": "a"}, None, rng)
    large = np.repeat(np.repeat(row["label"], 2, axis=1), 2, axis=2)
    bright = seen["voxels"] > seen["voxels"].mean()
    assert (bright == large).mean() > 0.97
    assert seen["voxels"].dtype == np.float32
    assert seen["spacing"] is sample["spacing"]


def test_a_mask_of_other_proportions_is_named():
    row = {"id": "r1", "source": "a.png", "label": text(np.ones((20, 20), np.uint8))}
    task = Segment(LABELS)
    task.check(task.targets([row]), [(40, 41)], [row])
    with pytest.raises(SpeciateError, match=r"row r1 \(a.png\) is 20 x 20, its sample 40 x 60"):
        task.check(task.targets([row]), [(40, 60)], [row])


# --- tag, by itself -----------------------------------------------------------------------------------------------


def test_labels_of_residues():
    rows = [{"label": "HH-E"}, {"label": '["H", null, "E"]'}, {"label": "?"}]
    task = Tag.pose(rows, "d", {})
    assert task.labels == ("E", "H")
    targets = task.targets(rows)
    assert [target.tolist() for target in targets] == [[1, 1, -1, 0], [1, -1, 0], [-1]]
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2, 4)))
    loss = task.loss(scores, task.tensor(targets))
    p = scores.softmax(1)
    wanted = -(p[1, 1, 0].log() + p[1, 0, 2].log()) / 2
    assert float(loss[1]) == pytest.approx(float(wanted), abs=1e-6)
    assert float(loss[2]) == 0, "nothing is known there"
    answers = task.answered(scores, [(4,), (3,), (1,)])
    assert [len(answer) for answer in answers] == [4, 3, 1]
    out = task.outputs(answers)
    assert set(out[0]["tags"]) <= {"E", "H"}
    assert task.gap(answers, task.answers(out)) == 0
    words = Tag(("coil", "helix"))
    assert words.outputs(answers)[2]["tags"] in (["coil"], ["helix"])
    with pytest.raises(SpeciateError, match="never seen in training: 'X'"):
        task.targets([{"label": "HX"}])
    with pytest.raises(SpeciateError, match=r"3 letters for 4 residues, in a.pdb row 0"):
        task.check(targets[1:2], [(4,)], [{"source": "a.pdb", "row": 0}])


# --- bases --------------------------------------------------------------------------------------------------------


def samples(kind):
    rng = np.random.default_rng(0)
    if kind == "image":
        return [{"pixels": rng.integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)} for i in range(3)]
    if kind == "volume":
        spacing = np.ones(3, np.float32)
        return [{"voxels": rng.normal(size=(6, 20, 20 + i)).astype(np.float32), "spacing": spacing} for i in range(3)]
    return [{"frames": rng.integers(0, 255, (5 + i, 24, 32, 3), dtype=np.uint8)} for i in range(3)]


@pytest.mark.parametrize(
    ("name", "kind", "options", "grid"),
    [
        ("unet-image", "image", {"size": 32}, (32, 32)),
        ("efficientnet-lite0", "image", {"size": 64}, (32, 32)),
        ("unet-volume", "volume", {"size": 16}, (16, 16, 16)),
        ("slice-mean", "volume", {"slices": 3, "base": "unet-image", "settings": "size=32"}, (3, 32, 32)),
        ("frame-mean", "frames", {"image": "unet-image"}, (8, 128, 128)),
    ],
)
def test_places_are_a_samples_own(name, kind, options, grid):
    base, some = encoder(name, **options), samples(kind)
    network = base.places().eval()
    assert base.places() is network
    with torch.inference_mode():
        together = network(**base.batch(some))
        alone = torch.cat([network(**base.batch([one])) for one in some])
    assert together.shape == (3, base.place_width, *grid)
    assert float((together - alone).abs().max()) < 1e-3
    assert float(together.std()) > 0
    sizes = {"image": (21, 30), "volume": (6, 20, 21), "frames": (6, 24, 32)}
    assert base.sizes(some)[1] == sizes[kind]


def test_a_base_without_places_and_a_fit_that_bends():
    with pytest.raises(UsageError, match="gives no places"):
        encoder("slice-mean", base="conv-image").places()
    with pytest.raises(UsageError, match="fit=crop does not go with masks"):
        encoder("unet-image", fit="crop").places()


# --- from files to an answer --------------------------------------------------------------------------------------


@pytest.fixture
def shapes(tmp_path):
    """A dataset of pictures with masks, and its workspace."""
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "masks").mkdir()
    rows = ["file,mask,split"]
    for i in range(40):
        pixels, mask = disk(i)
        image.fromarray(pixels).save(tmp_path / f"{i}.png")
        image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
        rows.append(f"{i}.png,masks/{i}.png,{('train', 'train', 'train', 'dev', 'test')[i % 5]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "mask_names.json").write_text('["disk", "bar"]')
    workspace = speciate.open(tmp_path / "workspace", quiet=True)
    workspace.add("shapes", tmp_path, labels=tmp_path / "labels.csv", format="image")
    return workspace


def test_masks_are_learnt_and_served(shapes, tmp_path):
    method = {"epochs": 12, "batch_size": 8, "lr": 3e-3}
    ran = shapes.run("", "base=unet-image", "method=full", "task=segment", dataset="shapes",
                     base={"size": 32}, method=method)  # fmt: skip
    assert ran.scores["dice"]["value"] > 0.8, ran.scores
    assert ran.baseline["dice"]["value"] == 0
    assert ran.parity["holds"]
    (said,) = shapes.predict(ran.model, tmp_path / "4.png")["predictions"]
    mask = Mask.read(said["output"]["mask"])
    assert mask.size == (24, 32)
    assert (mask.values(LABELS) == disk(4)[1]).mean() > 0.9
    assert shapes.score(ran.model, "shapes:test")["scores"]["dice"]["value"] == ran.scores["dice"]["value"]


def test_a_student_learns_the_masks_that_its_teacher_draws(shapes):
    """What the teacher writes is kept: a second student asks for nothing."""
    method = {"epochs": 8, "batch_size": 8, "lr": 3e-3}
    words = ["base=unet-image", "base.size=32", "task=segment"]
    teacher = shapes.run("", *words, "method=full", dataset="shapes", method=method).model
    told = {**method, "teacher": [teacher], "write": "all", "plain": False}
    ran = shapes.run("", *words, "method=distill", dataset="shapes", method=told)
    assert ran.scores["dice"]["value"] > 0.5, ran.scores
    assert ran.parity["holds"]
    with Kept(shapes.root / "cache") as kept:
        count = kept._base.execute("SELECT count(*) FROM answers").fetchone()[0]
    assert count == 24, "an answer for each row to learn from"
    with pytest.raises(UsageError, match="learns what its teacher writes"):
        shapes.run("", *words, "method=distill", dataset="shapes", method={**told, "write": "none"})


def test_lora_adds_to_what_is_learnt_and_learns_the_decoder_whole(shapes):
    from safetensors.numpy import load_file

    method = {"epochs": 6, "batch_size": 8, "lr": 3e-3, "keep": "adapter", "rank": 4}
    ran = shapes.run("", "base=efficientnet-lite0", "method=lora", "task=segment", dataset="shapes",
                     base={"size": 64}, method=method)  # fmt: skip
    assert ran.parity["holds"]
    assert ran.scores["dice"]["value"] > 0.5, ran.scores
    kept = load_file(shapes.root / "artifacts" / "models" / ran.model / "weights.safetensors")
    assert any(name.startswith("network.decoder.") and "|" not in name for name in kept)
    assert any(name.startswith("network.parts.") and name.endswith("|a") for name in kept)
    assert not any("|" in name for name in kept if "decoder" in name)
    assert not any(name.startswith("network.parts.") and "|" not in name for name in kept)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("base=conv-image", "method=full", "task=segment"), "learnt from places, which base 'conv-image' gives none"),
        (("base=unet-image", "method=probe", "task=segment"), "method 'probe' does not do segment"),
        (("base=unet-image", "method=full", "task=segment", "method.balance=loss"), "does not go with segment"),
        (("base=unet-image", "method=full", "task=tag"), "tag wants"),
    ],
)
def test_what_does_not_fit_is_said(shapes, words, why):
    with pytest.raises(SpeciateError, match=why):
        shapes.run("", *words, dataset="shapes")


def test_a_real_slice_is_segmented_where_it_was_not_seen(tmp_path):
    """pydicom's CT of a chest, cut into tiles: its left side is learnt from, its right side is the test. The truth is
    a plain algorithm's: lung is what is darker than -300 Hounsfield units, bone the largest part above 180."""
    ndimage = pytest.importorskip("scipy.ndimage")
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    from speciate_dicom.example import picture, save

    values = dcmread(get_testdata_file("CT_small.dcm")).pixel_array.astype(np.uint16)
    units = values.astype(float) - 1024
    parts = ndimage.label(units > 180)[0]
    mask = (units < -300).astype(np.uint8)
    mask[parts == np.bincount(parts[parts > 0]).argmax()] = 2
    rows = ["file,mask,group,split"]
    (tmp_path / "masks").mkdir()
    for split, left in (("train", 0), ("train", 8), ("train", 16), ("dev", 48), ("test", 80)):
        for top in range(0, 81, 8):
            name = f"{split}-{left}-{top}"
            save(tmp_path / f"{name}.dcm", picture(values[top : top + 48, left : left + 48], name))
            np.save(tmp_path / "masks" / f"{name}.npy", mask[top : top + 48, left : left + 48])
            rows.append(f"{name}.dcm,masks/{name}.npy,{name},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "mask_names.json").write_text('{"1": "lung", "2": "bone"}')
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    options = {"window": "-100,1200"}
    workspace.add("ct", tmp_path, labels=tmp_path / "labels.csv", format="dicom-slices", options=options)
    base, method = {"size": 64}, {"epochs": 5, "lr": 2e-3}
    ran = workspace.run("dicom/segment", dataset="ct", base=base, method=method)
    assert ran.scores["dice"]["value"] > max(0.5, ran.baseline["dice"]["value"]), ran.scores
    assert ran.parity["holds"]
    assert "data:image/png" in workspace.preview("ct", n=2)


def test_volumes_are_segmented(tmp_path):
    """Series of a ball in air, with a mask for each in the size that the volume had before it was stretched."""
    from speciate_dicom.example import body, picture, save

    rows = ["folder,mask,split"]
    for i in range(16):
        values = body(6, f"v{i}", 20)
        for plane in range(6):
            save(tmp_path / f"v{i}" / f"{plane}.dcm", picture(values[plane], f"v{i}", plane + 1))
        np.save(tmp_path / f"m{i}.npy", (values > 500).astype(np.uint8))
        rows.append(f"v{i},m{i}.npy,{('train', 'train', 'dev', 'test')[i % 4]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    options = {"shape": "8,16,16"}
    added = workspace.add("v", tmp_path, labels=tmp_path / "labels.csv", format="dicom", options=options)
    assert added.labels == {"mask 6 x 20 x 20: 1": 16}
    ran = workspace.run("dicom/segment", "base=unet-volume", dataset="v", base={"size": 16, "channels": 4},
                        method={"epochs": 8, "lr": 1e-2, "batch_size": 4})  # fmt: skip
    assert ran.scores["dice"]["value"] > 0.85, ran.scores
    assert ran.parity["holds"]
    (said,) = workspace.predict(ran.model, tmp_path / "v3")["predictions"]
    assert said["output"]["mask"]["size"] == [8, 16, 16]


def chains_of_residues(folder):
    """Helices and strands that are built so, one after the other in a chain; a part of each is not known."""
    from speciate_pdb.example import backbone, pdb_text

    rng, rows = np.random.default_rng(0), ["file,label"]
    for i in range(40):
        kinds = [("helix", "H"), ("strand", "E")] if i % 2 else [("strand", "E"), ("helix", "H")]
        chains, label = [], ""
        for kind, letter in kinds:
            many = int(rng.integers(8, 14))
            chains.append(("".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), many)), backbone(kind, many)))
            label += letter * (many - 2) + "--"
        chains[1][1][...] += 40
        (folder / f"s{i}.pdb").write_text(pdb_text(chains))
        rows.append(f"s{i}.pdb,{label}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return rows


def test_residues_are_labelled(tmp_path):
    rows = chains_of_residues(tmp_path)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("ss", tmp_path, labels=tmp_path / "labels.csv", format="pdb")
    ran = workspace.run("pdb/tag", "base=gnn-structure", dataset="ss", base={"width": 32, "layers": 1},
                        method={"epochs": 6, "lr": 1e-2})  # fmt: skip
    assert ran.scores["tag_accuracy"]["value"] > 0.9, ran.scores
    assert ran.scores["tag_accuracy"]["value"] > ran.baseline["tag_accuracy"]["value"]
    assert ran.parity["holds"]
    (said,) = workspace.predict(ran.model, tmp_path / "s1.pdb")["predictions"]
    wanted = rows[2].split(",")[1]
    assert len(said["output"]["tags"]) == len(wanted)


def test_the_probe_labels_residues(tmp_path, monkeypatch):
    """On what the base knows of each; and full starts from there."""
    rows = chains_of_residues(tmp_path)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("ss", tmp_path, labels=tmp_path / "labels.csv", format="pdb")
    on = {"dataset": "ss", "base": {"width": 32, "layers": 1}}
    probe = workspace.run("", "base=gnn-structure", "task=tag", "method=probe", "method.refit=false", **on)
    score = probe.scores["tag_accuracy"]["value"]
    assert score > probe.baseline["tag_accuracy"]["value"] + 0.1
    assert probe.parity["holds"]
    (said,) = workspace.predict(probe.model, tmp_path / "s1.pdb")["predictions"]
    assert len(said["output"]["tags"]) == len(rows[2].split(",")[1])
    still = {"epochs": 1, "lr": 1e-9}
    full = workspace.run("", "base=gnn-structure", "task=tag", "method=full", method=still, **on)
    assert full.scores["tag_accuracy"]["value"] == score
    monkeypatch.setattr("speciate_trainers.placed.MOST", 32 * 60)
    few = workspace.run("", "base=gnn-structure", "task=tag", "method=probe", **on)
    assert few.scores["tag_accuracy"]["value"] > few.baseline["tag_accuracy"]["value"]


def test_the_probe_names_a_row_with_a_label_too_short(tmp_path):
    rows = chains_of_residues(tmp_path)
    rows = [f"{rows[0]},split", *(f"{row}," for row in rows[1:])]
    rows[3] = f"{rows[3][:-2]},train"
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("ss", tmp_path, labels=tmp_path / "labels.csv", format="pdb")
    with pytest.raises(SpeciateError, match=r"letters for .* residues, in .*s2\.pdb"):
        workspace.run("", "base=gnn-structure", "task=tag", "method=probe", dataset="ss", base={"width": 32})


def test_the_probe_needs_a_label_that_is_known(tmp_path):
    """Only the dev row has some."""
    rows = "".join(f">p{i} label={'HE' * 4 if not i else '-' * 8} split={'train' if i else 'dev'}\n{'ACDEFGHI'[i:]}"
                   f"{'KLMNPQRS'[:i]}\n" for i in range(8))  # fmt: skip
    (tmp_path / "some.fasta").write_text(rows)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("ss", tmp_path / "some.fasta", format="pdb")
    with pytest.raises(SpeciateError, match="no place has a label"):
        workspace.run("", "base=gnn-structure", "task=tag", "method=probe", dataset="ss", base={"width": 8})
