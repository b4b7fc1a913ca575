"""Formats whose content is a file: tapes, of which each row is a part; and strips, several files that make one tape."""

from pathlib import Path

from speciate import TEXT, Format, Preview, Quarantined, SpeciateError, hookimpl
from speciate.files import scratch


class Tape:
    """Words of a file, one row each: the file is kept once."""

    def __init__(self, options):
        pass

    def schema(self):
        return {"tape": "file", "start": "int64", "end": "int64"}

    def read(self, path):
        yield from self._rows(path)

    def _rows(self, path):
        start = 0
        for word in path.read_text().split(" "):
            yield {"tape": path, "start": start, "end": start + len(word), "label": word[:1], "word": word}
            start += len(word) + 1

    def decode(self, row):
        return {"text": row["tape"].read_text()[row["start"] : row["end"]]}


class Strips(Tape):
    def read(self, path):
        yield from self.read_all([path])

    def read_all(self, paths):
        good = [path for path in paths if path.read_text() != "torn"]
        yield from (Quarantined(str(path), "it is torn") for path in paths if path not in good)
        if any(path.read_text() == "burnt" for path in good):
            raise SpeciateError(f"{paths[0].name} is burnt")
        whole = scratch() / "whole.txt"
        whole.write_text(" ".join(path.read_text() for path in good))
        yield from self._rows(whole)


def key(path: Path) -> str:
    if path.read_text() == "crumpled":
        raise ValueError("it is crumpled")
    return path.name.partition("-")[0]


def show(row, sample):
    if sample["text"] == "torn":
        raise ValueError("<it> is torn")
    return Preview(sample["text"].encode(), f"<b>{sample['text']}</b><script>alert('{row['word']}')</script>")


@hookimpl
def speciate_formats():
    return [
        Format("tape", "words on a tape", TEXT, ("*.tape",), "tapes:Tape", preview="tapes:show"),
        Format("strips", "a tape in strips", TEXT, ("*.strip",), "tapes:Strips", together="tapes:key"),
    ]
