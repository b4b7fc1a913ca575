"""Files that mean harm or are broken: picked by hand, and mutated by the thousand from a seed."""

import random
import struct

from video_made import encoded, pictures, reader, video

SEEDS = {
    "h264.mp4": lambda path: encoded(path, "libx264"),
    "first.mp4": lambda path: encoded(path, "libx264", container={"movflags": "faststart"}),
    "plain.mp4": video,
    "plain.mov": video,
    "h264.mkv": lambda path: encoded(path, "libx264"),
    "vp8.webm": lambda path: encoded(path, "libvpx"),
    "vp9.webm": lambda path: encoded(path, "libvpx-vp9"),
    "mjpeg.avi": video,
    "shot.frames.zip": lambda path: frames(path),
}
BOMBS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x00\x00\x01", b"\x80\x00\x00\x00")


def frames(path):
    (row,) = reader().read_all(pictures(path.parent / f"{path.name}-frames"))
    path.write_bytes(row["video"].read_bytes())
    return path


def seeds(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return {name: make(folder / name).read_bytes() for name, make in SEEDS.items()}


def mutated(data, draw):
    """Flips, flips near the header, truncations, planted numbers, parts taken out, doubled or exchanged."""
    data, kind = bytearray(data), draw.random()
    if kind < 0.4:
        for _ in range(draw.choice((1, 1, 4, 16, 64))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind < 0.6:
        ends = [*range(min(512, len(data))), *range(max(0, len(data) - 1500), len(data))]
        for _ in range(draw.choice((1, 2, 8))):
            data[draw.choice(ends)] = draw.randrange(256)
    elif kind < 0.8:
        del data[draw.randrange(1, len(data)) :]
    elif kind < 0.9:
        at = draw.randrange(len(data) - 4)
        data[at : at + 4] = draw.choice(BOMBS)
    else:
        at, length = draw.randrange(len(data)), draw.randrange(1, 400)
        part = bytes(data[at : at + length])
        data[at : at + (length if draw.random() < 0.5 else 0)] = b"" if draw.random() < 0.5 else part[::-1]
    return bytes(data)


def mutants(originals, count, seed=0):
    """(name, bytes), each from one of the originals in turn."""
    draw = random.Random(seed)
    names = list(originals)
    for i in range(count):
        name = names[i % len(names)]
        yield name, mutated(originals[name], draw)


def by_hand(folder, good):
    """(path, what the refusal says)."""
    mp4, other = good["first.mp4"], good["plain.mp4"]
    stsz = mp4.index(b"stsz") + 4
    stsd = mp4.index(b"stsd") + 4
    huge = struct.pack(">HH", 65000, 65000)
    made = {
        "zero.mp4": (b"", "empty"),
        "list.mp4": (b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:9/a.ts\n", "no video"),
        "concat.mkv": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "no video"),
        "dash.mp4": (b"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>", "no video"),
        "sdp.avi": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "no video"),
        "picture.avi": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "no video"),
        "half.mp4": (mp4[: len(mp4) // 2], "bytes"),
        "late.mp4": (good["h264.mp4"][: len(good["h264.mp4"]) * 2 // 3], "bytes"),
        "half.mkv": (good["h264.mkv"][: len(good["h264.mkv"]) // 2], "bytes"),
        "half.avi": (good["mjpeg.avi"][: len(good["mjpeg.avi"]) // 2], "bytes"),
        "foreign-index.mp4": (
            mp4[: mp4.index(b"moov") - 4] + other[other.index(b"moov") - 4 :],
            "",
        ),
        "many.mp4": (mp4[: stsz + 8] + b"\x7f\xff\xff\xff" + mp4[stsz + 12 :], "frames"),
        "one-size-many.mp4": (mp4[: stsz + 4] + b"\x00\x00\x00\x01\x7f\xff\xff\xff" + mp4[stsz + 12 :], "frames"),
        "large.mp4": (mp4[: stsd + 40] + huge + mp4[stsd + 44 :], "65000 x 65000"),
        "noise.mkv": (good["h264.mkv"][:200] + random.Random(3).randbytes(5000), ""),
        "deep.mp4": (b"".join(struct.pack(">I4s", 8 * (5000 - i), b"moov") for i in range(5000)), ""),
        "endless.mp4": (b"\0\0\0\x01ftyp" + b"\xff" * 8, "bytes"),
        "nothing.avi": (b"RIFF\x04\0\0\0AVI ", "no video track"),
    }
    for name, (data, says) in made.items():
        (folder / name).write_bytes(data)
        yield folder / name, says
