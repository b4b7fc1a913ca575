"""`speciate plugin new NAME`: a complete plugin for a new format, small enough to read in a minute and to rewrite.

What it writes works as it is: install it, and files of the new kind go through every stage.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from speciate.catalog import installed
from speciate.contracts import Format
from speciate.errors import UsageError
from speciate.files import write_text

__all__ = ["write"]

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "speciate-NAME"
version = "0.1.0"
dependencies = ["speciate"] # and what your reader imports

[project.entry-points.speciate] # this line is how Speciate finds the plugin
NAME = "MODULE"
"""

DECLARATION = '''\
"""NAME files for Speciate: a declaration only, so that listing plugins stays quick. The code is in `reader`."""

from speciate import TEXT, Format, hookimpl

FORMAT = Format(
    name="NAME",
    summary="one text a line, after its label and a tab",  # say what your files are
    modality=TEXT,  # what decode gives: TEXT, or a Modality of your own with its arrays
    patterns=("*.NAME",),  # how the files are called
    reader="MODULE.reader:Reader",
    example="MODULE.reader:example",
)


@hookimpl
def speciate_formats():
    return [FORMAT]
'''

READER = '''\
"""Reads NAME files. Import what is heavy here, not in the declaration."""


class Reader:
    def __init__(self, options):
        self.options = options  # an instance of Format.options, if you declare some

    def schema(self):
        return {"text": "string"}  # the columns to store: string, int64, float64, bool or bytes

    def read(self, path):  # the rows of a file; any exception refuses the whole file
        for line in path.read_text(encoding="utf-8").splitlines():
            label, tab, text = line.partition("\\t")
            yield {"text": text, "label": label} if tab else {"text": line}

    def decode(self, row):  # the arrays of the modality; training and serving both call this
        return {"text": row["text"]}


def example(folder):  # small good files, for the tests
    (folder / "small.NAME").write_text("good\\tit works\\nbad\\tit broke\\n", encoding="utf-8")
    return [folder / "small.NAME"]
'''

TEST = """\
from speciate.testing import FormatContract


class TestNAME(FormatContract):
    name = "NAME"
"""


def write(name: str, folder: Path) -> dict[str, Any]:
    """Write `folder/speciate-NAME`: {plugin, folder, files}."""
    if not NAME.fullmatch(name):
        exists = "names are lower-case letters, digits, - and _, and start and end with a letter or digit"
        raise UsageError(f"{name!r} cannot name a format", exists, "choose another name")
    if name in {format.name for format in installed().all(Format)}:
        raise UsageError(f"format {name!r} is installed already", "names are unique", "choose another name")
    root = Path(folder) / f"speciate-{name}"
    if root.exists():
        raise UsageError(f"{root} is there already", "nothing was written", "choose another name or --folder")
    module = f"speciate_{name.replace('-', '_')}"
    texts = {
        "pyproject.toml": PYPROJECT,
        f"{module}/__init__.py": DECLARATION,
        f"{module}/reader.py": READER,
        f"test_{module.removeprefix('speciate_')}.py": TEST.replace("TestNAME", "TestFormat"),
    }
    for file, text in texts.items():
        write_text(root / file, text.replace("NAME", name).replace("MODULE", module))
    return {"plugin": name, "folder": str(root), "files": [str(root / file) for file in texts]}
