"""`speciate plugin new` writes a small plugin that passes the kit as it is; installing it is in test_thirdparty."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from speciate import UsageError
from speciate.scaffold import write

RUN = """
import importlib, sys, pytest
import speciate.catalog
from speciate.catalog import Catalog, Plugin, installed
here = Catalog([*installed().plugins.values(), Plugin("lines", importlib.import_module("speciate_lines"))])
speciate.catalog.installed = lambda: here  # as if it were installed
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "error"]))
"""


def test_it_is_small_and_complete(tmp_path):
    written = write("log-2", tmp_path)
    files = [Path(file) for file in written["files"]]
    assert written["plugin"] == "log-2"
    assert {file.relative_to(written["folder"]).as_posix() for file in files} == {
        "pyproject.toml",
        "speciate_log_2/__init__.py",
        "speciate_log_2/reader.py",
        "test_log_2.py",
    }
    assert sum(file.read_text().count("\n") for file in files) <= 60
    project = tomllib.loads(files[0].read_text())
    assert project["project"]["entry-points"]["speciate"] == {"log-2": "speciate_log_2"}


def test_its_own_test_passes(tmp_path):
    folder = Path(write("lines", tmp_path)["folder"])
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_what_it_writes_is_formatted(tmp_path):
    folder = write("lines", tmp_path)["folder"]
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--line-length=120", "--no-cache", "--isolated", folder]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a/b", "../a", "a.b", "ä", "a" * 41, "a\n"])
def test_a_bad_name_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="cannot name a format"):
        write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(UsageError, match="installed already"):
        write("text", tmp_path)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "speciate-log").mkdir()
    with pytest.raises(UsageError, match="there already"):
        write("log", tmp_path)
    assert list((tmp_path / "speciate-log").iterdir()) == []
