"""The text reader: every kind of file, every way to be broken, and a round trip of whatever rows there are."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import speciate
from speciate import SpeciateError, UsageError
from speciate_text import files, speciate_formats
from speciate_text.example import ROWS, write
from speciate_text.options import TextOptions
from speciate_text.reader import TextReader


def rows(path: Path, **options):
    return list(TextReader(TextOptions(**options)).read(path))


def refused(path: Path, *parts: str, kind=SpeciateError, **options) -> SpeciateError:
    """It is refused, in three parts, with these words."""
    with pytest.raises(kind) as caught:
        rows(path, **options)
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.asked
    assert caught.value.do
    return caught.value


@pytest.fixture
def put(tmp_path: Path):
    def put(name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return put


# --- good files ---------------------------------------------------------------------------------------------------


def test_examples_of_every_kind_read_the_same(tmp_path):
    paths = write(tmp_path)
    assert {path.suffix for path in paths} == {".jsonl", ".csv", ".tsv", ".parquet", ".txt"}
    for path in paths[:4]:
        read = rows(path)
        assert [row["label"] for row in read] == [row["label"] for row in ROWS]
        assert [row["site"] for row in read] == ["north", "north", "süd", "süd"]
        assert all(row["text"].startswith(known["text"]) for row, known in zip(read, ROWS, strict=True))
    assert [rows(path)[0]["folder"] for path in paths[4:]] == ["fault", "fine", "fault", "fine"]


def test_decode_gives_the_modality(tmp_path):
    (form,) = speciate_formats()
    reader = TextReader(TextOptions())
    for path in write(tmp_path):
        for row in reader.read(path):
            assert set(reader.schema()) <= set(row)
            assert form.modality.problems(reader.decode(row)) == []


def test_patterns_match_what_they_say():
    (form,) = speciate_formats()
    assert form.modality is speciate.TEXT
    assert "*.csv.gz" in form.patterns
    assert "*.parquet.gz" not in form.patterns


@pytest.mark.parametrize("column", ["text", "Sentence", "CONTENT", "body", "review", "title"])
def test_the_text_column_is_found(put, column):
    assert rows(put("a.csv", f"label,{column}\nx,hello\n")) == [{"text": "hello", "label": "x"}]


def test_the_first_likely_column_wins_and_is_not_repeated(put):
    assert rows(put("a.jsonl", '{"title": "t", "body": "b"}')) == [{"text": "b", "title": "t"}]
    assert rows(put("a.jsonl", '{"title": "t", "text": "b"}'), text="TITLE") == [{"text": "t", "text_": "b"}]


def test_names_of_the_store_are_kept_free(put):
    line = json.dumps({"text": "a", "id": 1, "source": 2, "source_": 3, "row": 4, "added_in": 5, "": 6, "label": "x"})
    assert rows(put("a.jsonl", line)) == [
        {"text": "a", "id_": 1, "source__": 2, "source_": 3, "row_": 4, "added_in_": 5, "column": 6, "label": "x"}
    ]


def test_values_keep_their_types_and_nested_ones_become_json(put):
    line = '{"text": 3.5, "n": 1, "ok": true, "none": null, "tags": ["ä"], "meta": {"k": [1]}}'
    expected = {"text": "3.5", "n": 1, "ok": True, "none": None, "tags": '["ä"]', "meta": '{"k": [1]}'}
    assert rows(put("a.jsonl", line + "\n\n")) == [expected]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_encodings(put, encoding, name):
    content = {"a.csv": "text,label\nsüß,x\n", "a.jsonl": '{"text": "süß", "label": "x"}\n', "a.txt": "süß"}[name]
    option = "utf-8" if encoding == "utf-8-sig" else encoding
    assert rows(put(name, content, encoding), encoding=option)[0]["text"] == "süß"


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.text("a\r\n\ufeffé😀", max_size=12), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
)
def test_short_and_long_documents_are_read_alike(text, encoding):
    """As a text file is: its lines end in one sign, a byte order mark is none of it."""
    data = f"x{text}".encode(encoding, "ignore")
    found = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        path = Path(folder) / "a.txt"
        path.write_bytes(data)
        for short in (1 << 16, len(data), 4):
            patched.setattr(files, "SHORT", short)
            found.append(rows(path, encoding=encoding)[0]["text"])
        plain = path.read_text(encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    assert found == [plain] * 3


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t"), ("a.csv", ",")])
def test_delimiters_are_found(put, name, mark):
    assert rows(put(name, f"text{mark}label\nhello{mark}x\n")) == [{"text": "hello", "label": "x"}]


@pytest.mark.parametrize("given_as", ["tab", "\\t", "\t"])
def test_delimiters_can_be_given(put, given_as):
    assert rows(put("a.csv", "text\ta,b\nhello\tx\n"), delimiter=given_as) == [{"text": "hello", "a,b": "x"}]
    refused(put("a.csv", "text\nx"), "one character", kind=UsageError, delimiter="||")


def test_csv_of_other_systems(put):
    assert [r["text"] for r in rows(put("a.csv", 'text\r\n"two\r\nlines"\r\n\r\nlast'))] == ["two\r\nlines", "last"]
    assert rows(put("a.csv", ",text\n0,hello\n")) == [{"column_1": "0", "text": "hello"}]
    long = "x" * 300_000
    assert rows(put("a.csv", f"text,label\n{long},y\n"))[0]["text"] == long


def test_gzip(put):
    assert rows(put("a.csv.gz", gzip.compress(b"text,label\nhello,x\n"))) == [{"text": "hello", "label": "x"}]
    assert rows(put("b.TXT.gz", gzip.compress(b"hello")))[0]["text"] == "hello"


def test_parquet_without_its_suffix_and_with_odd_types(tmp_path):
    import datetime

    day = datetime.date(2024, 5, 1)
    table = pyarrow.table({"content": ["a", "b"], "day": [day, day], "tags": [["x"], None]})
    parquet.write_table(table, tmp_path / "rows.dat")
    first, second = rows(tmp_path / "rows.dat")
    assert first == {"text": "a", "day": "2024-05-01", "tags": '["x"]'}
    assert second["tags"] is None


def test_reading_is_lazy(put):
    reader = TextReader(TextOptions()).read(put("a.jsonl", '{"text": "fine"}\nbroken\n'))
    assert next(reader) == {"text": "fine"}
    with pytest.raises(SpeciateError, match="line 2"):
        next(reader)


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)
table = st.lists(st.tuples(cell.filter(lambda t: bool(t.strip())), cell), min_size=1, max_size=8)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(table)
def test_jsonl_round_trip(tmp_path, rows_in):
    known = [{"text": text, "note": note} for text, note in rows_in]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known), encoding="utf-8")
    assert rows(tmp_path / "a.jsonl") == known


@quick
@given(table, st.sampled_from([",", ";", "\t"]))
def test_csv_round_trip(tmp_path, rows_in, mark):
    known = [{"text": text, "note": note} for text, note in rows_in]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["text", "note"], delimiter=mark)
    writer.writeheader()
    writer.writerows(known)
    (tmp_path / "a.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    assert rows(tmp_path / "a.csv") == known


# --- bad files ----------------------------------------------------------------------------------------------------


def test_wrong_encoding_names_the_byte(put):
    far = b'{"text": "ok"}\n' * 9000
    refused(put("a.jsonl", far + b'{"text": "\xe9"}\n'), f"0xe9 at offset {len(far) + 10}", "-o encoding=latin-1")
    refused(put("a.csv", "text\nhä\n".encode("utf-16")), "-o encoding=utf-16")
    refused(put("a.txt", b"caf\xe9"), "0xe9 at offset 3")
    refused(put("a.txt", "ä".encode()[:1]), "0xc3 at offset 0")
    refused(put("a.txt", b"x"), "no encoding named 'utf-9'", kind=UsageError, encoding="utf-9")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.txt"])
def test_empty_file(put, name):
    refused(put(name, ""), f"{name} is empty")


@pytest.mark.parametrize("content", ["text,label\n", "\ntext,label\n\n", "text,label"])
def test_header_only(put, content):
    refused(put("a.csv", content), "a.csv is empty", "under its header")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1]\n", "holds a JSON array"),
        ('"text"\n', "is a str"),
        ("{oops}\n", "is not JSON"),
        ('{"text": "\\ud800"}\n', "no valid text"),
        ("[" * 100_000 + "\n", "nested too deeply"),
    ],
)
def test_a_json_line_that_is_no_object(put, line, says):
    refused(put("a.jsonl", '{"text": "ok"}\n\n' + line), says)


def test_a_json_array_is_recognised(put):
    refused(put("a.jsonl", json.dumps(ROWS, indent=1)), "holds a JSON array", "jq -c")
    refused(put("a.jsonl", json.dumps(ROWS)), "holds a JSON array")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\na,b\nc,d,e\n", "line 3 of a.csv has 3 fields"),
        ('text,label\n"a\nb",c\nd\n', "line 4 of a.csv has 1 fields"),
        ('text,label\na,b\n"never closed,c\n', "line 3 of a.csv is broken"),
        ("text,text\na,b\n", "names a column twice"),
        ("text,label\na\0,b\n", "NUL"),
    ],
)
def test_broken_csv(put, content, says):
    refused(put("a.csv", content), says)


def test_missing_text_column(put):
    refused(put("a.csv", "txet,label\na,b\n"), "its columns are: label, txet", "did you mean 'txet'?", "-o text=COLUMN")
    refused(put("a.csv", "text,label\na,b\n"), "no column 'lable'", "did you mean 'label'?", text="lable")


@pytest.mark.parametrize("line", ['{"a": 1, "b": 2}', '{"text": null, "a": 1, "b": 2}'])
def test_a_row_without_text(put, line):
    refused(put("a.jsonl", '{"text": "x"}\n' + line), "line 2 of a.jsonl has no text", "a, b", "-o text=COLUMN")


@pytest.mark.parametrize("value", ['""', '" \\n "', "[]", "{}"])
def test_a_row_with_a_useless_text(put, value):
    refused(put("a.jsonl", '{"text": "x"}\n{"text": ' + value + "}"), "line 2 of a.jsonl has no text")


def test_blank_document(put):
    refused(put("a.txt", " \n"), "a.txt has no text")


def test_truncated_gzip(put):
    whole = gzip.compress(b"text\n" + bytes(range(65, 91)) * 50)
    refused(put("a.csv.gz", whole[:-9]), "cut off gzip")
    refused(put("b.csv.gz", b"text\nhello\n"), "cut off gzip")


def test_a_gzip_that_is_damaged_behind_what_is_no_text(put):
    whole = bytearray(gzip.compress(b"text\n\xff" + bytes(20_000)))
    whole[-8] ^= 1  # its sum
    refused(put("a.csv.gz", bytes(whole)), "damaged or cut off gzip")


def test_sums_in_parquet_are_checked(put):
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["pump stops"]}), out, compression="none", write_page_checksum=True)
    changed = out.getvalue().replace(b"pump stops", b"pump stays", 1)
    refused(put("a.parquet", changed), "no readable Parquet", "CRC")


def test_corrupt_parquet(tmp_path, put):
    whole = write(tmp_path)[3].read_bytes()
    refused(put("a.parquet", whole[:-20]), "no readable Parquet")
    refused(put("b.parquet", b"not at all"), "no readable Parquet")


def parquet_of(texts, **how):
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": texts}), out, compression="zstd", **how)
    return out.getvalue()


def test_parquet_bombs_do_not_go_off(put, monkeypatch):
    """A few kilobytes that say one long text a hundred thousand times, or a text that is too long."""
    monkeypatch.setattr(files, "LIMIT", 1 << 20)
    one = pyarrow.array(["x" * 500_000])
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100_000, pyarrow.int32()), one)
    data = parquet_of(many, store_schema=False)
    assert len(data) < 10_000
    before = pyarrow.total_allocated_bytes()
    reading = TextReader(TextOptions()).read(put("a.parquet", data))
    assert len(next(reading)["text"]) == 500_000
    assert pyarrow.total_allocated_bytes() - before < 1 << 24
    reading.close()
    refused(put("b.parquet", parquet_of(["x" * (5 << 20)])), "row 1 of b.parquet is too long")


def test_binary_document(put):
    refused(put("a.txt", b"MZ\0\0\x01"), "NUL bytes")


def test_a_line_without_end_does_not_fill_the_memory(put, monkeypatch):
    monkeypatch.setattr("speciate_text.files.LIMIT", 1000)
    refused(put("a.jsonl", '{"text": "' + "x" * 2000), "line 1 of a.jsonl is too long")
    refused(put("a.txt", "x" * 2000), "a.txt is too long")
