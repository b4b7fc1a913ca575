"""Tasks on what people write: labels that say several things, numbers with spreads, vectors; and what they refuse."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import norm

from speciate import SpeciateError, UsageError
from speciate.catalog import installed
from speciate.testing.walk import LABELS, pictures
from speciate.workspace import Workspace
from speciate_trainers.tasks.cells import parts
from speciate_trainers.tasks.embed import Embed
from speciate_trainers.tasks.multilabel import Multilabel
from speciate_trainers.tasks.regress import Regress


def rows(*labels):
    return [{"label": label} for label in labels]


def posed(kind, *labels, **options):
    return kind.pose(rows(*labels), "these rows", options)


@pytest.mark.parametrize(
    ("cell", "separator", "wanted"),
    [
        ("a|b", "|", ["a", "b"]),
        (" a | b ", "|", ["a", "b"]),
        ("a", "|", ["a"]),
        ('["a|b", "c"]', "|", ["a|b", "c"]),
        ("[]", "|", []),
        ("|", "|", []),
        ("a|b", ";", ["a|b"]),
        ("[a]|b", "|", ["[a]", "b"]),
        ("[1, 2.5]", "|", ["1", "2.5"]),
    ],
)
def test_cells(cell, separator, wanted):
    assert parts(cell, separator) == wanted


def test_several_labels():
    task = posed(Multilabel, "b|a", "c", "[]")
    assert task.labels == ("a", "b", "c")
    assert task.targets(rows("b|a", "[]")).tolist() == [[1, 1, 0], [0, 0, 0]]
    assert task.outputs(np.array([[0.9, 0.5, 0.1]])) == [
        {"labels": ["a", "b"], "scores": {"a": 0.9, "b": 0.5, "c": 0.1}}
    ]
    strict = posed(Multilabel, "b|a", "c", threshold=0.8)
    assert strict.outputs(np.array([[0.9, 0.5, 0.1]]))[0]["labels"] == ["a"]


@pytest.mark.parametrize(
    ("kind", "labels", "options", "says"),
    [
        (Multilabel, ["[]", "[]"], {}, "no label to learn"),
        (Multilabel, [f"{i};{i + 1}" for i in range(120)], {}, "repeat"),
        (Multilabel, ["a", "b"], {"threshold": 1.0}, "threshold"),
        (Regress, ["1", "warm"], {}, "number"),
        (Regress, ["1|2", "3"], {}, "2 of them"),
        (Regress, ["1|2", "3|4"], {"names": ["a"]}, "task.names"),
        (Embed, ["a", "b", "c"], {}, "compares"),
        (Embed, ["a", "a"], {}, "compares"),
        (Embed, ["a", "a", "b"], {"loss": "cosine"}, "task.loss"),
        (Embed, ["a", "a", "b"], {"temperature": 0.0}, "task.temperature"),
    ],
)
def test_what_cannot_be_is_told(kind, labels, options, says):
    with pytest.raises(SpeciateError, match=says) as caught:
        posed(kind, *labels, **options)
    assert all((caught.value.asked, caught.value.exists, caught.value.do))


def test_a_label_never_seen_in_training():
    with pytest.raises(SpeciateError, match="never seen in training: d"):
        posed(Multilabel, "a|b", "c").targets(rows("a|d"))


def test_one_number_is_as_it_was():
    task = posed(Regress, "1", "2.5")
    assert (task.labels, task.shape()) == ((), ())
    assert task.targets(rows("1", "2.5")).tolist() == [1.0, 2.5]
    assert task.outputs(np.array([1.5])) == [{"value": 1.5}]


def test_several_numbers_have_names():
    task = posed(Regress, "1|10", "[2, 20]", names=["mass", "size"])
    assert task.targets(rows("1|10", "[2, 20]")).tolist() == [[1, 10], [2, 20]]
    assert task.outputs(np.array([[1.0, 2.0]])) == [{"values": {"mass": 1.0, "size": 2.0}}]
    assert posed(Regress, "1|10", "2|20").labels == ("value1", "value2")


def test_the_interval_holds_ninety_percent():
    task = posed(Regress, "1", "2", uncertainty=True)
    (output,) = task.outputs(np.array([[10.0, 2.0]]))
    inside = norm.cdf([output["low"], output["high"]], 10, 2)
    np.testing.assert_allclose(inside, [0.05, 0.95])
    assert (output["value"], output["std"]) == (10.0, 2.0)


def test_the_spread_of_each_row_is_learnt():
    """Rows of one kind scatter ten times as much as those of the other, and the head says so."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 2000)
    targets = 100 + 50 * kind + rng.normal(size=2000) * np.where(kind, 10.0, 1.0)
    task = Regress((), {"uncertainty": True})
    torch.manual_seed(0)
    head, x, y = task.head(2, targets), torch.eye(2)[kind], task.tensor(targets)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        task.loss(head(x), y).mean().backward()
        optimiser.step()
    found = task.decide(head(torch.eye(2))).detach().numpy()
    np.testing.assert_allclose(found[:, 0], [100, 150], atol=1)
    np.testing.assert_allclose(found[:, 1], [1, 10], rtol=0.1)


