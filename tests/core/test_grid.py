"""A grid: every combination of the values with commas is a run."""

import json

import pytest

from speciate import UsageError
from speciate.grid import points


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["seed=1,2"], [{"seed": "1"}, {"seed": "2"}]),
        (["seed=1,2", "method.c=[1],[10,3]"], [{"seed": s, "method.c": c} for s in "12" for c in ("[1]", "[10,3]")]),
        (["recipe=text/probe,text/full", "seed=3"], [{"recipe": "text/probe"}, {"recipe": "text/full"}]),
        (["seed=range(1,4)"], [{"seed": "1"}, {"seed": "2"}, {"seed": "3"}]),
        (["seed=choice(5,7)"], [{"seed": "5"}, {"seed": "7"}]),
        (["dataset=news", "name='a, b'"], [{}]),
    ],
)
def test_points(words, wanted):
    assert points(words) == wanted


@pytest.mark.parametrize(
    ("word", "says"), [("seed=interval(1,2)", "speciate tune"), ("seed=[1", "[1],[2]"), ("seed=1,,2", "[1],[2]")]
)
def test_words_that_are_no_grid(word, says):
    with pytest.raises(UsageError) as caught:
        points([word])
    assert says in caught.value.do
    assert all((caught.value.asked, caught.value.exists, caught.value.do))


def test_a_run_for_each_point(workspace, news, cli):
    workspace.add("news", news)
    done = cli("run", "-m", "text/probe-hash", "dataset=news", "base.width=64", "seed=1,2", "method.c=[1]", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["runs"]
    assert [(row["point"], row["run"], row["status"]) for row in rows] == [
        ({"seed": "1"}, "news-probe-1", "done"),
        ({"seed": "2"}, "news-probe-2", "done"),
    ]
    assert all({"scores", "dev", "seconds"} <= row.keys() for row in rows)
    listed = {row["run"]: row["config"]["seed"] for row in workspace.list("runs")["runs"]}
    assert listed == {"news-probe-1": 1, "news-probe-2": 2}


def test_a_mistake_in_one_point_is_said_before_any_run(workspace, news):
    workspace.add("news", news)
    with pytest.raises(UsageError, match="seed"):
        workspace.grid("text/probe-hash", "seed=1,2,many", dataset="news")
    with pytest.raises(UsageError, match="did you mean 'seed'"):
        workspace.grid("text/probe-hash", "sed=1,2", dataset="news")
    assert workspace.list("runs")["runs"] == []


def test_a_point_that_fails_is_a_row(workspace, news, cli):
    workspace.add("news", news)
    done = cli("run", "-m", "text/probe-hash", "dataset=news", "base.width=64", "method.max_iter=0,300")
    assert done.returncode == 1
    assert "method.max_iter=0 is failed" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["0", "news-probe-1", "failed"] in [line[:3] for line in lines]
    assert ["300", "news-probe-2", "done"] in [line[:3] for line in lines]
    assert "it is at least 1" in done.stdout


def test_commas_without_m_say_what_to_type(workspace, news):
    workspace.add("news", news)
    with pytest.raises(UsageError) as caught:
        workspace.run("text/probe-hash", "seed=1,2", dataset="news")
    assert "speciate run -m" in caught.value.do
