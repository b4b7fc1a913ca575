"""The Dataset people curate with: what it reads is right, filters only read, and each change is a version."""

import base64
import json
import random
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speciate import SpeciateError, UsageError
from speciate_datasets import scan as scan_module
from speciate_datasets.query import Dataset


@pytest.fixture
def truth(workspace, tmp_path, make):
    """A dataset with numbers in it, and its rows as the engine gives them."""
    numbers = random.Random(3)
    rows = [{**row, "duration": numbers.random() * 10, "camera": numbers.choice("abc")} for row in make.rows(300)]
    workspace.add("news", make.jsonl(tmp_path / "news.jsonl", rows))
    return {row["id"]: row for row in workspace.engine.dataset("news").rows()}


@pytest.fixture
def news(workspace, truth):
    return Dataset(workspace.engine, "news")


@pytest.fixture
def edit(workspace):
    if not hasattr(workspace.engine, "edit"):
        pytest.skip("this engine cannot edit")


def picked(dataset):
    return [row["id"] for row in dataset]


# --- reading ------------------------------------------------------------------------------------------------------


def test_filters_choose_what_they_say(news, truth):
    mine = {i for i, row in truth.items() if row["label"] == "oil" and row["duration"] > 2}
    assert set(picked(news.filter("label = 'oil' and duration > 2"))) == mine
    both = news.filter("label = 'oil'").filter("duration > 2 or camera = 'a'").split("train")
    wanted = {
        i
        for i, r in truth.items()
        if r["label"] == "oil" and (r["duration"] > 2 or r["camera"] == "a") and r["split"] == "train"
    }
    assert set(picked(both)) == wanted
    assert both.count() == len(both) == len(wanted)


def test_every_way_out_gives_the_same_rows(news, truth, tmp_path):
    some = news.filter("camera = 'a'").select("id", "text", "duration")
    rows = some.rows()
    assert rows == [{k: truth[r["id"]][k] for k in ("id", "text", "duration")} for r in rows]
    assert some.to_arrow().to_pylist() == rows == list(some)
    assert [row for part in some.batches(7) for row in part.to_pylist()] == rows
    assert max(part.num_rows for part in some.batches(7)) <= 7
    assert pq.read_table(some.to_parquet(tmp_path / "a" / "x.parquet")).to_pylist() == rows
    assert [json.loads(line) for line in some.to_jsonl(tmp_path / "x.jsonl").read_text().splitlines()] == rows
    assert some.head(4) == rows[:4]
    assert some.schema.names == some.columns == ["id", "text", "duration"]
    assert picked(news) == picked(news), "rows of a version come in one order"


def test_it_is_lazy_and_immutable(news, monkeypatch):
    before = news.columns

    def read(*_):
        raise AssertionError("something was read")

    with monkeypatch.context() as patch:
        patch.setattr(scan_module.Scan, "batches", read)
        patch.setattr(scan_module.Scan, "read", read)
        steps = news.filter("duration > 2").select("id", "text").sample(3).map(lambda row: row).filter("id > '0'")
    assert steps.count() == 3
    assert news.columns == before
    with pytest.raises(AttributeError):
        news.name = "other"


def test_what_is_ours_alone_is_hidden_unless_selected(workspace, news):
    one = workspace.engine.dataset("news")
    one.features("k", one.rows(), 2, lambda rows: [[1.0, 2.0]] * len(rows))
    workspace.engine.append(
        "datasets", [{**workspace.engine.rows("datasets")[-1], "version": one.store.version("dataset.news")}]
    )
    newer = Dataset(workspace.engine, "news")
    assert not {"digest", "near", "features_k"} & {*newer.columns, *newer.head(1)[0]}
    assert newer.select("features_k", "digest").head(1)[0]["features_k"] == [1.0, 2.0]


