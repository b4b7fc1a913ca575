"""The routes: what goes in and what comes out, and the status of every refusal."""

import asyncio
import subprocess
import sys

import pytest

from speciate import SpeciateError, UsageError
from speciate_serving import HttpOptions
from speciate_serving.http import HttpServer

PREDICT = "/v1/predict/words"


def test_one_row(server, ask):
    status, content, headers = ask(server, "POST", PREDICT, {"text": "a b c"})
    assert status == 200
    assert content == {"id": headers["x-request-id"], "model": "words-1", "output": {"words": 3}}


def test_many_rows(server, ask):
    _, content, _ = ask(server, "POST", PREDICT, {"rows": [{"text": "a"}, {"text": "b c"}]})
    assert content["outputs"] == [{"words": 1}, {"words": 2}]
    assert "output" not in content


def test_a_list_of_one_answers_simple_clients_too(server, ask):
    _, content, _ = ask(server, "POST", PREDICT, {"rows": [{"text": "a"}]})
    assert content["outputs"] == [content["output"]] == [{"words": 1}]


def test_ids_are_unique(server, ask):
    assert len({ask(server, "POST", PREDICT, {"text": "a"})[1]["id"] for _ in range(50)}) == 50


def test_raw_file(server, ask, words, temp):
    status, content, _ = ask(server, "POST", PREDICT + "?filename=note.log", b"a b", content_type="text/plain")
    assert (status, content["output"]) == (200, {"words": 2})
    assert words.paths[0].name == "note.log"
    assert not list(temp.iterdir())


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"content_disposition": 'attachment; filename="x.log"'}, "x.log"),
        ({"content_type": "text/plain"}, "input.txt"),
        ({"content_type": "application/x-www-form-urlencoded"}, "input.txt"),
        ({"content_type": "application/octet-stream"}, "input.txt"),
        ({}, "input.txt"),
    ],
)
def test_a_raw_file_gets_a_name(server, ask, words, headers, name):
    assert ask(server, "POST", PREDICT, b"a", **headers)[0] == 200
    assert words.paths[0].name == name


def test_a_file_of_many_rows(server, ask):
    _, content, _ = ask(server, "POST", PREDICT, b"a\nb c\n")
    assert content["outputs"] == [{"words": 1}, {"words": 2}]
    assert "output" not in content


def test_form(server, ask, form, words, temp):
    body, kind = form("my.log", b"a b", field="anything")
    status, content, _ = ask(server, "POST", PREDICT, body, content_type=kind)
    assert (status, content["output"]) == (200, {"words": 2})
    assert words.paths[0].name == "my.log"
    assert not list(temp.iterdir())


