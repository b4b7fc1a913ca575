"""Export and import: a whole dataset in one folder that can be trusted, and what others made comes in like the rest."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speciate import SpeciateError, UsageError
from speciate_datasets import export as export_module
from speciate_datasets.blobs import field as blob_field
from speciate_datasets.bring import from_huggingface, from_parquet
from speciate_datasets.contents import parted
from speciate_datasets.export import import_folder
from speciate_datasets.query import Dataset


@pytest.fixture
def exported(workspace, news, tmp_path, monkeypatch):
    """A dataset of two versions, and the folder of the first; in several files."""
    monkeypatch.setattr(export_module, "FILE_BYTES", 1)
    monkeypatch.setattr("speciate_datasets.scan.BATCH", 50)
    workspace.add("news", news, options={})
    return Dataset(workspace.engine, "news").export(tmp_path / "out" / "news")


def rows_of(workspace, name):
    dataset = Dataset(workspace.engine, name)
    return sorted(dataset.select("digest", *dataset.columns).rows(), key=lambda row: row["id"])


def test_a_dataset_moves_house(workspace, exported, tmp_path, make):
    import speciate

    moved = shutil.copytree(exported, tmp_path / "elsewhere")
    assert len(list(moved.glob("*.parquet"))) > 2
    other = speciate.open(tmp_path / "other", quiet=True)
    version = import_folder(other.engine, moved)
    assert rows_of(other, "news") == rows_of(workspace, "news")
    mine, theirs = (ws.engine.rows("datasets")[-1] for ws in (workspace, other))
    same = ("name", "rows", "content", "format", "options", "target", "group", "labels", "splits")
    assert {k: mine[k] for k in same} == {k: theirs[k] for k in same}
    assert (theirs["version"], theirs["kind"]) == (version, "import")
    again = other.add("news", tmp_path / "news.jsonl")
    assert (again.added, again.unchanged) == (0, 240), "ids are the same, so nothing is new"
    assert other.run("text/probe-hash", dataset="news").scores
    assert "tmp" not in json.dumps(json.loads((moved / "manifest.json").read_text()))


def test_it_can_have_another_name_and_must_be_new(workspace, exported):
    import_folder(workspace.engine, exported, "copy")
    assert rows_of(workspace, "copy") == rows_of(workspace, "news")
    with pytest.raises(UsageError, match="there already"):
        import_folder(workspace.engine, exported)
    with pytest.raises(UsageError, match="cannot name"):
        import_folder(workspace.engine, exported, "../evil")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def about(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def first(folder, **changes):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    about(folder, files=[{**files[0], **changes}, *files[1:]])


DAMAGE = {
    "a bit": lambda folder: flip(folder / "rows-00001.parquet"),
    "a file": lambda folder: (folder / "rows-00001.parquet").unlink(),
    "cut short": lambda folder: (folder / "rows-00000.parquet").write_bytes(b"PAR1"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"speciate_export": 1'),
    "a newer layout": lambda folder: about(folder, speciate_export=2),
    "a record that lacks": lambda folder: about(folder, dataset={"name": "news"}),
    "no record": lambda folder: about(folder, dataset=None),
    "one file fewer": lambda folder: about(
        folder, files=json.loads((folder / "manifest.json").read_text())["files"][1:]
    ),
    "a way out": lambda folder: first(folder, path="../../secret.parquet"),
    "not a list": lambda folder: about(folder, files="x"),
    "a list": lambda folder: (folder / "manifest.json").write_text("[]"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_refused(workspace, exported, what):
    DAMAGE[what](exported)
    with pytest.raises(SpeciateError):
        import_folder(workspace.engine, exported, "copy")
    with pytest.raises(UsageError, match="no dataset named"):
        Dataset(workspace.engine, "copy")


def test_a_refused_import_can_be_repeated(workspace, exported, tmp_path):
    whole = shutil.copytree(exported, tmp_path / "whole")
    DAMAGE["one file fewer"](exported)
    with pytest.raises(SpeciateError, match="does not hold what it says"):
        import_folder(workspace.engine, exported, "copy")
    import_folder(workspace.engine, whole, "copy")
    assert rows_of(workspace, "copy") == rows_of(workspace, "news")


def test_only_a_whole_version_is_exported(workspace, exported, tmp_path):
    dataset = Dataset(workspace.engine, "news")
    for part in (dataset.split("test"), dataset.select("id"), dataset.sample(3), dataset.map(dict)):
        with pytest.raises(UsageError, match="whole version"):
            part.export(tmp_path / "part")
    with pytest.raises(UsageError, match="is there already"):
        dataset.export(exported)
    assert not (tmp_path / "part").exists()


def test_large_content_goes_along(workspace, exported, tmp_path):
    store = workspace.engine.store
    ids = Dataset(workspace.engine, "news").select("id").sample(3).ids()
    contents = {ids[0]: b"x" * 200_000, ids[1]: b"", ids[2]: None}
    key = store.schema("dataset.news").field("id")
    schema = pa.schema([key, pa.field("content", pa.large_binary(), metadata=export_module.BLOB)])
    content = pa.table([list(contents), list(contents.values())], schema=schema)
    store._keep("content.news", parted(content)[1])
    record = {**workspace.engine.rows("datasets")[-1], "version": store.version("dataset.news")}
    workspace.engine.append("datasets", [record])
    dataset = Dataset(workspace.engine, "news")
    assert "content" not in dataset.columns
    import_folder(workspace.engine, dataset.export(tmp_path / "large"), "copy")
    copy = Dataset(workspace.engine, "copy")
    assert {r["id"]: r["content"] for r in copy.select("id", "content") if r["id"] in contents} == contents
    assert copy._rows.schema().field("content").type == blob_field("content").type


# --- from others --------------------------------------------------------------------------------------------------


def test_from_parquet(workspace, tmp_path, make):
    pq.write_table(pa.Table.from_pylist(make.rows(30)), tmp_path / "x.parquet")
    added = from_parquet(workspace.add, tmp_path / "x.parquet", "d")
    assert (added.added, added.target, set(added.labels)) == (30, "label", {"oil", "grain", "money"})


def hugging_face(folder, tables, **info):
    """What save_to_disk writes."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(tables):05d}.arrow" for i in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": info}))
    return folder


