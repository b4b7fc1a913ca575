"""The records of a file, one after another in bounded memory, each with the place where it stands ("line 17").

Whatever is wrong with a file is a SpeciateError that names the place; half a file is never taken for a whole one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from speciate import SpeciateError, UsageError
from speciate_text.options import TextOptions

__all__ = ["LIMIT", "records"]

SHORT = 1 << 16  # bytes of a document that is read at once
LIMIT = 1 << 26  # characters in one line, field or document: a file without line ends must not fill the memory
FIELD = 1 << 24  # the same of a field in a table, which Python reads character by character
Record = tuple[str, dict[str, Any]]


def records(path: Path, options: TextOptions) -> Iterator[Record]:
    """(place, columns) of each row; `place` is "" for a document, which has no columns but "text"."""
    read, encoding = _kind(path), _encoding(options.encoding)
    try:
        try:
            yield from read(path, encoding, options)
        except UnicodeError:  # of a damaged gzip, reading on to the place may come to what is damaged
            raise _undecodable(path, encoding) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SpeciateError(
            f"{path.name} is a damaged or cut off gzip", str(error), "copy or download it again"
        ) from None


def stem(path: Path) -> str:
    """The suffix that says what is inside: .csv for a.csv.gz."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower()


def _kind(path: Path) -> Callable[[Path, str, TextOptions], Iterator[Record]]:
    kind = stem(path)
    if kind in (".jsonl", ".ndjson", ".json"):
        return _json
    if kind in (".csv", ".tsv", ".tab"):
        return _table
    return _parquet if kind == ".parquet" else _document


def _encoding(name: str) -> str:
    """The codec's own name; UTF-8 with or without a byte order mark."""
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise UsageError(f"no encoding named {name!r}", "", "try utf-8, utf-16, latin-1 or cp1252") from None
    return "utf-8-sig" if found == "utf-8" else found


def _bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _lines(path: Path, encoding: str, newline: str | None = None) -> Iterator[str]:
    """Lines with their ends, decoded strictly."""
    with _bytes(path) as raw, io.TextIOWrapper(raw, encoding, newline=newline) as file:
        for number, line in enumerate(iter(lambda: file.readline(LIMIT), ""), 1):
            if len(line) == LIMIT:
                raise _too_long(f"line {number} of {path.name}")
            yield line


def _too_long(what: str) -> SpeciateError:
    return SpeciateError(f"{what} is too long", f"the limit is {LIMIT:,} characters", "split it into several")


def _json(path: Path, encoding: str, options: TextOptions) -> Iterator[Record]:
    for number, line in enumerate(_lines(path, encoding), 1):
        if line.isspace():
            continue
        place = f"line {number}"
        try:
            value = json.loads(line)
            if "\\u" in line:  # the one way to write half a character
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            exists = "it holds half of a surrogate pair (\\ud800 to \\udfff)"
            raise SpeciateError(f"{place} of {path.name} is no valid text", exists, "write the file again") from None
        except (ValueError, RecursionError) as error:
            raise _not_json(path, number, line, error) from None
        if not isinstance(value, dict):
            raise _not_object(path, place, value)
        yield place, value


def _not_json(path: Path, number: int, line: str, error: Exception) -> SpeciateError:
    if number == 1 and line.lstrip().startswith("["):
        return _array(path)
    do = "mend or remove the line; each line is one JSON object"
    exists = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return SpeciateError(f"line {number} of {path.name} is not JSON", exists, do)


def _not_object(path: Path, place: str, value: Any) -> SpeciateError:
    if isinstance(value, list):
        return _array(path)
    exists = f"it is a {type(value).__name__}"
    return SpeciateError(f"{place} of {path.name} is not a JSON object", exists, 'write lines like {"text": "..."}')


def _array(path: Path) -> SpeciateError:
    do = f"type `jq -c '.[]' {path.name} > rows.jsonl` and add that"
    return SpeciateError(f"{path.name} should hold one JSON object a line", "it holds a JSON array", do)


