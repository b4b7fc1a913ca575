"""A small real model (it counts words), and ways to ask a server about it without a port."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

from speciate import TEXT, Format, SpeciateError
from speciate_serving import HttpOptions
from speciate_serving.http import HttpServer
from speciate_serving.inprocess import call


class Words:
    name = "words-1"
    info = {"created": "2026-01-02T03:04:05+00:00", "task": "classify", "labels": ["few", "many"]}  # noqa: RUF012
    format = Format("lines", "one text a line", TEXT, patterns=("*.txt", "*.log"), reader="nowhere:Nothing")

    def __init__(self):
        self.paths, self.calls = [], 0

    def predict_rows(self, rows):
        self.calls += 1
        for row in rows:
            if not isinstance(row.get("text"), str):
                raise SpeciateError("a row has no text", f"it has: {', '.join(row)}", "give it the column text")
        return [{"words": len(row["text"].split())} for row in rows]

    def predict_file(self, path):
        assert path.is_file()
        self.paths.append(path)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise SpeciateError(f"{path} is not text", str(error.reason), "send UTF-8") from error
        return self.predict_rows([{"text": line} for line in lines])


class Slow(Words):
    """Begins, says so, and goes on when it is let."""

    def __init__(self):
        super().__init__()
        self.begun, self.let = threading.Event(), threading.Event()

    def predict_rows(self, rows):
        self.begun.set()
        assert self.let.wait(30)
        return super().predict_rows(rows)


@pytest.fixture
def words():
    return Words()


@pytest.fixture
def slow():
    model = Slow()
    yield model
    model.let.set()


@pytest.fixture
def serve():
    """serve(model, **options): a server of one model, named `words`."""
    return lambda model, **options: HttpServer({"words": model}, HttpOptions(**options))


@pytest.fixture
def server(serve, words):
    return serve(words, max_body_mb=1)


@pytest.fixture
def ask():
    """ask(server, method, path, body, **headers) -> status, content, headers."""

    def ask(server, method, path, body=b"", **headers):
        headers = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("content-type", "application/json")
        answer = asyncio.run(call(server.app, method, path, headers, body))
        is_json = answer.headers["content-type"] == "application/json"
        content = json.loads(answer.body, parse_constant=pytest.fail) if is_json and answer.body else answer.body
        return answer.status, content, answer.headers

    return ask


@pytest.fixture
def form():
    """form(filename, content) -> the body and the content type of a form with one file."""

    def form(filename, content, field="file", kind="text/plain", boundary="sep"):
        name = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{field}"{name}\r\ncontent-type: {kind}\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return body, f"multipart/form-data; boundary={boundary}"

    return form


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """An empty folder where temporary files go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Path(tmp_path)
