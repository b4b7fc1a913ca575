"""The 3D format and its bases against the conformance kit."""

from speciate.testing import BaseContract, FormatContract


class TestThreeD(FormatContract):
    name = "3d"


class TestShapeDescriptors(BaseContract):
    name = "shape-descriptors"


class TestPointNet(BaseContract):
    name = "pointnet"
