"""The server on a real port, and how it ends."""

import http.client
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from speciate import SpeciateError, UsageError

PREDICT = "/v1/predict/words"
SCRIPT = """
import sys, time
from pathlib import Path
from speciate import TEXT, Format
from speciate_serving import HttpOptions
from speciate_serving.http import HttpServer

folder = Path(sys.argv[1])

class Patient:
    name, info, format = "patient", {}, Format("lines", "", TEXT, patterns=("*.txt",), reader="nowhere:Nothing")

    def predict_rows(self, rows):
        (folder / "begun").touch()
        while not (folder / "let").exists():
            time.sleep(0.01)
        return [{"done": True} for row in rows]

HttpServer({"words": Patient()}, HttpOptions()).run("127.0.0.1", 0, lambda url: print(url, flush=True))
print("after", flush=True)
"""


@pytest.fixture
def running(serve, words):
    """A server in a thread, and its URL."""
    server, ready = serve(words, max_body_mb=1), queue.Queue()
    thread = threading.Thread(target=server.run, args=("127.0.0.1", 0, ready.put))
    thread.start()
    yield ready.get(timeout=30)
    server.stop()
    thread.join(30)
    assert not thread.is_alive()


def connect(url):
    where = urlsplit(url)
    return http.client.HTTPConnection(where.hostname, where.port, timeout=30)


def test_a_free_port_that_answers(running):
    assert urlsplit(running).port
    with urllib.request.urlopen(running + "/health", timeout=30) as answer:
        assert json.load(answer) == {"status": "ok", "models": ["words"]}
        assert "server" not in answer.headers


def test_one_connection_carries_many_requests(running):
    connection = connect(running)
    ids = set()
    for _ in range(3):
        connection.request("POST", PREDICT, b'{"text": "a b"}', {"content-type": "application/json"})
        answer = connection.getresponse()
        ids.add(answer.headers["x-request-id"])
        assert json.load(answer)["output"] == {"words": 2}
    connection.close()
    assert len(ids) == 3


def test_chunks_over_the_limit(running):
    connection = connect(running)
    connection.request("POST", PREDICT, iter([b"x" * 2**16] * 40), encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.load(answer)["error"]["code"] == "body_too_large"
    connection.close()


def test_a_wrong_host(running):
    connection = connect(running)
    connection.request("GET", "/health", headers={"host": "evil.example"})
    answer = connection.getresponse()
    assert (answer.status, bool(answer.read())) == (421, True)
    connection.close()


def test_ready_may_ask_at_once(serve, words):
    server, answers = serve(words), []

    def ready(url):
        with urllib.request.urlopen(url + "/health", timeout=30) as answer:
            answers.append(answer.status)
        server.stop()

    server.run("127.0.0.1", 0, ready)
    assert answers == [200]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
def test_other_machines_need_a_token(server, host):
    with pytest.raises(UsageError) as caught:
        server.run(host, 0, pytest.fail)
    assert "--token" in caught.value.do
    assert caught.value.exists


def test_with_a_token_other_machines_may_ask(serve, words):
    server, statuses = serve(words, token="secret"), []

    def ready(url):
        for headers in ({"host": "box.example", "authorization": "Bearer secret"}, {"host": "box.example"}):
            connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=30)
            connection.request("GET", "/v1/models", headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            connection.close()
        server.stop()

    server.run("0.0.0.0", 0, ready)
    assert statuses == [200, 401]


def test_a_port_that_is_taken(server):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SpeciateError, match="cannot listen") as caught:
        server.run("127.0.0.1", taken.getsockname()[1], pytest.fail)
    assert "--port 0" in caught.value.do


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_cannot_be(server, port):
    with pytest.raises(UsageError, match="no port"):
        server.run("127.0.0.1", port, pytest.fail)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_lets_a_request_finish_and_ends_well(tmp_path: Path, number):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        connection = connect(url)
        connection.request("POST", PREDICT, b'{"text": "a"}', {"content-type": "application/json"})
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        probe = urlsplit(url)
        while True:  # it no longer takes connections, and still has ours
            with socket.socket() as attempt:
                if attempt.connect_ex((probe.hostname, probe.port)):
                    break
            time.sleep(0.01)
        (tmp_path / "let").touch()
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["output"]) == (200, {"done": True})
        connection.close()
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "after\n", "")