def test_a_sample_is_seeded_and_does_not_depend_on_the_order(news, truth):
    assert picked(news.sample(20)) == picked(news.sample(20))
    assert picked(news.sample(20)) != picked(news.sample(20, seed=1))
    assert picked(news.sample(20)) == picked(news.sample(200))[:20]
    assert sorted(picked(news.sample(999))) == sorted(truth)
    assert set(picked(news.filter("camera = 'a'").sample(5))) <= set(picked(news.filter("camera = 'a'")))
    assert news.sample(4, by="camera").counts("camera") == dict.fromkeys("abc", 4)
    assert news.sample(0).rows() == []
    after = [i for i in picked(news.sample(50)) if truth[i]["camera"] == "a"]
    assert picked(news.sample(50).filter("camera = 'a'")) == after
    halves = [len(set(picked(news.sample(100, seed=s))) & set(picked(news.sample(100, seed=s + 99)))) for s in range(9)]
    assert 20 < sum(halves) / 9 < 46, "independent samples of a third share a ninth"


def test_steps_after_a_map(news, truth):
    long = news.map(lambda row: {"id": row["id"], "size": len(row["text"])} if row["camera"] == "a" else None)
    sizes = {i: len(row["text"]) for i, row in truth.items() if row["camera"] == "a"}
    assert {row["id"]: row["size"] for row in long} == sizes
    assert set(picked(long.filter("size > 80"))) == {i for i, size in sizes.items() if size > 80}
    assert long.select("size").columns == ["size"]
    assert long.sample(3, seed=1).count() == 3
    with pytest.raises(UsageError, match="no column named 'text'"):
        long.select("text").rows()
    with pytest.raises(UsageError, match="returns a row"):
        news.map(lambda row: row["text"]).rows()
    with pytest.raises(TypeError):
        len(long)


def test_a_column_that_is_empty_at_first_can_be_written(news, tmp_path):
    seen = []
    odd = news.map(lambda row: {"n": None if seen.append(0) or len(seen) < 290 else "late"})
    assert pq.read_table(odd.to_parquet(tmp_path / "x.parquet"))["n"].null_count >= 200


def test_join(news, truth):
    cameras = [{"camera": "a", "maker": "x", "text": 1}, {"camera": "b", "maker": "y", "text": 2}]
    makers = {"a": "x", "b": "y"}
    left = news.join(cameras, on="camera").rows()
    assert [row["id"] for row in left] == picked(news)
    assert {row["id"]: row["maker"] for row in left} == {i: makers.get(r["camera"]) for i, r in truth.items()}
    assert all(row["text"] == truth[row["id"]]["text"] for row in left)
    assert news.join(pa.Table.from_pylist(cameras), ["camera"], how="inner").counts("maker").keys() == {"x", "y"}
    assert news.join(news.filter("camera = 'a'").select("id", "row"), on="id", how="inner").count() == len(
        news.filter("camera = 'a'")
    )
    for wrong in (lambda: news.join(cameras, on="nosuch"), lambda: news.join(cameras, "camera", how="cross")):
        with pytest.raises(UsageError):
            wrong().rows()
    with pytest.raises(UsageError, match="cannot join on camera"):
        news.join([{"camera": 1.5}], on="camera").rows()


def test_sql(news, truth, tmp_path):
    pytest.importorskip("duckdb")
    counts = news.filter("duration > 2").sql(
        "select camera, count(*) as n from dataset group by camera order by camera"
    )
    wanted = {c: sum(r["duration"] > 2 and r["camera"] == c for r in truth.values()) for c in "abc"}
    assert {row["camera"]: row["n"] for row in counts} == wanted
    assert news.sql("select a.id from dataset a join dataset b on a.id = b.id").count() == 300
    assert news.sql("select * from dataset where false").rows() == []
    out = tmp_path / "stolen.csv"
    for hostile in (
        f"copy dataset to '{out}'",
        "select * from read_csv('/etc/passwd')",
        "set enable_external_access = true",
    ):
        with pytest.raises(UsageError, match="cannot run"):
            news.sql(hostile).rows()
    assert not out.exists()


