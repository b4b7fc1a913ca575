"""The conformance kit on everything this plugin declares."""

from speciate.testing import BaseContract, FormatContract


class TestImageFormat(FormatContract):
    name = "image"


class TestEfficientNetLite0(BaseContract):
    name = "efficientnet-lite0"


class TestEfficientNetLite0Exact(BaseContract):
    name = "efficientnet-lite0"
    options = {"precision": "fp32", "size": 64, "fit": "pad", "batch": 3}  # noqa: RUF012


class TestShapeColour(BaseContract):
    name = "shape-colour"


class TestConvImage(BaseContract):
    name = "conv-image"
