"""What a person may choose about 3D files and their bases: plain dataclasses, which are also the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DepthViewsOptions", "PointNetOptions", "ShapeDescriptorsOptions", "ThreeDOptions"]


@dataclass
class ThreeDOptions:
    """How a file becomes points."""

    points: int = 2048  # taken from each surface or cloud
    seed: int = 0
    normalise: str = "sphere"  # centred and of radius 1; center: centred, in metres; none: where it is, in metres
    units: str = ""  # mm, cm, m, in or ft where a file does not say; "" takes m
    up: str = ""  # the axis that points up: x, y or z; "" takes what is usual: y for glTF and OBJ, z for the rest
    most: int = 10_000_000  # vertices, faces or points in a file
    most_mb: int = 512  # of a file


@dataclass
class DepthViewsOptions:
    """Pictures of the points from several sides, seen by an image base."""

    image: str = "efficientnet-lite0"  # any base of images, with its own defaults
    views: int = 3
    size: int = 128  # pixels
    pool: str = "concat"  # views one after another, or max: the strongest, whatever side it is seen from


@dataclass
class PointNetOptions:
    """A small PointNet++, from random weights."""

    seed: int = 0
    points: int = 1024  # of a sample; fewer are faster
    width: int = 256


@dataclass
class ShapeDescriptorsOptions:
    """Histograms of distances and directions."""

    bins: int = 32
    pairs: int = 8192  # of points that are measured
