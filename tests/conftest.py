"""What several rooms' tests need: a small labelled set, a workspace with it, and the command line as a process."""

import json
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import speciate

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it, and so would all children

TOPICS = {
    "oil": "crude barrel opec refinery pipeline drilling petroleum tanker",
    "grain": "wheat corn harvest bushel crop farmers soybean maize",
    "money": "bank interest rates currency dollar yen central liquidity",
}


def make_rows(n, seed=0, topics=TOPICS):
    """n rows that a bag of words can tell apart, mostly."""
    random.seed(seed)
    rows = []
    for i in range(n):
        topic = list(topics)[i % len(topics)]
        words = random.choices(topics[topic].split(), k=6) + random.choices(
            ["the", "said", "year", "market", "new", "report"], k=6
        )
        random.shuffle(words)
        rows.append({"text": f"{' '.join(words)} {i}", "label": topic})
    return rows


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def rows():
    return make_rows(240)


@pytest.fixture
def news(tmp_path, rows):
    """A JSONL file of labelled text."""
    return write_jsonl(tmp_path / "news.jsonl", rows)


@pytest.fixture
def workspace(tmp_path):
    return speciate.open(tmp_path / "workspace", quiet=True)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A workspace with a dataset and a model; read it, do not write to it."""
    folder = tmp_path_factory.mktemp("trained")
    ws = speciate.open(folder / "workspace", quiet=True)
    ws.add("news", write_jsonl(folder / "news.jsonl", make_rows(240)))
    ws.run("text/probe-hash", dataset="news")
    return ws


@pytest.fixture
def cli(tmp_path):
    """Run `speciate` as a process in a folder of its own; returns code, stdout, stderr."""

    def run(*words, cwd=tmp_path, env=None, timeout=120):
        command = [sys.executable, "-m", "speciate", *map(str, words)]
        environment = {**os.environ, "SPECIATE_WORKSPACE": str(tmp_path / "workspace"), **(env or {})}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


def make_wheel(folder, name, version, members):
    """A package as pip finds it in a folder: `PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER`."""
    info = f"{name}-{version}.dist-info"
    facts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in {**members, **{f"{info}/{fact}": text for fact, text in facts.items()}}.items():
            archive.writestr(member, content)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the index; nothing else is there."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make():
    """The makers, for tests that want other sizes."""

    class Make:
        rows = staticmethod(make_rows)
        jsonl = staticmethod(write_jsonl)
        wheel = staticmethod(make_wheel)
        root = Path(__file__).parent

    return Make