def test_sql_says_what_to_install(news, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(SpeciateError) as caught:
        news.sql("select 1").rows()
    assert "speciate[sql]" in caught.value.do


def test_jsonl_writes_json(news, tmp_path):
    odd = news.head(1)
    made = news.filter(f"id = '{odd[0]['id']}'").map(lambda row: {"b": b"\xff", "n": float("nan")})
    assert json.loads(made.to_jsonl(tmp_path / "x.jsonl").read_text()) == {
        "b": base64.b64encode(b"\xff").decode(),
        "n": None,
    }


def test_nothing_half_written_is_left(news, tmp_path):
    def dies(row):
        raise RuntimeError("no")

    for write in (news.map(dies).to_parquet, news.map(dies).to_jsonl):
        with pytest.raises(RuntimeError):
            write(tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_an_empty_selection(news, tmp_path):
    none = news.filter("duration > 99")
    assert (none.count(), len(none), none.rows(), none.head(), none.ids()) == (0, 0, [], [], [])
    assert none.schema == news.schema
    assert none.sample(3).rows() == none.sample(3, by="label").rows() == []
    assert none.map(dict).rows() == none.join([{"camera": "a"}], on="camera").rows() == []
    assert none.filter("camera = 'a'").map(dict).filter("x > 1").rows() == []
    assert pq.read_table(none.to_parquet(tmp_path / "x.parquet")).schema.names == news.columns
    assert "0 rows" in repr(none)
    assert "<table>" in none._repr_html_()


# --- hostile text -------------------------------------------------------------------------------------------------

HOSTILE = [
    "true) or (true",
    "true) --",
    "true --",
    "true /*",
    "label = 'x'; drop table news",
    "') or ('' = '",
    "$$ ' $$ ) or (true or $$ ' $$",
    "'",
    "(",
    "",
    "   ",
    "camera = 'a') or (camera = 'b",
    "delete from news",
    "id in (select id from news)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_filter_widens_nothing_and_changes_nothing(workspace, news, truth, text):
    version = workspace.engine.store.version("dataset.news")
    for where in (news.split("test"), news.sample(10)):
        with pytest.raises(UsageError) as caught:
            where.filter(text).rows()
        assert caught.value.exists
        assert caught.value.do
    with pytest.raises(UsageError):
        news.map(dict).filter(text).rows()
    assert workspace.engine.store.version("dataset.news") == version
    assert set(picked(Dataset(workspace.engine, "news"))) == set(truth)


def test_quotes_that_are_closed_are_text(news):
    for text in ("text = 'a ; b -- c /* ( $ '", "text = 'it''s'", "`camera` = 'a'", "text <> ')'", r"text = '\'"):
        assert news.filter(text).count() <= 300


def test_errors_name_the_columns(news):
    with pytest.raises(UsageError, match="no column named 'duratoin'") as caught:
        news.filter("duratoin > 2").count()
    assert "did you mean 'duration'" in caught.value.do
    assert "camera" in caught.value.exists
    for wrong in (lambda: news.select("nosuch"), lambda: news.sample(3, by="nosuch"), news.select):
        with pytest.raises(UsageError):
            wrong()
    for wrong in ("label = ", "1", "duration > 'x' and", "label"):
        with pytest.raises(UsageError, match="cannot filter") as caught:
            news.filter(wrong).count()
        assert "camera" in caught.value.exists
    with pytest.raises(UsageError, match="no split named"):
        news.split("everything")


def test_a_dataset_that_is_not_there(workspace, news):
    with pytest.raises(UsageError, match="no dataset named 'new'"):
        Dataset(workspace.engine, "new")
    with pytest.raises(UsageError, match="no version of news"):
        Dataset(workspace.engine, "news", 99)


def test_odd_column_names(workspace, tmp_path, make):
    names = ["a b", "select", "ü", "x'y", 'q"q', "<b>", "UPPER"]
    rows = [{**row, **dict.fromkeys(names, i)} for i, row in enumerate(make.rows(20))]
    workspace.add("odd", make.jsonl(tmp_path / "odd.jsonl", rows))
    odd = Dataset(workspace.engine, "odd")
    assert set(names) <= set(odd.columns)
    for name in names:
        assert odd.filter(f"`{name}` < 5").count() == 5
        assert odd.select(name, "id").sample(3).count() == 3
        assert odd.counts(name)["7"] == 1


# --- changing -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("edit")
def test_relabel_one_label_for_all(workspace, news, truth):
    some = news.filter("camera = 'a'")
    newer = some.relabel("odd", why="looked")
    assert newer.version > news.version
    assert {r["id"]: r["label"] for r in newer} == {
        i: "odd" if r["camera"] == "a" else r["label"] for i, r in truth.items()
    }
    assert {r["id"]: r["label"] for r in news} == {i: r["label"] for i, r in truth.items()}, "the old version stays"
    assert workspace.engine.rows("datasets")[-1]["why"].startswith("looked")
    assert Dataset(workspace.engine, "news").version == newer.version


@pytest.mark.usefixtures("edit")
def test_relabel_by_id_and_drop_and_with_column(news, truth):
    one, two, *_ = sorted(truth)
    newer = news.relabel({one: "x", two: None})
    labels = {row["id"]: row["label"] for row in newer}
    assert (labels[one], labels[two]) == ("x", None)
    with pytest.raises(UsageError, match="not there"):
        news.filter("camera = 'a'").relabel({i: "x" for i, r in truth.items() if r["camera"] == "b"})
    fewer = newer.sample(10).drop(why="bad")
    assert set(picked(fewer)) == set(truth) - set(picked(newer.sample(10)))
    assert newer.count() == 300
    marked = fewer.with_column("size", lambda row: len(row["text"]), why="for filters")
    assert {r["id"]: r["size"] for r in marked} == {i: len(truth[i]["text"]) for i in picked(fewer)}
    some = marked.filter("camera = 'a'")
    noted = some.with_column("note", list(range(some.count())))
    assert {r["id"]: r["note"] for r in noted if r["note"] is not None} == {i: n for n, i in enumerate(picked(some))}


@pytest.mark.usefixtures("edit")
def test_no_rows_make_no_version(news):
    none = news.filter("duration > 99")
    assert none.relabel("x").version == none.drop().version == none.with_column("n", []).version == news.version


def test_columns_that_nobody_may_set(news):
    for name in ("id", "label", "features_k", "near", "a.b", "_x", "", "a`b"):
        with pytest.raises(UsageError, match="cannot name a column"):
            news.with_column(name, lambda row: 1)
    with pytest.raises(UsageError, match="a value for each row"):
        news.with_column("n", [1, 2])
    with pytest.raises(UsageError, match="no id"):
        news.map(lambda row: {"x": 1}).drop()


# --- looking ------------------------------------------------------------------------------------------------------


def test_repr_says_what_it_is(news):
    said = repr(news)
    for word in (f"news@{news.version}", "300 rows", "camera", "oil", "train"):
        assert word in said
    assert "steps to run" in repr(news.map(dict))


def test_html_escapes_everything(workspace, tmp_path, make):
    evil = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
    rows = [{"text": f"{evil} {i}", "label": evil, evil: evil} for i in range(20)]
    workspace.add("evil", make.jsonl(tmp_path / "evil.jsonl", rows))
    html = Dataset(workspace.engine, "evil")._repr_html_()
    assert html.count("<tr>") == 11
    seen = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append((tag, tuple(name for name, _ in attributes)))
    parser.feed(html)
    plain = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert {tag for tag, _ in seen} == plain, "only our own tags"
    assert {names for _, names in seen} == {(), ("style",)}, "no attribute but style"
