"""Config: the CLI's words and Python's keywords compose to one Config; errors are in three parts."""

import json

import pytest

import speciate
from speciate import SpeciateError, UsageError
from speciate.config import Config, overrides_of


@pytest.fixture
def compose(workspace):
    return lambda *words, **settings: workspace.config("text/probe-hash", *words, **settings)


def test_words_and_keywords_are_the_same(workspace):
    words = workspace.config("text/probe-hash", "dataset=news", "seed=3", "method.c=[1,2.5]", "method.balanced=true")
    keywords = workspace.config("text/probe-hash", dataset="news", seed=3, method={"c": [1, 2.5], "balanced": True})
    assert words.as_dict() | {"overrides": ()} == keywords.as_dict() | {"overrides": ()}
    assert words.method["c"] == [1.0, 2.5]


def test_a_recipe_chooses_and_a_word_overrides(workspace):
    config = workspace.config("text/probe", dataset="news")
    assert (config.base["name"], config.method["name"], config.task["name"]) == ("minilm", "probe", "classify")
    assert workspace.config("text/probe", dataset="news", base="hash-ngrams").base["name"] == "hash-ngrams"


def test_no_recipe_is_needed(workspace):
    config = workspace.config("", "base=hash-ngrams", "method=probe", "dataset=news")
    assert config.recipe == ""


@pytest.mark.parametrize(
    ("words", "asked", "says"),
    [
        (["method.cc=[1]"], "no setting named 'method.cc'", "did you mean 'method.c'?"),
        (["sed=1"], "no setting named 'sed'", "did you mean 'seed'?"),
        (["seed=abc"], "seed", "could not be converted to Integer"),
        (["method.max_iter=[1]"], "max_iter", "could not be converted"),
        (["base=minilmm"], "no base named 'minilmm'", "did you mean 'minilm'?"),
        (["method=prob"], "no method named 'prob'", "did you mean 'probe'?"),
        (["task=clasify"], "no task named 'clasify'", "did you mean 'classify'?"),
        (["dataset"], "cannot read 'dataset'", "key=value"),
        (["method.c=[1"], "method.c", "key=value"),
    ],
)
def test_errors_are_in_three_parts(compose, words, asked, says):
    with pytest.raises(UsageError) as error:
        compose("dataset=news", *words)
    whole = " ".join((error.value.asked, error.value.exists, error.value.do))
    assert asked in error.value.asked
    assert says.lower() in whole.lower()
    assert "+method" not in whole, "Hydra's advice for a typo"


def test_a_run_needs_a_recipe_and_a_dataset(workspace):
    with pytest.raises(UsageError, match="needs a recipe"):
        workspace.config("", "dataset=news")
    with pytest.raises(UsageError, match="needs a dataset"):
        workspace.config("text/probe-hash")


def test_a_persons_own_recipe(workspace):
    folder = workspace.root / "recipe"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /base: hash-ngrams\n  - override /method: probe\nseed: 7\n"
    )
    assert workspace.config("mine", dataset="news").seed == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base:\n  _target_: os.system", "_target_"),
        ("name: ${oc.env:HOME}", "interpolation"),
        ("a: &a [1]\n" + "b: [" + "*a," * 30 + "]", "too large"),
        ("a: [", "not YAML"),
    ],
)
def test_a_hostile_recipe_is_refused(workspace, text, says):
    folder = workspace.root / "recipe"
    folder.mkdir(parents=True)
    head = "# @package _global_\ndefaults:\n  - override /base: hash-ngrams\n  - override /method: probe\n"
    (folder / "bad.yaml").write_text(head + text)
    with pytest.raises(SpeciateError, match=says):
        workspace.config("bad", dataset="news")


def test_a_config_comes_back_from_json(compose):
    config = compose(dataset="news", trainer={"max_epochs": 1})
    assert Config.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_values_survive_hydras_grammar(compose):
    for name in ("it's", "a=b", "x,y", "[1]", "null", "ünï", r"back\slash"):
        assert compose(dataset=name).dataset == name
    assert overrides_of({"a": None, "b": True, "c": [1, "x"]}) == ["a=null", "b=true", "c=[1,'x']"]


def test_config_needs_no_workspace(tmp_path):
    ws = speciate.open(tmp_path / "nowhere")
    assert ws.config("text/probe-hash", dataset="d").dataset == "d"
    assert not ws.root.exists()
