"""ServerContract: a served answer is the model's answer, with a port and without."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlsplit

import pytest

from speciate import Row, Server, SpeciateError
from speciate.contracts import ServerApp
from speciate.model import Model
from speciate.testing.contract import Contract, command, environment
from speciate.testing.walk import walk

__all__ = ["ServerContract"]

PATIENCE = 30  # seconds to be ready in, to answer in, and to end in
SERVING = """
from pathlib import Path
from speciate import Server
from speciate.model import Model
model = Model(Path(sys.argv[2]), catalog)
server = catalog.get(Server, sys.argv[3])
app = catalog.use(server, "app")({model.name: model}, options_of(server, json.loads(sys.argv[4])))
app.run("127.0.0.1", 0, lambda url: print(url, flush=True))
"""


class ServerContract(Contract):
    """Serves a tiny model that a run made; `request` says how a client asks, by default as HTTP and JSON."""

    kind = Server
    names = ("app",)
    base: ClassVar[str] = "hash-ngrams"
    method: ClassVar[str] = "probe"
    asked: ClassVar[list[Row]] = [
        {"text": "runs smooth and quiet"},
        {"text": "smoke and noise: broke down again"},
    ]

    def request(self, url: str, name: str, rows: list[Row]) -> list[Row]:
        """One real request for the outputs of some rows."""
        where = urlsplit(url)
        connection = HTTPConnection(where.hostname or "", where.port or 80, timeout=PATIENCE)
        try:
            body, headers = json.dumps({"rows": rows}), {"content-type": "application/json"}
            connection.request("POST", f"/v1/predict/{quote(name, safe='')}", body, headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            assert answer.status == 200, f"asked {url} and got {answer.status}: {content}"
            outputs: list[Row] = content["outputs"]
            return outputs
        finally:
            connection.close()

    @pytest.fixture
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Model:
        self.use("app")
        if type(self) not in MODELS:
            MODELS[type(self)] = self.trained(Path(tmp_path_factory.mktemp("served")))
        return MODELS[type(self)]

    def trained(self, folder: Path) -> Model:
        """The model to serve; `asked` are rows for it."""
        workspace = walk(folder, self.catalog, "classify")
        ran = workspace.run("", f"base={self.base}", f"method={self.method}", dataset="easy")
        return workspace.model(ran.model)

    def app(self, model: Model) -> ServerApp:
        app: ServerApp = self.use("app")({model.name: model}, self.chosen())
        return app

    def test_asking_gives_the_models_answers(self, model: Model) -> None:
        app = self.app(model)
        assert app.ask(model.name, self.asked) == model.predict_rows(self.asked), "served and direct answers differ"
        assert app.ask(model.name, self.asked[:1]) == model.predict_rows(self.asked[:1]), "one row answers otherwise"

    def test_an_unknown_model_is_told(self, model: Model) -> None:
        with pytest.raises(SpeciateError):
            self.app(model).ask("no-such-model", self.asked)

    def test_a_row_without_its_column_is_told(self, model: Model) -> None:
        with pytest.raises(SpeciateError):
            self.app(model).ask(model.name, [{"no_such_column": 1}])

    def test_a_real_request_is_answered(self, model: Model) -> None:
        """In a process of its own: `ready` is called when it answers, and it ends when it is told to."""
        with self.serving(model) as url:
            outputs = self.request(url, model.name, self.asked)
        assert outputs == model.predict_rows(self.asked), "answers through the port differ from the model's"

    @contextmanager
    def serving(self, model: Model) -> Iterator[str]:
        """A server on a free port (port 0), and where it is."""
        argv = command(self.catalog, SERVING, str(model.folder), self.name, json.dumps(dict(self.options)))
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment()) as process:
            late = threading.Timer(PATIENCE, process.kill)
            late.start()
            try:
                url = process.stdout.readline().strip() if process.stdout else ""
                assert url, f"it ended before it was ready:\n{process.stderr.read() if process.stderr else ''}"
                late.cancel()
                yield url
                process.terminate()
                process.wait(PATIENCE)
            finally:
                late.cancel()
                process.kill()


MODELS: dict[type[ServerContract], Model] = {}  # one model for all checks of a contract
