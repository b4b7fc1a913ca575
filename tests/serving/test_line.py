"""The line in front of the model: who waits, who is turned away, who has left."""

import asyncio
import json

import pytest

from speciate_serving.inprocess import call

PREDICT = "/v1/predict/words"
JSON = {"host": "localhost", "content-type": "application/json"}


async def begun(slow):
    assert await asyncio.to_thread(slow.begun.wait, 30)


async def until(what):
    while not what():
        await asyncio.sleep(0)


def predict(server):
    return asyncio.ensure_future(call(server.app, "POST", PREDICT, JSON, b'{"text": "a"}'))


def test_health_is_answered_while_a_model_computes(serve, slow):
    server = serve(slow)

    async def scene():
        asked = predict(server)
        await begun(slow)
        health = await call(server.app, "GET", "/health", JSON)
        assert (health.status, asked.done()) == (200, False)
        slow.let.set()
        assert (await asked).status == 200

    asyncio.run(scene())


@pytest.mark.parametrize("places", [0, 1, 3])
def test_who_finds_the_line_full_is_told_to_come_back(serve, slow, places):
    server = serve(slow, max_waiting=places)

    async def scene():
        asked = [predict(server)]
        await begun(slow)
        asked += [predict(server) for _ in range(places)]
        await until(lambda: server._worker.waiting == places)
        refused = await predict(server)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert json.loads(refused.body)["error"]["code"] == "queue_full"
        metrics = await call(server.app, "GET", "/metrics", JSON)
        assert f"speciate_waiting {places}\n" in metrics.body.decode()
        slow.let.set()
        assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * (places + 1)
        assert (await predict(server)).status == 200

    asyncio.run(scene())
    assert slow.calls == places + 2


async def ask_and_leave(server, left):
    """A client that hangs up when `left` is set; what was sent to it all the same."""
    body = [{"type": "http.request", "body": b'{"text": "a"}', "more_body": False}]
    sent = []

    async def receive():
        if body:
            return body.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in JSON.items()]
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": headers}
    await server.app({**scope, "root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send)
    return sent[0]["status"]


def test_nothing_is_computed_for_who_has_left(serve, slow):
    server = serve(slow, max_waiting=1)

    async def scene():
        left = asyncio.Event()
        first = predict(server)
        await begun(slow)
        second = asyncio.ensure_future(ask_and_leave(server, left))
        await until(lambda: server._worker.waiting == 1)
        left.set()
        assert await second == 499
        assert server._worker.waiting == 0  # the place is free at once
        third = predict(server)
        await until(lambda: server._worker.waiting == 1)
        slow.let.set()
        assert [(await first).status, (await third).status] == [200, 200]

    asyncio.run(scene())
    assert slow.calls == 2


def test_what_has_begun_is_finished(serve, slow):
    server = serve(slow)

    async def scene():
        left = asyncio.Event()
        asked = asyncio.ensure_future(ask_and_leave(server, left))
        await begun(slow)
        left.set()
        slow.let.set()
        assert await asked == 200

    asyncio.run(scene())
    assert slow.calls == 1


def test_a_cancelled_request_leaves_the_line(serve, slow):
    server = serve(slow)

    async def scene():
        first = predict(server)
        await begun(slow)
        second = predict(server)
        await until(lambda: server._worker.waiting == 1)
        second.cancel()
        await asyncio.wait([second])
        await until(lambda: server._worker.waiting == 0)
        slow.let.set()
        assert (await first).status == 200

    asyncio.run(scene())
    assert slow.calls == 1


def test_who_leaves_while_sending(server, words):
    async def scene():
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": PREDICT,
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        await server.app({**scope, "root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send)
        return sent[0]["status"]

    assert asyncio.run(scene()) == 499
    assert words.calls == 0
