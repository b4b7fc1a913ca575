"""What a request holds: rows in JSON, or the bytes of one file and a safe name for it."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any, NoReturn

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from speciate import Row, SpeciateError
from speciate_serving.refusal import Refusal, plain

__all__ = [
    "as_json",
    "content_type",
    "file_name",
    "given_name",
    "in_folder",
    "no_file",
    "refuse_empty",
    "rows_of",
    "spool",
]

LONGEST_NAME = 100
Lent = Mapping[str, Path]
DO = 'send a row, {"column": "value"}, or several, {"rows": [{...}, {...}]}'


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def rows_of(body: bytes, lent: Lent) -> tuple[list[Row], bool]:
    """The rows of a JSON body, and whether they came as a list; `lent` are this process's own files."""
    value = _parsed(body)
    if not isinstance(value, dict):
        raise _bad("bad_rows", "the body is not an object", f"it is {_kind(value)}", DO)
    if "rows" not in value:
        return [_row(value, lent)], False
    if len(value) > 1:
        raise _bad("bad_rows", '"rows" is not alone', f"there is also: {', '.join(sorted(set(value) - {'rows'}))}", DO)
    rows = value["rows"]
    if not isinstance(rows, list) or not rows:
        raise _bad("bad_rows", '"rows" is not a list of one row or more', f"it is {_kind(rows)}", DO)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _bad("bad_rows", f"row {i} is not an object", f"it is {_kind(row)}", DO)
    return [_row(row, lent) for row in rows], True


def as_json(rows: Sequence[Row], lent: dict[str, Path]) -> bytes:
    """The body that `rows_of` reads. Files are not sent but lent, under names that nobody can guess."""
    coded = [{key: _coded(value, lent) for key, value in row.items()} for row in rows]
    return json.dumps({"rows": coded}, allow_nan=False).encode()


def file_name(given: str, kind: str, patterns: Sequence[str]) -> str:
    """A name to write a file under: of what the client said, only what can do no harm."""
    base = given.replace("\\", "/").rsplit("/", 1)[-1]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", base)[-LONGEST_NAME:].lstrip(".-")
    return safe or "input" + _suffix(kind, patterns)


def given_name(request: Request) -> str:
    """`?filename=`, else what Content-Disposition says, else nothing."""
    _, options = parse_options_header(request.headers.get("content-disposition"))
    return request.query_params.get("filename") or options.get(b"filename", b"").decode("utf-8", "replace")


async def spool(request: Request, into: IO[bytes]) -> None:
    """The body, in memory while it is small and on disk when it is not."""
    async for chunk in request.stream():
        into.write(chunk)


def in_folder(sources: Sequence[tuple[str, IO[bytes]]], predict: Callable[..., Sequence[Row]]) -> list[Row]:
    """What `predict` says of the bytes as files, in a folder that only this user can read and that is gone after."""
    with tempfile.TemporaryDirectory(prefix="speciate-", ignore_cleanup_errors=True) as folder:
        paths = [Path(folder).resolve() / name for name, _ in sources]
        for path, (_, source) in zip(paths, sources, strict=True):
            source.seek(0)
            with path.open("wb") as file:
                shutil.copyfileobj(source, file)
        try:
            return list(predict(*paths))
        except SpeciateError as error:  # the client knows its files by name, and need not know our folders
            inside = f"{Path(folder).resolve()}/"
            parts = (part.replace(inside, "") for part in (error.asked, error.exists, error.do))
            raise SpeciateError(*parts) from error


def refuse_empty(source: IO[bytes]) -> None:
    if source.seek(0, 2) == 0:
        raise _bad("empty_body", "the body is empty", "it has 0 bytes", "send a row as JSON, or a file")


def no_file() -> Refusal:
    return _bad("no_file", "the form has no file", "", "send one file field: curl -F file=@NAME")


def _parsed(body: bytes) -> Any:
    try:
        value = json.loads(body, parse_constant=_not_json)
        if rb"\ud" in body.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text, and fails here
    except (ValueError, RecursionError) as error:
        raise _bad("bad_json", "the body is not JSON", str(error) if body else "it is empty", DO) from error
    return value


def _suffix(kind: str, patterns: Sequence[str]) -> str:
    """A suffix that the format knows: the content type's if it is one, else that of its first pattern."""
    for suffix in mimetypes.guess_all_extensions(kind):
        if any(fnmatch("input" + suffix, pattern) for pattern in patterns):
            return suffix
    return re.sub(r"[^A-Za-z0-9.]", "", patterns[0].partition("*")[2]) if patterns else ""


def _row(row: dict[str, Any], lent: Lent) -> Row:
    return {key: _value(key, value, lent) for key, value in row.items()}


def _value(key: str, value: Any, lent: Lent) -> Any:
    """JSON has no bytes: {"base64": "..."} stands for them."""
    if isinstance(value, dict) and set(value) == {"lent"} and value["lent"] in lent:
        return lent[value["lent"]]
    if not isinstance(value, dict) or set(value) != {"base64"}:
        return value
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (ValueError, TypeError) as error:
        raise _bad("bad_rows", f"{key!r} is not base64", str(error), 'send {"base64": "..."}') from error


def _coded(value: Any, lent: dict[str, Path]) -> Any:
    if isinstance(value, Path):
        name = secrets.token_hex()
        lent[name] = value
        return {"lent": name}
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else plain(value)


def _kind(value: Any) -> str:
    if value in ([], ""):
        return "empty"
    names = {list: "a list", str: "a string", bool: "true or false", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def _bad(code: str, asked: str, exists: str, do: str) -> Refusal:
    return Refusal(400, code, SpeciateError(asked, exists, do))


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
