"""Pictures: Speciate's reader, `speciate add` and EfficientNet-Lite0 against the bare libraries, one core each.

python benchmarks/format_image.py [PICTURES]      by default 400 of each kind, drawn here
"""

import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from bench import record, speciate
from PIL import Image
from torch.nn.functional import normalize

from speciate_image.bases import EfficientNetLite0
from speciate_image.efficientnet import EfficientNetLite0Network
from speciate_image.example import scene
from speciate_image.options import EfficientNetOptions, ImageOptions
from speciate_image.reader import ImageReader

KINDS = {"JPEG": {"quality": 90}, "PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {"quality": 80}}
HEIGHT, WIDTH = 600, 800


def draw(folder, kind, count):
    """Different pictures with noise, so that they are as hard to unpack as photographs."""
    rng, paths = np.random.RandomState(0), []
    base = [scene(seed, HEIGHT, WIDTH) for seed in range(8)]
    for i in range(count):
        pixels = cv2.add(np.roll(base[i % 8], i * 7, axis=1), rng.randint(0, 9, (HEIGHT, WIDTH, 3)).astype(np.uint8))
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, **KINDS[kind])
        paths.append(folder / f"{i}.{kind.lower()}")
        paths[-1].write_bytes(out.getvalue())
    return paths


def cpu(work, *given, times=2):
    """The fewest CPU seconds it took."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work(*given)
        taken.append(time.process_time() - start)
    return min(taken)


def opencv(paths):
    for path in paths:
        assert cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) is not None


def pillow(paths):
    for path in paths:
        np.asarray(Image.open(path).convert("RGB"))


def speciates(paths):
    reader = ImageReader(ImageOptions())
    for path in paths:
        list(reader.read(path))


def reading(folder, count):
    lines = ["| | OpenCV | Pillow | our reader | `speciate add` | reader / OpenCV | add / OpenCV |", "|" + " --- |" * 7]
    for kind in KINDS:
        (folder / kind).mkdir()
        paths = draw(folder / kind, kind, count)
        bare, other, ours = (cpu(work, paths) for work in (opencv, pillow, speciates))
        _, _, start = speciate("add", "few", *paths[:2], "--jobs", 1, workspace=folder / f"{kind}-start")
        _, _, whole = speciate("add", "all", folder / kind, "--jobs", 1, workspace=folder / f"{kind}-ws")
        add = whole - start
        rates = [f"{count / seconds:.0f}" for seconds in (bare, other, ours, add)]
        lines.append(f"| {kind} | {' | '.join(rates)} | {bare / ours:.2f} | {bare / add:.2f} |")
    return lines


def loop(samples):
    """What a script does: one batch of 16 after another, as torch comes."""
    network = EfficientNetLite0Network().eval()
    with torch.inference_mode():
        for start in range(0, len(samples), 16):
            part = [cv2.resize(s["pixels"], (224, 224), interpolation=cv2.INTER_AREA) for s in samples[start:][:16]]
            normalize(network(torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).contiguous()))


def encoding(count=48):
    samples = [{"pixels": scene(seed, 256, 256)} for seed in range(count)]
    torch.set_num_threads(1)
    lines = ["| | pictures a CPU second |", "| --- | --- |"]
    lines.append(f"| the same layers in a plain loop, fp32, 224 pixels | {count / cpu(loop, samples):.1f} |")
    for precision, size in (("fp32", 224), ("bf16", 224), ("fp32", 160), ("bf16", 160)):
        encoder = EfficientNetLite0(EfficientNetOptions(precision=precision, size=size))
        encoder.encode(samples[:8], lambda _: None)
        seconds = cpu(encoder.encode, samples, lambda _: None)
        lines.append(f"| efficientnet-lite0, {precision}, {size} pixels | {count / seconds:.1f} |")
    return lines


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        lines = [
            f"{count} pictures of {WIDTH} x {HEIGHT} of each kind; pictures a CPU second, starting up left out.",
            "",
        ]
        lines += reading(Path(name), count)
    record("Images: reading and encoding", [*lines, "", *encoding()])


if __name__ == "__main__":
    main()
