"""Who may ask, and how much they may send."""

import asyncio
import json

import pytest

PREDICT = "/v1/predict/words"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]", "[::1]:8000", "LOCALHOST:1"])
def test_its_own_names(server, ask, host):
    assert ask(server, "GET", "/health", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil", "localhost:x", "[::1", "a@localhost"]
)
def test_other_names(server, ask, host):
    status, content, headers = ask(server, "GET", "/health", host=host)
    assert (status, content["error"]["code"]) == (421, "wrong_host")
    assert headers["x-request-id"]


def test_any_name_where_a_token_protects(serve, words):
    server = serve(words, token="secret")
    server.app = server.app_for(frozenset())
    assert server.ask("words", [{"text": "a"}]) == [{"words": 1}]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "http://localhost.evil", "["]
)
def test_foreign_pages(server, ask, words, origin):
    status, content, _ = ask(server, "POST", PREDICT, {"text": "a"}, origin=origin)
    assert (status, content["error"]["code"]) == (403, "foreign_origin")
    assert words.calls == 0


def test_cross_site(server, ask):
    assert ask(server, "GET", "/health", sec_fetch_site="cross-site")[0] == 403
    assert ask(server, "GET", "/health", sec_fetch_site="same-origin")[0] == 200


def test_its_own_pages(server, ask):
    headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
    assert ask(server, "POST", PREDICT, {"text": "a"}, **headers)[0] == 200


@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer wrong", "Basic sécret", "sécret", "Bearer \xff"])
def test_no_token(serve, ask, words, sent):
    headers = {} if sent is None else {"authorization": sent}
    server = serve(words, token="sécret")
    for path in ("/v1/models", "/metrics", "/nowhere"):
        status, content, found = ask(server, "GET", path, **headers)
        assert (status, content["error"]["code"]) == (401, "no_token")
        assert found["www-authenticate"] == "Bearer"
    assert ask(server, "GET", "/health", **headers)[0] == 200


def test_token(serve, ask, words):
    server = serve(words, token="sécret")
    sent = "bearer " + "sécret".encode().decode("latin-1")  # as header bytes travel
    assert ask(server, "GET", "/v1/models", authorization=sent)[0] == 200


async def upload(app, chunks, **headers):
    """Send a body in chunks with no length; the status, the error code and how many chunks were taken."""
    taken, sent = 0, []
    over = asyncio.Event()

    async def receive():
        nonlocal taken
        if taken == len(chunks):
            await over.wait()
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": taken < len(chunks)}

    async def send(message):
        sent.append(message)

    pairs = [
        (name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()
    ]
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": pairs}
    await app({**scope, "root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send)
    over.set()
    content = json.loads(sent[1]["body"])
    return sent[0]["status"], content.get("error", {}).get("code"), taken


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data; boundary=sep"])
def test_a_body_without_a_length_is_cut_at_the_limit(server, form, words, temp, kind):
    chunks = [b"x" * 2**16] * 100
    if kind.startswith("multipart"):
        chunks = [form("x.txt", b"")[0].partition(b"\r\n--sep--")[0], *chunks]
    status, code, taken = asyncio.run(upload(server.app, chunks, content_type=kind))
    assert (status, code) == (413, "body_too_large")
    assert taken == 17
    assert words.calls == 0
    assert not list(temp.iterdir())


def test_a_body_at_the_limit(server):
    status, _, taken = asyncio.run(upload(server.app, [b"x" * 2**16] * 16))
    assert (status, taken) == (200, 16)


@pytest.mark.parametrize("length", [str(2**20 + 1), "9" * 30])
def test_an_announced_length_is_refused_before_it_is_sent(server, length):
    status, _, taken = asyncio.run(upload(server.app, [b"x"], content_length=length))
    assert (status, taken) == (413, 0)
