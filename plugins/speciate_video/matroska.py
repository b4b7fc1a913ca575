"""The frames that a Matroska or WebM file holds, block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from speciate_video.containers import Claim, Damage

__all__ = ["claim"]

SEGMENT, CLUSTER, TRACKS, TRACK, VIDEO, GROUP = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0, 0xA0
MASTERS = {SEGMENT, CLUSTER, TRACKS, TRACK, VIDEO, GROUP}
NUMBER, TYPE, CODEC, WIDTH, HEIGHT, SIMPLE, BLOCK = 0xD7, 0x83, 0x86, 0xB0, 0xBA, 0xA3, 0xA1
NOTED = {NUMBER, TYPE, CODEC, WIDTH, HEIGHT}
TOP = {0x1A45DFA3, SEGMENT, CLUSTER, TRACKS, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
IN_CLUSTER = {0xE7, 0x5854, 0xA7, 0xAB, 0xAF, SIMPLE, GROUP}
IN_GROUP = {BLOCK, 0xA2, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8}
ANYWHERE = {0xEC, 0xBF}  # Void and CRC-32
KNOWN = TOP | IN_CLUSTER | IN_GROUP | ANYWHERE


@dataclass
class Track:
    """What is said of one track, unread."""

    said: dict[int, bytes] = field(default_factory=dict)

    def number(self, name: int) -> int:
        return int.from_bytes(self.said.get(name, b""), "big")


def claim(file: BinaryIO, size: int) -> Claim:
    tracks: list[Track] = []
    frames = at = 0
    clusters = False
    while at < size:
        name, start, length = _element(file, at)
        if clusters and name not in KNOWN:
            raise Damage(f"byte {at} begins nothing that is known")
        if length is not None and start + length > size:
            raise Damage(f"a part at byte {at} is {length} bytes long, {size - start} are there")
        if length is None and name not in MASTERS:
            raise Damage(f"a part at byte {at} has no length")
        clusters |= name == CLUSTER
        if name == TRACK:
            tracks.append(Track())
        elif tracks and name in NOTED and not clusters:
            tracks[-1].said[name] = _bytes(file, start, length or 0)
        elif name in (SIMPLE, BLOCK):
            frames += _shown(_bytes(file, start, min(length or 0, 10)), name, tracks)
        at = start if name in MASTERS else start + (length or 0)
    video = _video(tracks)
    return Claim("matroska", video.number(WIDTH), video.number(HEIGHT), frames, frames)


def _element(file: BinaryIO, at: int) -> tuple[int, int, int | None]:
    """(id, place of the content, its length, or None where the writer did not know)."""
    file.seek(at)
    head = file.read(12)
    wide = 9 - head[0].bit_length() if head and head[0] else 9
    if wide > 4 or len(head) <= wide:
        raise Damage(f"byte {at} begins nothing that is known")
    first = head[wide]
    more = 9 - first.bit_length() if first else 9
    if more > 8 or len(head) < wide + more:
        raise Damage(f"a part at byte {at} has no length")
    length = int.from_bytes(head[wide : wide + more], "big") & ((1 << 7 * more) - 1)
    unknown = length == (1 << 7 * more) - 1
    return int.from_bytes(head[:wide], "big"), at + wide + more, None if unknown else length


def _bytes(file: BinaryIO, at: int, length: int) -> bytes:
    if length > 256:
        raise Damage(f"a number or a name at byte {at} is {length} bytes long")
    file.seek(at)
    return file.read(length)


def _video(tracks: list[Track]) -> Track:
    found = next((track for track in tracks if track.number(TYPE) == 1), None)
    if found is None:
        raise Damage("it has no video track")
    return found


def _shown(head: bytes, name: int, tracks: list[Track]) -> int:
    """1 for a block of the video track that is to be seen: VP8 has helper frames that are not."""
    wide = 9 - head[0].bit_length() if head and head[0] else 9
    if len(head) < wide + 4:
        raise Damage("a block is too short")
    number, video = int.from_bytes(head[:wide], "big") & ((1 << 7 * wide) - 1), _video(tracks)
    if number not in {track.number(NUMBER) for track in tracks}:
        raise Damage(f"a block is of track {number}, which there is not")
    if number != video.number(NUMBER):
        return 0
    flags, first = head[wide + 2], head[wide + 3]
    hidden = name == SIMPLE and flags & 8
    helper = video.said.get(CODEC) == b"V_VP8" and not first & 16
    return 0 if hidden or helper else 1
