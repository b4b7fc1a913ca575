"""What others get: the wheel in a fresh environment, and beside it plugins that no file of ours knows.

The environment borrows the libraries of this one (nothing is downloaded), but not its editable Speciate.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
FASTA, ORDINAL = (ROOT / "tests" / "thirdparty" / f"speciate-{name}" for name in ("fasta", "ordinal"))


def run(*command, cwd, code=0):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "SPECIATE"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def env(wheel, tmp_path_factory):
    """An environment with the wheel, the outside plugins and a scaffolded one; `speciate(...)` is its command line."""
    root = tmp_path_factory.mktemp("env")
    venv, folder = root / "venv", root / "work"
    folder.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=root)
    python = venv / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index")
    run(*install, wheel, cwd=root)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=root).strip())
    borrowed = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "borrowed.pth").write_text("\n".join(borrowed))  # a .pth in there, as of an editable install, is not read

    def speciate(*words, code=0):
        return run(venv / "bin" / "speciate", *words, cwd=folder, code=code)

    shutil.copytree(FASTA, root / "fasta")
    shutil.copytree(ORDINAL, root / "ordinal")
    speciate("plugin", "new", "lines", "--folder", root)
    run(*install, "--no-build-isolation", root / "fasta", root / "ordinal", root / "speciate-lines", cwd=root)
    return SimpleNamespace(venv=venv, folder=folder, speciate=speciate)


def test_the_wheel_is_what_runs(env):
    code = "import speciate, speciate_text; print(speciate.__file__, speciate_text.__file__)"
    files = run(env.venv / "bin" / "python", "-c", code, cwd=env.folder).split()
    assert all(Path(file).is_relative_to(env.venv) for file in files), files


def test_the_plugins_are_found(env):
    found = json.loads(env.speciate("plugins", "--json"))
    origins = {(row["kind"], row["name"]): row["origin"] for row in found["declarations"]}
    assert found["broken"] == []
    assert origins["format", "fasta"] == origins["base", "kmers"] == "speciate-fasta"
    assert origins["format", "lines"] == "speciate-lines"
    assert origins["format", "text"] == "speciate"


@pytest.mark.parametrize("plugin", ["fasta", "speciate-lines"])
def test_the_plugins_pass_the_kit(plugin, env):
    checked = json.loads(env.speciate("plugin", "check", plugin, "--json"))
    assert checked["passed"], checked["report"]
    assert checked["counts"]["passed"] > 15
    assert set(checked["counts"]) == {"passed"}


def test_an_outside_task_passes_the_kit(env):
    """What it leaves out, a distance from a teacher, is skipped and said."""
    checked = json.loads(env.speciate("plugin", "check", "ordinal", "--json"))
    assert checked["passed"], checked["report"]
    assert checked["counts"]["passed"] > 20
    assert "cannot be learnt from a teacher" in checked["report"]


def test_a_task_and_a_method_are_short():
    """Declarations, options and code, without blank lines: what docs/add-a-method.md promises."""
    lines = {
        part: sum(
            bool(line.strip()) for file in (ORDINAL / part).glob("*.py") for line in file.read_text().splitlines()
        )
        for part in ("speciate_ordinal", "speciate_bitfit")
    }
    assert lines["speciate_ordinal"] <= 50
    assert lines["speciate_bitfit"] <= 60


def test_an_outside_method_learns_an_outside_task(env):
    """Both through the loop, on a base of ours, with no file of the repository changed."""
    code = "import sys, pathlib; from speciate.testing import walk; walk.pictures(pathlib.Path('.'), sys.argv[1:])"
    labels = ("1 low", "2 middle", "3 high")
    run(env.venv / "bin" / "python", "-c", code, *labels, cwd=env.folder)
    env.speciate("add", "levels", *(f"{i:03}.bmp" for i in range(60)), "--labels", "labels.csv")
    words = ("base=conv-image", "base.size=16", "method=bitfit", "method.epochs=2", "task=ordinal", "dataset=levels")
    ran = json.loads(env.speciate("run", *words, "--json"))
    assert ran["parity"]["holds"]
    assert ran["scores"]["steps_off"]["value"] < ran["baseline"]["steps_off"]["value"]
    predicted = json.loads(env.speciate("predict", ran["model"], "000.bmp", "--json"))["predictions"]
    assert predicted[0]["output"]["label"] in labels
    assert "1 low" in env.speciate("predict", ran["model"], "000.bmp")
    assert json.loads(env.speciate("promote", ran["model"], "levels", "--json"))["passed"]


def test_recipes_are_in_the_wheel(env):
    config = json.loads(env.speciate("config", "recipe=text/probe-hash", "dataset=x", "--json"))
    assert (config["base"]["name"], config["method"]["name"]) == ("hash-ngrams", "probe")


def write_sequences(path, n):
    """Membranes like L and I, the rest likes K and E."""
    rng = random.Random(7)
    kinds = {"membrane": "LLLIIVAFGK", "soluble": "KKEEDRSTGL"}
    lines = []
    for i in range(n):
        label = list(kinds)[i % 2]
        lines.append(f">p{i} label={label}\n{''.join(rng.choices(kinds[label], k=40))}\n")
    path.write_text("".join(lines))
    return path


def test_the_whole_walk(env):
    """A new format and a new modality, from files to a served answer, with no file of the repository changed."""
    write_sequences(env.folder / "proteins.fasta", 120)
    added = json.loads(env.speciate("add", "proteins", "proteins.fasta", "--json"))
    assert (added["format"], added["added"], added["labels"]) == ("fasta", 120, {"membrane": 60, "soluble": 60})
    ran = json.loads(env.speciate("run", "base=kmers", "method=probe", "dataset=proteins", "--json"))
    assert ran["parity"]["holds"]
    assert ran["scores"]["accuracy"]["value"] > 0.8 > ran["baseline"]["accuracy"]["value"]
    (env.folder / "new.fa").write_text(">one\nLLIVLLIAFLIVLL\n>two\nKEEDRKSTEEKKDE\n")
    predicted = json.loads(env.speciate("predict", ran["model"], "new.fa", "--json"))["predictions"]
    assert [row["output"]["label"] for row in predicted] == ["membrane", "soluble"]
    assert served(env, ran["model"], {"rows": [{"sequence": "LLIVLLIAFLIVLL"}]}) == [predicted[0]["output"]]


def served(env, model, body):
    """The outputs of `speciate serve`."""
    command = [env.venv / "bin" / "speciate", "serve", model, "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=env.folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(f"{url}/v1/predict/{model}", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["outputs"]
        finally:
            process.send_signal(signal.SIGTERM)
