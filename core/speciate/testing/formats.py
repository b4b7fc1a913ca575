"""FormatContract: good files are read alike everywhere, damaged ones harm nobody."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from speciate import Format, Row, UsageError
from speciate.catalog import Catalog, load
from speciate.contracts import COLUMN_TYPES, STORE_COLUMNS, Reader, Sample
from speciate.sandbox import Sandbox
from speciate.sources import recognise
from speciate.testing.contract import Contract
from speciate.workspace import Workspace

__all__ = ["FormatContract"]

DAMAGES = ("truncated", "empty", "random-1", "random-2", "random-3")


class FormatContract(Contract):
    """`files` gives small good files; by default those of the declaration's `example`."""

    kind = Format
    names = ("reader",)
    deterministic: ClassVar[bool] = True  # reading a file twice gives the same rows

    def files(self, folder: Path) -> list[Path]:
        """Small good files below an empty folder."""
        if not self.declaration.example:
            pytest.skip("the Format has no `example`: name one, or override files(folder)")
        self.use("reader")
        return [Path(path) for path in load(self.declaration.example)(folder)]

    def reader(self) -> Reader:
        reader: Reader = self.use("reader")(self.chosen())
        return reader

    @pytest.fixture
    def good(self, tmp_path: Path) -> list[Path]:
        folder = tmp_path / "good"
        folder.mkdir()
        files = self.files(folder)
        assert files, "there is no good file to read"
        return files

    def test_its_files_are_recognised(self, good: list[Path]) -> None:
        """By pattern or by first bytes, without being named."""
        alone = Catalog([self.catalog.plugin_of(self.declaration)])
        for path in good:
            found = recognise(alone, [path], (), "")[0].name
            assert found == self.name, f"{path.name} is taken for {found}"

    def test_the_schema_can_be_stored(self) -> None:
        schema = self.reader().schema()
        assert schema, "the schema names no column"
        assert not set(STORE_COLUMNS) & set(schema), f"these columns are the store's own: {sorted(schema)}"
        strange = {name: kind for name, kind in schema.items() if kind not in COLUMN_TYPES}
        assert not strange, f"unknown types {strange}; there is: {', '.join(COLUMN_TYPES)}"

    def test_good_files_give_typed_rows(self, good: list[Path]) -> None:
        reader = self.reader()
        for path in good:
            rows = list(reader.read(path))
            assert rows, f"{path.name} gives no row"
            assert not untyped(reader, rows), f"{path.name}: {untyped(reader, rows)}"

    def test_reading_repeats(self, good: list[Path]) -> None:
        """With the same reader and with a new one."""
        if not self.deterministic:
            pytest.skip("declared as not deterministic")
        reader = self.reader()
        for path in good:
            first = list(reader.read(path))
            for again in (list(reader.read(path)), list(self.reader().read(path))):
                assert same(first, again), f"{path.name} does not give the same rows twice"

    def test_rows_decode_to_the_modality(self, good: list[Path]) -> None:
        reader = self.reader()
        for row in (row for path in good for row in reader.read(path)):
            problems = self.declaration.modality.problems(reader.decode(row))
            assert not problems, f"not a {self.declaration.modality.name}: {'; '.join(problems)}"

    def test_training_equals_serving(self, good: list[Path], tmp_path: Path) -> None:
        """A row that was stored, one just read, and the bare content a client sends decode to the same bits."""
        workspace = self.workspace(tmp_path)
        workspace.add("kit", *good, format=self.name, options=self.options)
        reader, schema = self.reader(), list(self.reader().schema())
        stored = {content(row, schema): row for row in workspace.engine.dataset("kit").rows()}
        for row in (row for path in good for row in reader.read(path)):
            found = stored.get(content(row, schema))
            assert found is not None, f"the store does not give back what was read: {clip(row)}"
            bare = self.reader().decode({name: row[name] for name in schema})
            assert same(bare, reader.decode(row)), "decode looks at more than the columns of the schema"
            assert same(bare, reader.decode(found)), "a stored row decodes to something else than a served one"

    def test_a_server_decodes_the_same(self, good: list[Path], tmp_path: Path) -> None:
        """In the limited process that strangers' files are read in."""
        sandbox = Sandbox(self.declaration.reader, self.chosen())
        try:
            for path in good:
                here = [self.reader().decode(row) for row in self.reader().read(path)]
                there = list(sandbox.files([path], False, tmp_path))
                assert same(here, there), f"{path.name} decodes to something else in a process of its own"
        finally:
            sandbox.close()

    def test_a_row_can_be_looked_at(self, good: list[Path]) -> None:
        if not self.declaration.preview:
            return
        preview, reader = load(self.declaration.preview), self.reader()
        row = next(iter(reader.read(good[0])))
        seen = preview(row, reader.decode(row))
        assert seen.png.startswith(b"\x89PNG\r\n\x1a\n") or not seen.png, "the picture is no PNG"
        assert "<" in seen.html, "there is no HTML"
        assert not {"<script", "http:", "https:"} & set(re.findall(r"<script|https?:", seen.html)), "it needs the web"
        assert preview(row, reader.decode(row)) == seen, "the same row looks different the second time"

    def test_a_varied_sample_is_a_sample(self, good: list[Path]) -> None:
        if not self.declaration.augment:
            return
        import numpy as np

        augment, reader = load(self.declaration.augment), self.reader()
        sample = reader.decode(next(iter(reader.read(good[0]))))
        for seed in range(5):
            first, again = (augment(sample, np.random.default_rng(seed)) for _ in range(2))
            problems = self.declaration.modality.problems(first)
            assert not problems, f"varied, it is no {self.declaration.modality.name}: {'; '.join(problems)}"
            assert same(first, again), "the same generator varies it in two ways"

    def test_adding_twice_changes_nothing(self, good: list[Path], tmp_path: Path) -> None:
        workspace = self.workspace(tmp_path)
        first = workspace.add("kit", *good, format=self.name, options=self.options)
        again = workspace.add("kit", *good, format=self.name, options=self.options)
        assert first.added > 0, "nothing was added"
        assert not first.quarantined, f"a good file was refused: {first.quarantined}"
        assert (again.added, again.updated, again.version) == (0, 0, first.version), "adding again changed the dataset"

    def test_names_that_tell_are_not_stored(self, good: list[Path], tmp_path: Path) -> None:
        """Where the declaration has a pseudonym and the options ask for it: no name of a file is in the workspace."""
        if not self.declaration.pseudonym or load(self.declaration.pseudonym)(self.chosen()) is None:
            return
        other = load(self.declaration.pseudonym)(self.chosen())
        for kind in ("file", "group"):
            assert other(kind, "a") == other(kind, "a") != other(kind, "b"), f"pseudonyms of a {kind} do not tell apart"
        folder = tmp_path / "SENTINEL-FOLDER"
        folder.mkdir()
        named = [path.rename(folder / f"SENTINEL-{number}-{path.name}") for number, path in enumerate(good)]
        workspace = self.workspace(tmp_path)
        workspace.add("kit", *named, format=self.name, options=self.options)
        files = [path for path in workspace.root.rglob("*") if path.is_file()]
        told = [path for path in files if b"SENTINEL" in path.read_bytes() or "SENTINEL" in str(path)]
        assert not told, f"names of files are stored in {', '.join(map(str, told))}"

    @pytest.mark.parametrize("damage", [*DAMAGES, "directory"])
    def test_a_damaged_file_reads_or_raises(self, damage: str, good: list[Path], tmp_path: Path) -> None:
        """Never anything else: no exit, no half-typed row, no sample that is not one."""
        reader = self.reader()
        for path in damaged(good, damage, tmp_path / "bad"):
            rows, _ = attempt(reader, path)
            assert not untyped(reader, rows), f"{path.name} is damaged and gives {untyped(reader, rows)}"
            for row in rows:
                sample = decoded(reader, row)
                problems = self.declaration.modality.problems(sample) if sample is not None else []
                assert not problems, f"{path.name} is damaged and decodes to something else: {'; '.join(problems)}"

    def test_a_damaged_file_is_put_aside(self, good: list[Path], tmp_path: Path) -> None:
        """It is quarantined with its reason, and the rows of its good neighbours are there."""
        bad = [path for damage in DAMAGES for path in damaged(good, damage, tmp_path / "bad" / damage)]
        refused = {str(path) for path in bad if attempt(self.reader(), path)[1] is not None}
        workspace = self.workspace(tmp_path)
        added = workspace.add("kit", *bad, *good, format=self.name, options=self.options)
        aside = {one.path for one in added.quarantined}
        assert refused <= aside, f"refused by the reader, but not put aside: {sorted(refused - aside)}"
        assert not aside & {str(path) for path in good}, f"a good file was put aside: {added.quarantined}"
        schema = list(self.reader().schema())
        stored = {content(row, schema) for row in workspace.engine.dataset("kit").rows()}
        wanted = {content(row, schema) for path in good for row in self.reader().read(path)}
        assert wanted <= stored, "damaged neighbours cost good rows"

    def workspace(self, folder: Path) -> Workspace:
        return Workspace(folder / "workspace", catalog=self.catalog, quiet=True)


