"""The kit on everything the plugin declares."""

from speciate.testing import FormatContract


class TestVideo(FormatContract):
    name = "video"
