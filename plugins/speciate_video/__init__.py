"""Video: clips of files and folders of numbered frames, and encoders that turn them into vectors. Declarations only."""

from speciate import FRAMES, Base, Format, Near, hookimpl
from speciate_video.options import ConvOptions, FrameMeanOptions, HFOptions, HistogramOptions, I3DOptions, VideoOptions

FILES = ("*.mp4", "*.m4v", "*.mov", "*.mkv", "*.webm", "*.avi", "*.frames.zip")
NUMBERED = tuple(f"*[0-9].{kind}" for kind in ("png", "jpg", "jpeg", "bmp", "tif", "tiff"))
MAGIC = (b"\x1a\x45\xdf\xa3", *(bytes((0, 0, 0, size)) + b"ftyp" for size in (20, 24, 28, 32, 36)))
HERE, EXTRA, TORCH = "speciate_video", "speciate[video]", ("torch",)


@hookimpl
def speciate_formats() -> list[Format]:
    summary = "clips of MP4, MOV, MKV, WebM and AVI files, and of folders of numbered frames"
    near = Near(f"{HERE}.near:signatures", threshold=0.7, band=4)
    known = (FILES + NUMBERED, f"{HERE}.reader:VideoReader", MAGIC, VideoOptions, near)
    made = (f"{HERE}.example:write", f"{HERE}.demo:atari", ("cv2",), EXTRA, True)
    seen = (f"{HERE}.folders:key", ("*.csv",), f"{HERE}.look:preview", f"{HERE}.look:augment")
    return [Format("video", summary, FRAMES, *known, *made, *seen)]


@hookimpl
def speciate_bases() -> list[Base]:
    i3d = "I3D: 12.3M weights, 1,024 numbers a clip, learnt on the actions of Kinetics-400"
    mean = "an image base over the frames: mean, spread and maximum in time"
    hub = "any video encoder of transformers, such as VideoMAE: base.id is a hub id or a local folder"
    conv = "a small 3D convolutional network from scratch, to be trained"
    counts = "colours and movements, counted: no weights, hundreds of clips a second"
    return [
        Base("i3d", i3d, FRAMES, f"{HERE}.i3d:I3D", I3DOptions, TORCH, EXTRA),
        Base("frame-mean", mean, FRAMES, f"{HERE}.pooled:FrameMean", FrameMeanOptions, gives=("vector", "places")),
        Base("hf-video", hub, FRAMES, f"{HERE}.hf:HFVideo", HFOptions, ("torch", "transformers"), EXTRA),
        Base("conv-video", conv, FRAMES, f"{HERE}.conv:ConvVideo", ConvOptions, TORCH, EXTRA),
        Base("frame-histograms", counts, FRAMES, f"{HERE}.histograms:Histograms", HistogramOptions, ("cv2",), EXTRA),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return [f"pkg://{HERE}.conf"]