def untyped(reader: Reader, rows: list[Row]) -> str:
    """The first value that is missing or not exactly of its column's type."""
    for number, row in enumerate(rows):
        for name, kind in reader.schema().items():
            if name not in row or not (type(row[name]) is COLUMN_TYPES[kind] or is_file(kind, row[name])):
                found = type(row[name]).__name__ if name in row else "nothing"
                return f"row {number} has {found} in {name!r}, which is {kind}"
    return ""


def attempt(reader: Reader, path: Path) -> tuple[list[Row], Exception | None]:
    """The rows of a file or the ordinary exception it raises; anything else is a failure."""
    try:
        return list(reader.read(path)), None
    except UsageError as error:
        pytest.fail(f"{path.name} is damaged, which is no UsageError (that would stop the whole add): {error}")
    except Exception as error:
        return [], error
    except BaseException as error:
        pytest.fail(f"{path.name} is damaged and the reader raises {type(error).__name__}, which ends the process")


def decoded(reader: Reader, row: Row) -> Sample | None:
    try:
        return reader.decode(row)
    except Exception:
        return None


def damaged(good: list[Path], damage: str, folder: Path) -> list[Path]:
    """One damaged file for each kind of suffix among the good ones."""
    folder.mkdir(parents=True)
    made = []
    for original in {"".join(path.suffixes): path for path in good}.values():
        path = folder / f"{damage}-{original.name}"
        if damage == "directory":
            path.mkdir()
        else:
            path.write_bytes(harmed(original.read_bytes(), damage))
        made.append(path)
    return made


def harmed(data: bytes, damage: str) -> bytes:
    if damage == "truncated":
        return data[: len(data) // 2]
    return b"" if damage == "empty" else random.Random(damage).randbytes(2048)  # noqa: S311


def is_file(kind: str, value: Any) -> bool:
    return kind == "file" and isinstance(value, Path) and value.is_file()


def content(row: Mapping[str, Any], schema: list[str]) -> tuple[str, ...]:
    """What a row says, of whatever place its file lies in."""
    values = (row[name] for name in schema)
    return tuple(hashlib.sha256(v.read_bytes()).hexdigest() if isinstance(v, Path) else repr(v) for v in values)


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, arrays and all."""
    if hasattr(a, "tobytes") and hasattr(b, "tobytes"):
        return bool((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Path) and isinstance(b, Path):
        return a.read_bytes() == b.read_bytes()
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def clip(value: Any) -> str:
    return f"{value!r:.200}"
