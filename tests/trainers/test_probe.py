"""The probe against scikit-learn, against the closed form, and against itself."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from speciate import Job, SpeciateError, UsageError
from speciate.journal import RunJournal, metrics, notes
from speciate.progress import StageClock
from speciate.task import Examples
from speciate_trainers.options import ProbeOptions
from speciate_trainers.predictor import ProbePredictor
from speciate_trainers.probe import Head, ProbeTrainer
from speciate_trainers.tasks.classify import Classify
from speciate_trainers.tasks.multilabel import Multilabel
from speciate_trainers.tasks.regress import Regress

LABELS = ("a", "b", "c")


def examples(task, features, targets, groups=None):
    rows = [{"group": group} for group in groups] if groups is not None else [{}] * len(features)
    part = Examples(rows, task, dict, None)
    part.features, part.targets = features.astype(np.float32), np.asarray(targets, dtype=np.float64)
    return part


@pytest.fixture
def clouds():
    """clouds(n, seed, shares) -> unit vectors around three centres that overlap, and their classes."""

    def clouds(n, seed, shares=(1, 1, 1), noise=0.9):
        random = np.random.default_rng(seed)
        centres = np.random.default_rng(99).normal(size=(3, 24))
        targets = random.choice(3, size=n, p=np.array(shares) / sum(shares))
        features = centres[targets] * 0.5 + random.normal(size=(n, 24)) * noise
        return features / np.linalg.norm(features, axis=1, keepdims=True), targets

    return clouds


@pytest.fixture
def fit(tmp_path):
    def fit(task, train, dev=None, seed=0, trainer=None, **options):
        empty = (train[0][:0], train[1][:0])
        parts = (examples(task, *part) for part in (train, dev or empty))
        job = Job(*parts, task=task, seed=seed, folder=tmp_path, progress=StageClock(True), trainer=trainer or {})
        return ProbeTrainer(ProbeOptions(**options)).fit(job)

    return fit


def answers(tensors, task, features):
    return ProbePredictor(tensors, task, None).predict(examples(task, features, np.zeros(len(features))))


@pytest.mark.parametrize("c", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_same_answers_as_scikit_learn(fit, clouds, c, balanced):
    task, train, test = Classify(LABELS), clouds(900, 1, (8, 3, 1)), clouds(1000, 2)
    theirs = LogisticRegression(C=c, max_iter=2000, class_weight="balanced" if balanced else None)
    theirs.fit(train[0].astype(np.float32), train[1])
    ours = answers(fit(task, train, c=[c], balanced=balanced), task, test[0])
    accuracy = [(found.argmax(1) == test[1]).mean() for found in (ours, theirs.predict_proba(test[0]))]
    assert abs(accuracy[0] - accuracy[1]) <= 0.01
    assert np.abs(ours - theirs.predict_proba(test[0])).max() < 0.02


def test_balanced_helps_the_rare_class(fit, clouds):
    task, train, test = Classify(LABELS), clouds(900, 1, (20, 20, 1)), clouds(900, 2)
    rare = test[1] == 2
    plain, balanced = (answers(fit(task, train, c=[1.0], balanced=b), task, test[0]).argmax(1) for b in (False, True))
    assert (balanced[rare] == 2).mean() > (plain[rare] == 2).mean() + 0.2


def test_dev_chooses_c(fit, clouds, monkeypatch):
    """The kept c is the one whose model, learnt from train alone, has the lowest loss on dev."""
    task, train, dev = Classify(LABELS), clouds(60, 1), clouds(400, 2)
    strengths, solved = [0.01, 0.3, 3.0, 1000.0, 1e6], []
    solve = Head.solve
    monkeypatch.setattr(Head, "solve", lambda head, *rows: solved.append((head.c, len(rows[0]))) or solve(head, *rows))
    fit(task, train, dev, c=strengths)
    losses = {}
    for c in strengths:
        model = LogisticRegression(C=c, max_iter=5000, tol=1e-9).fit(train[0].astype(np.float32), train[1])
        losses[c] = -np.log(model.predict_proba(dev[0])[np.arange(400), dev[1]]).mean()
    best = min(losses, key=losses.get)
    assert best not in (strengths[0], strengths[-1]), "the set would not tell"
    assert solved[-1] == (best, 460), "refit learns from train and dev with the chosen c"
    solved.clear()
    fit(task, train, dev, c=strengths, refit=False)
    assert {n for _, n in solved} == {60}


@pytest.mark.parametrize("grouped", [True, False])
def test_few_dev_rows_do_not_choose_c(clouds, tmp_path, grouped):
    """Fifths of all rows do, groups whole: what is learnt by heart helps only with copies of what was learnt."""
    task, random = Classify(LABELS), np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 6)
    features = random.normal(size=(40, 64))[groups] + 0.01 * random.normal(size=(240, 64))
    targets = random.choice(3, size=40)[groups]  # chance
    train, dev = groups < 36, groups >= 36
    parts = [
        examples(task, features[part], targets[part], [f"g{g}" for g in groups[part]] if grouped else None)
        for part in (train, dev)
    ]
    job = Job(*parts, task=task, seed=0, folder=tmp_path, progress=StageClock(True), journal=RunJournal(tmp_path))
    ProbeTrainer(ProbeOptions(c=[0.01, 0.1, 1.0, 10.0])).fit(dataclasses.replace(job, judge=lambda *_: 0.0))
    assert notes(tmp_path)["chosen"]["c"] == (0.01 if grouped else 10.0)
    losses = dict(metrics(tmp_path)["cv_loss"])
    assert min(losses, key=losses.get) == (1 if grouped else 4)


@pytest.mark.parametrize("few", [True, False])
def test_few_rows_of_many_numbers(fit, few):
    """They are learnt from in fewer directions, and the answers are scikit-learn's all the same."""
    task, random = Classify(LABELS), np.random.default_rng(0)
    count = 40 if few else 120
    features, targets = random.normal(size=(count, 200)).astype(np.float32), random.choice(3, size=count)
    fresh = random.normal(size=(50, 200))
    theirs = LogisticRegression(C=0.1, max_iter=5000, tol=1e-9).fit(features, targets).predict_proba(fresh)
    tensors = fit(task, (features[5:], targets[5:]), (features[:5], targets[:5]), c=[0.1])
    assert tensors["weight"].shape == (3, 200)
    assert np.abs(answers(tensors, task, fresh) - theirs).max() < 0.01


