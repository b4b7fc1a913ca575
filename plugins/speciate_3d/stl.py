"""STL: triangles, binary or as text. The size of a binary file says whether its count is true."""

from __future__ import annotations

import struct

import numpy as np

from speciate_3d.shape import Broken, Floats, Shape, numbers, too_many, values

__all__ = ["parse"]

HEADER, RECORD = 84, 50
WORDS = {b"endfacet": 1, b"facet": 1, b"normal": 1, b"outer": 1, b"endloop": 1, b"loop": 1, b"vertex": 3}
FACET = b"facet normal 0 0 0 outer loop vertex 0 0 0 vertex 0 0 0 vertex 0 0 0 endloop endfacet".split()
NUMBERS = [place for place, word in enumerate(FACET) if word == b"0"]
FIXED = [place for place, word in enumerate(FACET) if word != b"0"]
CHUNK = 1 << 22


def parse(data: bytes, most: int) -> Shape:
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= HEADER else -1
    if count >= 0 and HEADER + RECORD * count == len(data):
        corners = _binary(data, count, most)
    elif data[:512].lstrip().lower().startswith(b"solid") and b"\0" not in data[:512]:
        corners = _text(data, most)
    elif data[:512].isascii() and b"\0" not in data[:512]:
        raise Broken("it is text that does not begin with solid", "give it the suffix of its kind if it is no STL")
    elif count < 0:
        raise Broken(f"it has {len(data)} bytes, a binary STL has at least {HEADER}")
    else:
        room = (len(data) - HEADER) / RECORD
        raise Broken(f"its header at byte 80 says {count:,} triangles, its size says {room:,.2f}")
    if not len(corners):
        raise Broken("it has no triangles")
    return Shape(corners, np.arange(len(corners)).reshape(-1, 3))


def _binary(data: bytes, count: int, most: int) -> Floats:
    if 3 * count > most:
        raise too_many(3 * count, most)
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    return np.frombuffer(data, kind, count, HEADER)["corners"].astype(np.float64).reshape(-1, 3)


def _text(data: bytes, most: int) -> Floats:
    body, start = _body(data.lower()), 0
    if body.count(b"endfacet") * 3 > most:
        raise too_many(body.count(b"endfacet") * 3, most)
    parts: list[Floats] = []
    while start < len(body):
        found = body.find(b"endfacet", start + CHUNK)
        end = found + len(b"endfacet") if found >= 0 else len(body)
        parts.append(_facets(body[start:end], sum(map(len, parts)) // 3))
        start = end
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def _body(text: bytes) -> bytes:
    """The facets of all solids, without the lines that begin and end one."""
    found, words, at = [], list[bytes](), 0
    while (place := text.find(b"solid", at)) >= 0:
        start = max(text.rfind(b"\n", 0, place), text.rfind(b"\r", 0, place)) + 1
        end = min((e for e in (text.find(b"\n", place), text.find(b"\r", place)) if e >= 0), default=len(text))
        words.append(text[start:end].split()[0])
        found.append(text[at:start])
        at = end
    if not words or words != [b"solid", b"endsolid"] * (len(words) // 2):
        raise Broken(f"{words.count(b'solid')} solids begin and {words.count(b'endsolid')} end: it is cut off")
    if text[at:].strip():
        raise Broken(f"{len(text) - at:,} bytes follow its last solid")
    return b"".join(found)


def _facets(text: bytes, before: int) -> Floats:
    """Corners of facets: every word at its place, or at least as often as it should be, and twelve numbers a facet."""
    count, what = text.count(b"endfacet"), f"a facet after {before}"
    words = text.split()
    if len(words) == count * len(FACET) and all(words[at :: len(FACET)].count(FACET[at]) == count for at in FIXED):
        found = values([word for at in NUMBERS for word in words[at :: len(FACET)]], what)
        return found.reshape(len(NUMBERS), count).T.reshape(count, 4, 3)[:, 1:].reshape(-1, 3)
    for word, times in WORDS.items():  # the longer ones first: what is found is taken out
        if text.count(word) != times * count:
            where = f"facets {before} to {before + count}"
            raise Broken(f"{where} have {text.count(word):,} times {word.decode()!r}, {times * count:,} are due")
        text = text.replace(word, b" ")
    return numbers(text, what, 12 * count).reshape(count, 4, 3)[:, 1:].reshape(-1, 3)
