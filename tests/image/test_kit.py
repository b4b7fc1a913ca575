"""The conformance kit on everything this plugin declares."""

from speciate.testing import BaseContract, FormatContract


class TestImageFormat(FormatContract):
    name = "image"


class TestEfficientNetLite0(BaseContract):
    name = "efficientnet-lite0"


class TestShapeColour(BaseContract):
    name = "shape-colour"


class TestConvImage(BaseContract):
    name = "conv-image"


class TestUNetImage(BaseContract):
    name = "unet-image"