def test_the_dev_score_is_of_a_head_that_has_not_seen_the_dev_rows(clouds, tmp_path):
    """What a search steers by, though the head that is kept has learnt from the dev rows, too."""
    task, train, dev = Classify(LABELS), clouds(40, 1), clouds(300, 2)
    parts = [examples(task, *part) for part in (train, dev)]

    def judge(found, targets):
        return float((found.argmax(1) == targets).mean())

    job = Job(*parts, task=task, seed=0, folder=tmp_path, progress=StageClock(True), judge=judge)
    alone = answers(ProbeTrainer(ProbeOptions(refit=False)).fit(job), task, dev[0])
    kept = ProbeTrainer(ProbeOptions()).fit(dataclasses.replace(job, journal=RunJournal(tmp_path)))
    found = metrics(tmp_path)
    ((step, score),) = found["dev"]
    assert score == judge(alone, dev[1]) < judge(answers(kept, task, dev[0]), dev[1])
    losses = dict(found["dev_loss"])
    assert losses[step] == min(losses.values())
    assert notes(tmp_path)["chosen"] == {"c": sorted(ProbeOptions().c)[step - 1]}


def test_the_same_seed_gives_the_same_bits(fit, clouds):
    task, train, dev = Classify(LABELS), clouds(300, 1), clouds(60, 2)
    one, two = fit(task, train, dev, seed=3), fit(task, train, dev, seed=3)
    assert one.keys() == two.keys()
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_regress_is_the_closed_form(fit):
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 8)).astype(np.float32)
    targets = features @ random.normal(size=8) * 7 + 100 + random.normal(size=200)
    task, c = Regress(), 0.5
    x, y = features.astype(np.float64), (targets - targets.mean()) / targets.std()
    centred, mean = x - x.mean(0), x.mean(0)
    weight = np.linalg.solve(centred.T @ centred + np.eye(8) / c, centred.T @ (y - y.mean()))
    wanted = ((x - mean) @ weight + y.mean()) * targets.std() + targets.mean()
    found = answers(fit(task, (features, targets), c=[c]), task, features)
    assert np.abs(found - wanted).max() < 0.01 * targets.std()


