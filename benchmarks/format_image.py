"""Pictures beside OpenCV and Pillow, and EfficientNet-Lite0: `python benchmarks/format_image.py [--files N] [--dry]`.

Bare: cv2.imread in a loop. Ours: the Reader, which also checks what it decodes, turns it upright and looks at it.
"""

import io
import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from bench import BESIDE, bar, beside, cpu, options, record
from PIL import Image
from torch.nn.functional import normalize

from speciate.hub import resolve
from speciate_image.bases import EfficientNetLite0
from speciate_image.efficientnet import EfficientNetLite0Network
from speciate_image.example import scene
from speciate_image.options import EfficientNetOptions, ImageOptions
from speciate_image.reader import ImageReader

KINDS = {"JPEG": {"quality": 90}, "PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {"quality": 80}}
TIMES = {"JPEG": 8, "WEBP": 3}  # so many times as many of the quick ones, or the time is that of starting up
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


def opencv(paths):
    for path in paths:
        assert cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) is not None


def pillow(paths):
    for path in paths:
        np.asarray(Image.open(path).convert("RGB"))


def reading(folder, count):
    lines, ratios, others = list(BESIDE), {}, []
    for kind in KINDS:
        (folder / kind).mkdir()
        many = count * TIMES.get(kind, 1)
        paths = draw(folder / kind, kind, many)
        line, _, ratios[kind] = beside(kind, paths, opencv, ImageReader(ImageOptions()), folder)
        lines.append(line)
        others.append(f"{kind} {many / cpu(pillow, paths):.1f}")
    return [*lines, "", f"- Pillow: {', '.join(others)}.", bar("`add` beside bare OpenCV", ratios, 0.8)]


def loop(samples):
    """What a script does: one batch of 16 after another, as torch comes."""
    network = EfficientNetLite0Network().eval()
    with torch.inference_mode():
        for start in range(0, len(samples), 16):
            part = [cv2.resize(s["pixels"], (224, 224), interpolation=cv2.INTER_AREA) for s in samples[start:][:16]]
            normalize(network(torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).contiguous()))


def encoding(count):
    samples = [{"pixels": scene(seed, 256, 256)} for seed in range(count)]
    torch.set_num_threads(1)
    lines = ["| | pictures a CPU second |", "| --- | --- |"]
    plain = cpu(loop, samples, times=2)
    lines.append(f"| the same layers in a plain loop, fp32, 224 pixels | {count / plain:.1f} |")
    ratios = {}
    for precision, size in (("fp32", 224), ("bf16", 224), ("fp32", 160), ("bf16", 160)):
        encoder = EfficientNetLite0(EfficientNetOptions(precision=precision, size=size))
        encoder.encode(samples[:8], lambda _: None)
        seconds = cpu(encoder.encode, samples, lambda _: None, times=2)
        lines.append(f"| efficientnet-lite0, {precision}, {size} pixels | {count / seconds:.1f} |")
        if size == 224 and precision == resolve("auto"):  # what this machine chooses, on what the loop is given
            ratios[precision] = plain / seconds
    return [*lines, "", bar("the encoder beside the plain loop", ratios, 1.0)]


def main():
    asked = options(__doc__, 400).parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        many = f"{asked.files} pictures of {WIDTH} x {HEIGHT} of each kind, more of {', '.join(TIMES)}"
        lines = [f"{many}; pictures a CPU second.", ""]
        lines += reading(Path(name), asked.files)
    record("Format: image", [*lines, "", *encoding(min(48, asked.files))], asked.dry)


if __name__ == "__main__":
    main()