def _table(path: Path, encoding: str, options: TextOptions) -> Iterator[Record]:
    csv.field_size_limit(min(FIELD, LIMIT))
    lines = _lines(path, encoding, newline="")
    first = next(lines, "")
    reader = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(path, first, options), strict=True)
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            if not header:
                header = _header(path, cells)
            elif cells:
                yield f"line {start}", _cells(path, start, header, cells)
            start = reader.line_num + 1
    except csv.Error as error:
        do = "close the quote, and write a quote inside a field twice"
        raise SpeciateError(f"line {start} of {path.name} is broken", str(error), do) from None


def _delimiter(path: Path, first: str, options: TextOptions) -> str:
    given = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    if len(given) > 1 or given in ('"', "\n", "\r"):
        raise UsageError(f"delimiter {given!r}", "it has to be one character", "type -o delimiter=';' or delimiter=tab")
    if given:
        return given
    if stem(path) != ".csv":
        return "\t"
    return next((mark for mark in (",", ";", "\t") if mark in first), ",")


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [name.strip() or f"column_{i}" for i, name in enumerate(cells, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpeciateError(
            f"{path.name} names a column twice", f"its header repeats: {', '.join(twice)}", "rename one"
        )
    return names


def _cells(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        exists = f"the header has {len(header)}: {', '.join(header)[:200]}"
        do = "put quotes around a text with the delimiter in it"
        raise SpeciateError(f"line {line} of {path.name} has {len(cells)} fields", exists, do)
    if any("\0" in cell for cell in cells):
        raise _binary(path)
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path, encoding: str, options: TextOptions) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            rows = (row for batch in file.iter_batches(batch_size=_size(path, file)) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"row {number}", row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpeciateError(f"{path.name} is no readable Parquet file", reason, "copy or write it again") from None


def _size(path: Path, file: Any) -> int:
    """How many rows to read at once, by the first: a long text that a dictionary repeats is a file of a few kilobytes.
    What the footer says of sizes is not asked: where a damaged one does not go together, pyarrow ends the process."""
    first = next(file.iter_batches(batch_size=1), None)
    size = max(1, first.nbytes) if first is not None else 1
    if size > 4 * LIMIT:  # bytes of a character
        raise _too_long(f"row 1 of {path.name}")
    return max(1, min(1024, 2 * LIMIT // size))


def _document(path: Path, encoding: str, options: TextOptions) -> Iterator[Record]:
    with _bytes(path) as raw:
        data = raw.read(SHORT)
        if data.startswith(b"PAR1"):
            yield from _parquet(path, encoding, options)
            return
        text = _long(raw, encoding) if len(data) == SHORT else _decoded(data, encoding)
    if len(text) > LIMIT:
        raise _too_long(path.name)
    if "\0" in text:
        raise _binary(path)
    if text:
        yield "", {"text": text, "folder": path.absolute().parent.name}


def _decoded(data: bytes, encoding: str) -> str:
    """A short document at once, as a text file is read: whatever ends its lines is one sign."""
    decoder = codecs.getincrementaldecoder(encoding)()
    return io.IncrementalNewlineDecoder(decoder, translate=True).decode(data, final=True)


def _long(raw: gzip.GzipFile | io.BufferedReader, encoding: str) -> str:
    raw.seek(0)
    with io.TextIOWrapper(raw, encoding) as file:
        return file.read(LIMIT + 1)


def _binary(path: Path) -> SpeciateError:
    return SpeciateError(
        f"{path.name} is not text", "it has NUL bytes in it", "give its kind with --format, or leave it out"
    )


def _undecodable(path: Path, encoding: str) -> SpeciateError:
    """Read again, to say where the first wrong byte is."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before, start = 0, b""
    asked = f"{path.name} is not {encoding.removesuffix('-sig')}"
    with _bytes(path) as file:
        while True:
            block = file.read(1 << 16)
            start = start or block[:2]
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                where = before - held + error.start
                exists = f"byte {error.object[error.start]:#04x} at offset {where} cannot be decoded"
                other = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin-1"
                return SpeciateError(asked, exists, f"type -o encoding={other}")
            except UnicodeError as error:  # a UTF-16 stream without its mark
                return SpeciateError(asked, str(error), "type -o encoding=latin-1")
            if not block:
                return SpeciateError(asked, "its bytes cannot be decoded", "type -o encoding=latin-1")
            before += len(block)