def test_regress_on_one_value(fit):
    task, features = Regress(), np.random.default_rng(0).normal(size=(20, 4))
    found = answers(fit(task, (features, np.full(20, 5.0))), task, features)
    assert np.allclose(found, 5.0, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["classify", "regress"])
def test_features_that_are_no_numbers(fit, clouds, bad, name):
    task, (features, targets) = (Classify(LABELS) if name == "classify" else Regress()), clouds(60, 1)
    features[3, 3] = bad
    with pytest.raises(SpeciateError, match="not a number") as caught:
        fit(task, (features, targets))
    assert "NaN or infinity" in caught.value.exists


@pytest.mark.parametrize(
    "options", [{"c": []}, {"c": [0.0]}, {"c": [1.0, -1.0]}, {"c": [float("nan")]}, {"max_iter": 0}]
)
def test_options_that_cannot_be(options):
    with pytest.raises(UsageError) as caught:
        ProbeTrainer(ProbeOptions(**options))
    assert all((caught.value.asked, caught.value.exists, caught.value.do))


def test_a_setting_of_lightning_does_nothing_here(fit, clouds):
    with pytest.raises(UsageError, match=r"trainer\.max_steps=1 does nothing"):
        fit(Classify(LABELS), clouds(30, 1), trainer={"max_steps": 1})


def test_no_files_are_left_behind(fit, clouds, tmp_path):
    fit(Classify(LABELS), clouds(60, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_head_is_its_own():
    head = Head(Classify(LABELS), 4, ProbeOptions())
    twin = head.copy()
    head.weight += 1
    assert not twin.weight.any()


def test_an_answer_does_not_depend_on_the_batch(fit, clouds):
    task, train, test = Classify(LABELS), clouds(90, 1), clouds(64, 2)
    tensors = fit(task, train)
    whole = answers(tensors, task, test[0])
    alone = np.concatenate([answers(tensors, task, test[0][i : i + 1]) for i in range(64)])
    assert np.abs(whole - alone).max() < 1e-12
    assert np.allclose(whole.sum(1), 1)


@pytest.mark.parametrize("balanced", [False, True])
def test_several_labels_are_as_many_classifiers(fit, balanced):
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 6)).astype(np.float32)
    targets = (features[:, :3] + 0.5 * random.normal(size=(400, 3)) > (0, 0.5, 1)).astype(float)
    task = Multilabel(LABELS)
    found = answers(fit(task, (features, targets), c=[1.0], balanced=balanced), task, features)
    for label in range(3):
        theirs = LogisticRegression(C=1.0, max_iter=2000, tol=1e-9, class_weight="balanced" if balanced else None)
        wanted = theirs.fit(features, targets[:, label]).predict_proba(features)[:, 1]
        assert np.abs(found[:, label] - wanted).max() < 0.01


def test_several_values_are_as_many_regressions(fit):
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 5)).astype(np.float32)
    targets = features @ random.normal(size=(5, 2)) * (1, 40) + (0, 7) + random.normal(size=(200, 2)) * (1, 40)
    both, one = Regress(("a", "b")), Regress()
    found = answers(fit(both, (features, targets), c=[1.0]), both, features)
    alone = [answers(fit(one, (features, targets[:, i]), c=[1.0]), one, features) for i in range(2)]
    assert found.shape == (200, 2)
    assert (np.abs(found - np.stack(alone, axis=1)) / targets.std(axis=0)).max() < 1e-3


def test_the_spread_is_that_on_the_dev_rows(fit):
    random = np.random.default_rng(0)
    features = random.normal(size=(600, 3)).astype(np.float32)
    targets = features @ (1.0, 2.0, 3.0) * 10 + 100 + 5 * random.normal(size=600)
    task = Regress((), {"uncertainty": True})
    found = answers(fit(task, (features[:300], targets[:300]), (features[300:], targets[300:])), task, features)
    assert found.shape == (600, 2)
    assert len(set(found[:, 1])) == 1
    assert abs(found[0, 1] - 5) < 0.5
