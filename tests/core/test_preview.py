"""A page of rows: words escaped, pictures inside it, nothing fetched."""

import base64
import re

import pytest

from speciate.preview import page, pick


def test_words_on_a_page(workspace, tmp_path, make):
    rows = [{"text": f"<script>alert({i})</script> & more", "label": f"<b>{i % 3}</b>"} for i in range(30)]
    workspace.add("d", make.jsonl(tmp_path / "d.jsonl", rows))
    html = workspace.preview("d", n=6)
    assert html.count("<figure>") == 6
    assert "<script" not in html
    assert "&lt;script&gt;alert(" in html
    assert set(re.findall(r"<b>&lt;b&gt;(\d)", html)) == {"0", "1", "2"}, "every label is there"


def test_a_picture_and_one_that_fails(workspace):
    from speciate import Format, Preview
    from speciate.modality import TEXT

    png = b"\x89PNG\r\n\x1a\n"

    class Reader:
        def schema(self):
            return {"n": "int64"}

        def decode(self, row):
            return {"text": str(1 / row["n"])}

    global look

    def look(row, sample):
        return Preview(png, f"<img src='data:image/png;base64,{base64.b64encode(png).decode()}'>")

    rows = [{"n": n, "label": None, "split": "train", "source": "a<b", "row": n, "id": str(n)} for n in (0, 1)]
    html = page("t", Format("x", "x", TEXT, (), "x:Y", preview=f"{__name__}:look"), Reader(), rows)
    assert html.count("data:image/png") == 1
    assert "cannot be shown: division by zero" in html
    assert "a&lt;b" in html


@pytest.mark.parametrize(("rows", "n", "found"), [(0, 5, 0), (3, 5, 3), (100, 10, 10), (7, 0, 0)])
def test_some_rows(rows, n, found):
    some = [{"id": str(i), "label": "ab"[i % 2]} for i in range(rows)]
    assert len(pick(some, n)) == found