CLASSES = {"label": {"names": ["grain", "oil"], "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}


def table(start, n):
    return pa.table({"text": [f"text {i}" for i in range(start, start + n)], "label": [i % 3 - 1 for i in range(n)]})


def test_from_hugging_face(workspace, tmp_path):
    added = from_huggingface(workspace.add, hugging_face(tmp_path / "hf", [table(0, 9), table(9, 9)], **CLASSES), "d")
    assert added.added == 18
    assert added.labels == {"grain": 6, "oil": 6}
    again = from_huggingface(workspace.add, tmp_path / "hf", "d")
    assert (again.added, again.version) == (0, added.version)


def test_splits_of_hugging_face_are_kept(workspace, tmp_path):
    folder = tmp_path / "hf"
    for i, split in enumerate(["train", "validation", "test"]):
        hugging_face(folder / split, [table(100 * i, 10)], **CLASSES)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    added = from_huggingface(workspace.add, folder, "d")
    assert added.splits == {"train": 10, "dev": 10, "test": 10}
    texts = {row["text"] for row in Dataset(workspace.engine, "d").split("dev")}
    assert texts == {f"text {i}" for i in range(100, 110)}


def test_what_is_no_folder_of_hugging_face(workspace, tmp_path):
    with pytest.raises(UsageError, match="no dataset of Hugging Face"):
        from_huggingface(workspace.add, tmp_path, "d")
    folder = hugging_face(tmp_path / "hf", [table(0, 3)])
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../hf/data-00000-of-00001.arrow"}]}))
    with pytest.raises(SpeciateError, match="damaged"):
        from_huggingface(workspace.add, folder, "d")
    broken = hugging_face(tmp_path / "hf2", [table(0, 3)])
    (broken / "data-00000-of-00001.arrow").write_bytes(b"nothing")
    with pytest.raises(SpeciateError, match="cannot read"):
        from_huggingface(workspace.add, broken, "d")
    (tmp_path / "hf3").mkdir()
    (tmp_path / "hf3" / "dataset_dict.json").write_text(json.dumps({"splits": [".."]}))
    with pytest.raises(SpeciateError, match="damaged"):
        from_huggingface(workspace.add, tmp_path / "hf3", "d")