def test_the_head_starts_where_the_probe_ended():
    task = Regress(("a", "b"), {"uncertainty": True})
    head = task.head(3, np.array([[0.0, 0.0], [2.0, 20.0]]))  # spreads of 1 and 10
    weight, bias, spread = torch.ones(2, 3), torch.tensor([0.0, 1.0]), torch.tensor([0.3, 5.0])
    head.start(weight, bias, spread)
    found = task.decide(head(torch.ones(1, 3))).detach().numpy()[0]
    np.testing.assert_allclose(found, [[1 + 3, 0.3], [10 + 4 * 10, 5.0]], rtol=1e-5)


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_rows_of_one_label_come_together(loss):
    task = Embed((), {"loss": loss, "width": 3})
    apart = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    targets = task.tensor(task.targets(rows("a", "a", "b", "b", "c", "c")))
    mixed = task.tensor(task.targets(rows("a", "b", "b", "c", "c", "a")))
    right, wrong = task.loss(apart, targets), task.loss(apart, mixed)
    assert right.max() < 1e-3 < wrong.min()


def test_the_contrastive_loss_by_hand():
    task = Embed((), {"temperature": 0.5, "width": 2})
    scores = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [-1.0, 1.0]])
    unit = (scores / scores.norm(dim=1, keepdim=True)).numpy()
    near, labels, wanted = np.exp(unit @ unit.T / 0.5), [0, 0, 0, 1], []
    for i in range(3):
        others = [j for j in range(4) if j != i]
        total = sum(near[i, j] for j in others)
        wanted.append(np.mean([-np.log(near[i, j] / total) for j in others if labels[j] == labels[i]]))
    found = task.loss(scores, torch.tensor(labels)).numpy()
    np.testing.assert_allclose(found, [*(4 / 3 * np.array(wanted)), 0], rtol=1e-5)  # the last has nobody


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_a_batch_in_which_nothing_can_be_compared_teaches_nothing(loss):
    task, scores = Embed((), {"loss": loss}), torch.randn(3, 4, requires_grad=True)
    for labels in ("abc", "a"):
        losses = task.loss(scores[: len(labels)], task.tensor(task.targets(rows(*labels))))
        losses.mean().backward()
        assert losses.tolist() == [0.0] * len(labels)
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad.any()


def test_labels_are_told_apart_in_every_process():
    first, second = (Embed((), {}).targets(rows("ann", "bob", "ann")) for _ in range(2))
    assert np.array_equal(first, second)
    assert first[0] == first[2] != first[1]
    assert first.max() < 2**53, "a float64 holds it whole"


@pytest.fixture
def colours(tmp_path):
    """A workspace of small pictures, labelled as asked."""

    def made(labels, count=48):
        files = pictures(tmp_path, labels, count)
        workspace = Workspace(tmp_path / "workspace", catalog=installed(), quiet=True)
        workspace.add("easy", *files[:-1], labels=str(tmp_path / LABELS))
        return workspace

    return made


SMALL = {"dataset": "easy", "base": {"size": 16}}


def words(method, task):
    return ("base=conv-image", f"method={method}", f"task={task}")


def test_a_model_of_several_values_and_their_spreads(colours, tmp_path):
    workspace = colours(["1|10", "2|-5", "[3, 7.5]"])
    options = {"names": ["mass", "size"], "uncertainty": True}
    ran = workspace.run("", *words("full", "regress"), task=options, method={"epochs": 2}, **SMALL)
    assert ran.parity["holds"]
    assert set(ran.scores) == {"mae", "rmse", "r2", "nll", "coverage"}
    for name in ("mae", "nll"):
        assert ran.scores[name]["value"] < ran.baseline[name]["value"]
    (predicted,) = workspace.predict(ran.model, tmp_path / "000.bmp")["predictions"]
    output = predicted["output"]
    assert output.keys() == {"values", "std", "low", "high"}
    assert all(output["low"][n] < output["values"][n] < output["high"][n] for n in ("mass", "size"))
    card = (workspace.root / "artifacts" / "models" / ran.model / "README.md").read_text()
    assert "Numbers: `mass`, `size`, each with its standard deviation." in card


def test_a_model_of_vectors(colours, tmp_path):
    workspace = colours(["ann", "bob", "cleo"], 60)
    ran = workspace.run(
        "", *words("lora", "embed"), task={"width": 8, "loss": "triplet"}, method={"epochs": 2}, **SMALL
    )
    assert ran.parity["holds"]
    assert ran.scores["retrieval_map"]["value"] > ran.baseline["retrieval_map"]["value"] + 0.2
    assert ran.baseline["recall_at_1"]["value"] < 0.5, "one vector for all finds what chance finds"
    predicted = workspace.predict(ran.model, *(tmp_path / f"{i:03d}.bmp" for i in range(30)))
    vectors = np.array([one["output"]["embedding"] for one in predicted["predictions"]])
    alike, owner = vectors @ vectors.T, np.arange(30) % 3
    same = owner[:, None] == owner
    assert alike[same & ~np.eye(30, dtype=bool)].mean() > alike[~same].mean()
    json.dumps(predicted)
    assert workspace.promote(ran.model, "finder")["passed"]
    card = (workspace.root / "artifacts" / "models" / ran.model / "README.md").read_text()
    assert "A vector of 8 numbers and length 1" in card
    assert "pipeline_tag: feature-extraction" in card


def test_too_small_a_batch_to_compare_is_told(colours):
    workspace = colours(["ann", "bob", "cleo"])
    with pytest.raises(UsageError, match="too few for embed") as caught:
        workspace.run("", *words("full", "embed"), method={"epochs": 1, "batch_size": 4}, **SMALL)
    assert "task.together=2" in caught.value.do
