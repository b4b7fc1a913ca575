"""Answers in pieces: what is sent, what an error looks like, and that who goes away is no longer worked for."""

import http.client
import json
import threading
import time
from contextlib import closing, contextmanager

import pytest

from speciate import SpeciateError
from speciate_serving import HttpOptions
from speciate_serving.http import HttpServer


def events(body):
    """(name, content) of each event."""
    found = []
    for block in body.decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


@pytest.fixture
def talker(words):
    """Says what it is told, word by word; `drop` in it is a failure."""

    class Talker(type(words)):
        said = 0

        def stream(self, row):
            if "text" not in row:
                raise SpeciateError("a row has no text", "", "give it the column text")
            for word in row["text"].split():
                if word == "drop":
                    raise RuntimeError("broken")
                type(self).said += 1
                yield f"{word} "
                time.sleep(0.002)

    return Talker()


@pytest.fixture
def address(talker):
    """A real server on a port of its own."""
    server, found = HttpServer({"words": talker}, HttpOptions(max_waiting=4)), []
    ready = threading.Event()
    run = threading.Thread(target=server.run, args=("127.0.0.1", 0, lambda url: (found.append(url), ready.set())))
    run.start()
    assert ready.wait(30)
    yield found[0].removeprefix("http://")
    server.stop()
    run.join(30)


@contextmanager
def post(address, row):
    connection = http.client.HTTPConnection(address, timeout=30)
    with closing(connection):
        connection.request("POST", "/v1/predict/words/stream", json.dumps(row), {"content-type": "application/json"})
        with closing(connection.getresponse()) as response:
            yield response


def test_pieces_come_as_events_and_the_whole_comes_last(address):
    with post(address, {"text": "one two three"}) as response:
        assert response.status == 200
        assert response.getheader("content-type").startswith("text/event-stream")
        *pieces, (name, whole) = events(response.read())
        assert whole["id"] == response.getheader("x-request-id")
    assert pieces == [("", {"text": "one "}), ("", {"text": "two "}), ("", {"text": "three "})]
    assert name == "done"
    assert whole["output"] == {"text": "one two three "}
    assert whole["model"] == "words-1"


def test_what_fails_before_the_first_piece_is_an_error_like_any_other(serve, talker, ask, words):
    server = serve(talker)
    status, content, _ = ask(server, "POST", "/v1/predict/words/stream", {"no": "text"})
    assert (status, content["error"]["code"]) == (422, "cannot_be_read")
    status, content, _ = ask(server, "POST", "/v1/predict/words/stream", {"rows": [{"text": "a"}, {"text": "b"}]})
    assert (status, content["error"]["code"]) == (400, "bad_rows")
    status, content, _ = ask(server, "POST", "/v1/predict/nobody/stream", {"text": "a"})
    assert (status, content["error"]["code"]) == (404, "model_not_found")


def test_what_fails_later_is_an_event(serve, talker, ask):
    _, body, _ = ask(serve(talker), "POST", "/v1/predict/words/stream", {"text": "one drop two"})
    assert [name for name, _ in events(body)] == ["", "error"]
    assert "broke off" in events(body)[-1][1]["error"]["message"]


def test_nothing_to_say_is_an_answer_too(serve, talker, ask):
    _, body, _ = ask(serve(talker), "POST", "/v1/predict/words/stream", {"text": ""})
    assert [(name, content["output"]) for name, content in events(body)] == [("done", {"text": ""})]


def test_who_goes_away_is_no_longer_worked_for(address, talker):
    with post(address, {"text": "word " * 20_000}) as response:
        assert response.read(10)
    with post(address, {"text": "next"}) as response:  # waits until the thread is free
        assert response.status == 200
    assert type(talker).said < 10_000
