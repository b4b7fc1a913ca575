"""Trackers: what they wrote is read back with the tool's own reader."""

import importlib.util
import json
import sqlite3

import pytest

from speciate import SpeciateError, UsageError
from speciate.journal import metrics
from speciate.trackers import TRACKERS, check, opened

ROWS = [(1, {"loss": 0.5}), (2, {"loss": 0.25, "lr": 0.1}), (2, {"dev": 0.75})]
SETTINGS = {"method": {"name": "lora", "rank": 8}, "seed": 3, "budget": "", "base": None}


def needs(name):
    missing = importlib.util.find_spec(TRACKERS[name].module) is None
    return pytest.mark.skipif(missing, reason=f"no {name} here")


@pytest.fixture
def told(tmp_path):
    """told(name): a folder in which that tracker was told ROWS by a run called news-1."""

    def told(name):
        with opened([name], tmp_path / "trackers", "news-1", SETTINGS) as listeners:
            for step, numbers in ROWS:
                for hear in listeners:
                    hear(step, numbers)
        return tmp_path / "trackers"

    return told


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    read = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, float(make_ndarray(event.tensor_proto))) for event in read.Tensors(name)]
        for name in read.Tags()["tensors"]
    }


@needs("tensorboard")
def test_tensorboard(told):
    found = events(told("tensorboard") / "tensorboard" / "news-1")
    assert found == {"loss": [(1, 0.5), (2, 0.25)], "lr": [(2, pytest.approx(0.1))], "dev": [(2, 0.75)]}


@needs("tensorboard")
def test_a_run_tells_all_that_its_journal_has(workspace, news):
    workspace.add("news", news)
    ran = workspace.run("text/probe-hash", dataset="news", base={"width": 64}, trackers=["tensorboard"])
    found = events(workspace.root / "artifacts" / "trackers" / "tensorboard" / ran.run)
    kept = metrics(workspace.root / "artifacts" / "runs" / ran.run)
    assert found.keys() == kept.keys() >= {"dev", "dev_loss"}
    for name, rows in kept.items():
        assert found[name] == [(step, pytest.approx(value, rel=1e-6)) for step, value in rows]


@needs("wandb")
def test_wandb_stays_here(told, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (file,) = (told("wandb") / "wandb").glob("offline-run-*-news-1/*.wandb")
    records = list(wandb_records(file.read_bytes()))
    found = [{i.nested_key[0]: json.loads(i.value_json) for i in r.history.item} for r in records if r.history.item]
    assert [(row["_step"], row["loss"], row.get("dev")) for row in found] == [(1, 0.5, None), (2, 0.25, 0.75)]
    told_of = {".".join(i.nested_key) or i.key: i.value_json for r in records for i in r.run.config.update}
    assert told_of["method.rank"] == "8"


def wandb_records(data):
    """The records of an offline run: LevelDB's log format, in one block."""
    import struct

    from wandb.proto import wandb_internal_pb2

    at, whole = 7, b""
    while at + 7 <= len(data):
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@needs("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow(told, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    told("mlflow")
    place = told("mlflow")  # the same run goes on
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("speciate").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["method.rank"]) == ("news-1", "FINISHED", "8")
    assert {(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")} == {(1, 0.5), (2, 0.25)}


@needs("trackio")
@pytest.mark.filterwarnings("ignore")
def test_trackio(told, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    database = told("trackio") / "trackio" / "speciate.db"
    rows = sqlite3.connect(database).execute("select step, metrics from metrics order by id").fetchall()
    found = [(step, json.loads(numbers)) for step, numbers in rows]
    assert {step: numbers["loss"] for step, numbers in found if "loss" in numbers} == {1: 0.5, 2: 0.25}
    assert capsys.readouterr().out == "", "stdout is for the result"


def test_one_that_is_not_there(workspace, news):
    workspace.add("news", news)
    with pytest.raises(UsageError, match="no tracker named 'tensorbord'") as caught:
        workspace.run("text/probe-hash", dataset="news", trackers=["tensorbord"])
    assert "did you mean 'tensorboard'?" in caught.value.do
    assert workspace.list("runs")["runs"] == [], "it is said before the run begins"


@pytest.mark.parametrize("name", TRACKERS)
def test_one_that_is_not_installed(name, monkeypatch):
    monkeypatch.setattr(TRACKERS[name], "module", "no_such_module")
    with pytest.raises(SpeciateError) as caught:
        check([name])
    assert caught.value.do == f'type `pip install "speciate[{name}]"`'


def test_every_one_has_an_extra():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert TRACKERS.keys() <= project["optional-dependencies"].keys()