HOSTILE = [
    "../../x.txt",
    "/etc/passwd",
    "..",
    "a\x00b.txt",
    "x" * 300 + ".txt",
    "..\\..\\x.txt",
    ".hidden",
    "é/ü.txt",
    "-rf",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("way", ["query", "form"])
def test_a_hostile_name_stays_in_its_folder(server, ask, form, words, temp, name, way):
    from urllib.parse import quote

    if way == "query":
        status, _, _ = ask(server, "POST", f"{PREDICT}?filename={quote(name)}", b"a")
    else:
        body, kind = form(name, b"a")
        status, _, _ = ask(server, "POST", PREDICT, body, content_type=kind)
    assert status in (200, 400) if way == "form" else status == 200
    for path in words.paths:
        assert path.parent.parent == temp.resolve()
        assert len(path.name) <= 100
        assert path.name[0] not in ".-"
    assert not list(temp.iterdir())


def test_health_and_models(server, ask):
    assert ask(server, "GET", "/health")[1] == {"status": "ok", "models": ["words"]}
    assert ask(server, "GET", "/v1/models")[1] == {
        "object": "list",
        "data": [
            {
                "id": "words",
                "object": "model",
                "created": 1767323045,
                "owned_by": "speciate",
                "format": "lines",
                "task": "classify",
                "labels": ["few", "many"],
            }
        ],
    }


def test_metrics(server, ask):
    ask(server, "POST", PREDICT, {"text": "a"})
    ask(server, "POST", PREDICT, b"\xff")
    ask(server, "GET", "/nowhere")
    status, content, headers = ask(server, "GET", "/metrics")
    lines = content.decode().splitlines()
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert 'speciate_requests_total{name="words",code="200"} 1' in lines
    assert 'speciate_requests_total{name="words",code="422"} 1' in lines
    assert 'speciate_requests_total{name="",code="404"} 1' in lines
    assert 'speciate_predict_seconds_count{name="words"} 2' in lines
    assert 'speciate_predict_seconds_bucket{name="words",le="+Inf"} 2' in lines
    assert "speciate_waiting 0" in lines


REFUSED = [
    ("POST", "/v1/predict/wordz", {"text": "a"}, 404, "model_not_found"),
    ("GET", "/nowhere", b"", 404, "not_found"),
    ("POST", "/v1/predict/words/", {"text": "a"}, 404, "not_found"),
    ("GET", PREDICT, b"", 405, "method_not_allowed"),
    ("POST", PREDICT, b"", 400, "empty_body"),
    ("POST", PREDICT, [1], 400, "bad_rows"),
    ("POST", PREDICT, "text", 400, "bad_rows"),
    ("POST", PREDICT, {"rows": []}, 400, "bad_rows"),
    ("POST", PREDICT, {"rows": {"text": "a"}}, 400, "bad_rows"),
    ("POST", PREDICT, {"rows": [{"text": "a"}, "b"]}, 400, "bad_rows"),
    ("POST", PREDICT, {"rows": [{"text": "a"}], "text": "a"}, 400, "bad_rows"),
    ("POST", PREDICT, {"text": {"base64": "?"}}, 400, "bad_rows"),
    ("POST", PREDICT, {"text": {"base64": 3}}, 400, "bad_rows"),
    ("POST", PREDICT, {"text": 3}, 422, "cannot_be_read"),
    ("POST", PREDICT, b"\xff\xfe\xfa", 422, "cannot_be_read"),
    ("POST", PREDICT, b"x" * 2**20 + b"x", 413, "body_too_large"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
def test_refusals_have_one_shape(server, ask, method, path, body, status, code):
    found, content, headers = ask(server, method, path, body)
    error = content["error"]
    assert (found, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "code", "exists", "do"}
    assert error["message"]
    assert headers["x-request-id"]


BAD_JSON = [b"", b"{", b"nul", b'{"text": NaN}', b"[" * 100_000, b"\xff", b'{"text": "\\ud800"}', b"1" * 5000]


@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_what_is_not_json(server, ask, body):
    status, content, _ = ask(server, "POST", PREDICT, body, content_type="application/json; charset=utf-8")
    assert (status, content["error"]["code"]) == (400, "bad_json")


def test_an_unknown_model_is_answered_with_names(server, ask):
    error = ask(server, "POST", "/v1/predict/wrods", {"text": "a"})[1]["error"]
    assert "wrods" in error["message"]
    assert "words" in error["exists"]
    assert "did you mean 'words'?" in error["do"]


def test_405_says_what_is_allowed(server, ask):
    assert ask(server, "GET", PREDICT)[2]["allow"] == "POST"


def test_an_unreadable_file_is_named_as_the_client_knows_it(server, ask, temp):
    error = ask(server, "POST", PREDICT + "?filename=x.txt", b"\xff")[1]["error"]
    assert error["message"] == "x.txt is not text"
    assert not list(temp.iterdir())


@pytest.mark.parametrize(
    ("filename", "content", "kind", "code"),
    [
        (None, b"a", "", "no_file"),
        ("x.txt", b"", "", "empty_body"),
        ("x.txt", b"a", "multipart/form-data", "bad_request"),
        ("x.txt", b"a", "multipart/form-data; boundary=other", "bad_request"),
    ],
)
def test_bad_forms(server, ask, form, filename, content, kind, code):
    body, right = form(filename, content)
    status, content, _ = ask(server, "POST", PREDICT, body, content_type=kind or right)
    assert (status, content["error"]["code"]) == (400, code)


def test_two_files_in_one_form(server, ask, form):
    body, kind = form("x.txt", b"a")
    status, content, _ = ask(server, "POST", PREDICT, body.replace(b"--sep--\r\n", b"") + body, content_type=kind)
    assert (status, content["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("error", [ValueError("secret"), StopIteration(), SystemExit(3), asyncio.CancelledError()])
def test_an_unexpected_error_is_printed_and_not_told(serve, ask, words, caplog, error):
    def fail(rows):
        raise error

    words.predict_rows = fail
    status, content, headers = ask(serve(words), "POST", PREDICT, {"text": "a"})
    assert status == 500
    assert content["error"]["message"] == "internal error"
    assert headers["x-request-id"] in content["error"]["exists"]
    assert "secret" not in str(content)
    assert headers["x-request-id"] in caplog.text
    assert type(error).__name__ in caplog.text


def test_answers_are_json_numbers(serve, ask, words):
    import numpy as np

    odd = {
        "nan": float("nan"),
        "inf": [float("-inf")],
        "np": np.float32(0.5),
        "array": np.array([1.0, np.nan]),
        "half": "\ud800",
    }
    words.predict_rows = lambda rows: [odd]
    _, content, _ = ask(serve(words), "POST", PREDICT, {"text": "a"})
    assert content["output"] == {"nan": None, "inf": [None], "np": 0.5, "array": [1.0, None], "half": "?"}


def test_ask_goes_through_the_app(serve, words):
    server = serve(words, token="secret")
    assert server.ask("words", [{"text": "a b"}, {"text": ""}]) == [{"words": 2}, {"words": 0}]
    with pytest.raises(SpeciateError, match="a row has no text") as caught:
        server.ask("words", [{"texts": "a"}])
    assert caught.value.exists == "it has: texts"
    with pytest.raises(SpeciateError, match="no model named"):
        server.ask("what? 100%", [{"text": "a"}])


def test_ask_inside_an_event_loop(server):
    async def notebook():
        return server.ask("words", [{"text": "a"}])

    assert asyncio.run(notebook()) == [{"words": 1}]


def test_ask_keeps_bytes_and_numbers(serve, words):
    words.predict_rows = lambda rows: [{"same": row == {"b": b"\x00\xff", "x": 0.1 + 0.2, "n": 2**60}} for row in rows]
    assert serve(words).ask("words", [{"b": b"\x00\xff", "x": 0.1 + 0.2, "n": 2**60}]) == [{"same": True}]


def test_models_may_change_while_serving(words, ask):
    models = {}
    server = HttpServer(models, HttpOptions())
    assert ask(server, "POST", PREDICT, {"text": "a"})[0] == 404
    models["words"] = words
    assert ask(server, "POST", PREDICT, {"text": "a"})[0] == 200


@pytest.mark.parametrize("options", [{"max_body_mb": 0}, {"max_waiting": -1}])
def test_limits_that_let_nothing_in(serve, words, options):
    with pytest.raises(UsageError):
        serve(words, **options)


def test_declaring_is_light():
    code = "import sys, speciate_serving as s; s.speciate_servers(); print({'starlette', 'uvicorn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
