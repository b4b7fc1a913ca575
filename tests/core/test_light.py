"""Looking is quick: these commands import nothing heavy."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "lightning",
    "lancedb",
    "lance",
    "pyarrow",
    "numpy",
    "transformers",
    "pydantic",
    "hydra",
    "safetensors",
)
CODE = """
import contextlib, io, json, sys
sys.argv = ["speciate", *sys.argv[1:]]
from speciate.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    try:
        main()
    except SystemExit as end:
        code = end.code
modules = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"code": code, "out": out.getvalue(), "modules": modules}))
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["add", "--help"], ["--version"], ["list"], ["list", "--json"], ["plugins"], ["plugins", "--json"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(trained, words):
    where = ["-w", str(trained.root)] if words[0] == "list" else []
    command = [sys.executable, "-c", CODE, *words, *where]
    done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert done["code"] == 0
    assert done["out"]
    assert [name for name in HEAVY if name in done["modules"]] == []


def test_the_list_is_of_what_is_there(trained, cli):
    done = cli("list", "--json", "-w", trained.root)
    found = json.loads(done.stdout)
    assert (found["datasets"][0]["name"], found["runs"][0]["status"]) == ("news", "done")
    assert found["models"][0]["name"] == "news-probe-1"
