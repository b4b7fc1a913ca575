"""3D: meshes and clouds of points, and bases that look at their surface. Declarations only."""

from speciate import POINTS, Base, Format, Near, hookimpl
from speciate_3d.options import DepthViewsOptions, PointNetOptions, ShapeDescriptorsOptions, ThreeDOptions

KINDS = ("stl", "obj", "ply", "glb", "gltf", "off", "3mf", "xyz", "pcd", "las", "laz")
BESIDE = ("mtl", "bin", "png", "jpg", "jpeg", "bmp", "tga", "tif", "tiff", "webp", "dds", "ktx2")
PATTERNS, COMPANIONS = (tuple(f"*.{kind}" for kind in kinds) for kinds in (KINDS, BESIDE))
MAGIC = (b"glTF", b"ply\nformat ", b"ply\r\nformat ", b"OFF\n", b"OFF\r\n", b"# .PCD v", b"LASF")


@hookimpl
def speciate_formats() -> list[Format]:
    summary = "one thing a file: meshes (STL, OBJ, PLY, glTF, OFF, 3MF) and clouds (PLY, PCD, XYZ, LAS)"
    near = Near("speciate_3d.near:signatures", threshold=0.6, band=4)
    known = (PATTERNS, "speciate_3d.reader:ThreeDReader", MAGIC, ThreeDOptions, near)
    tried = ("speciate_3d.example:write", "speciate_3d.demo:furniture")
    shown, moved = "speciate_3d.preview:preview", "speciate_3d.augment:augment"
    return [Format("3d", summary, POINTS, *known, *tried, companions=COMPANIONS, preview=shown, augment=moved)]


@hookimpl
def speciate_bases() -> list[Base]:
    views = "pictures of the points from several sides, seen by an image base"
    net = "PointNet++ from random weights, for a Method to train"
    counts = "histograms of distances and directions: no weights, hundreds of things a second"
    where, install = "speciate_3d.descriptors:ShapeDescriptors", "speciate[3d]"
    return [
        Base("depth-views", views, POINTS, "speciate_3d.views:DepthViews", DepthViewsOptions),
        Base("pointnet", net, POINTS, "speciate_3d.pointnet:PointNet", PointNetOptions, ("torch",), install),
        Base("shape-descriptors", counts, POINTS, where, ShapeDescriptorsOptions),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return ["pkg://speciate_3d.conf"]
