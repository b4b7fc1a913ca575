"""The Reader of pictures: a row is one file, kept as it is; training and serving decode the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speciate import Row, Sample, UsageError
from speciate.errors import unknown
from speciate_image.near import look
from speciate_image.options import ImageOptions
from speciate_image.pixels import decoded, glanced

__all__ = ["ImageReader"]

DEEP = ("spread", "full", "window")


class ImageReader:
    """Reads one picture: of those that move the first, of those with pages the first."""

    def __init__(self, options: ImageOptions) -> None:
        if options.deep not in DEEP:
            raise unknown("way to scale deep pictures", options.deep, DEEP, "type -o deep=spread")
        if not 0 <= options.background <= 255 or options.max_pixels < 1 or not options.low < options.high:
            asked = (
                f"background={options.background} max_pixels={options.max_pixels} low={options.low} high={options.high}"
            )
            exists = "background is from 0 to 255, max_pixels at least 1, low less than high"
            raise UsageError(asked, exists, "type -o background=255 or leave it out")
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"image": "blob"}

    def read(self, path: Path) -> Iterator[Row]:
        """The whole picture is unpacked once, so that what is damaged shows now."""
        data = path.read_bytes()
        header, pixels = glanced(data, self.options, path.name)
        facts = {"width": header.width, "height": header.height, "mode": header.mode, "bits": header.bits}
        yield {"image": data, **facts, "kind": header.kind, "frames": header.frames, "look": look(pixels)}

    def decode(self, row: Mapping[str, Any]) -> Sample:
        return {"pixels": decoded(row["image"], self.options)[1]}
