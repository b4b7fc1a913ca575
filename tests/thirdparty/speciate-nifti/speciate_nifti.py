"""NIfTI files as volumes: whatever learns from volumes learns from these, and nothing here knows what that is."""

from dataclasses import dataclass

from speciate import VOLUME, Format, SpeciateError, hookimpl

PATTERNS = ("*.nii", "*.nii.gz")


@dataclass
class NiftiOptions:
    """How a volume is read."""

    step: int = 1  # every so many voxels, along each axis
    most_voxels: int = 1 << 27


@hookimpl
def speciate_formats():
    kwargs = {"example": "speciate_nifti:example", "requires": ("nibabel",), "install": "speciate-nifti"}
    return [
        Format("nifti", "NIfTI files as volumes", VOLUME, PATTERNS, "speciate_nifti:Reader", (), NiftiOptions, **kwargs)
    ]


class Reader:
    def __init__(self, options):
        self.options = options

    def schema(self):
        return {"nifti": "blob"}

    def read(self, path):
        row = {"nifti": path.read_bytes()}
        voxels = self.decode(row)["voxels"]
        yield row | {"planes": voxels.shape[0], "height": voxels.shape[1], "width": voxels.shape[2]}

    def decode(self, row):
        import zlib

        import nibabel as nib
        import numpy as np

        data = row["nifti"]
        if data[:2] == b"\x1f\x8b":
            data = zlib.decompressobj(31).decompress(data, 8 * self.options.most_voxels)
        image = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(data))
        if len(image.shape) != 3 or not 0 < np.prod(image.shape, dtype=float) <= self.options.most_voxels:
            raise SpeciateError(f"this is no volume: its shape is {image.shape}", "a volume has three axes")
        voxels = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)[:: self.options.step]
        voxels = np.ascontiguousarray(voxels[:, :: self.options.step, :: self.options.step])
        spacing = np.array(image.header.get_zooms()[::-1], dtype=np.float32) * np.float32(self.options.step)
        return {"voxels": voxels, "spacing": spacing}


def example(folder):
    import nibabel as nib
    import numpy as np

    made = []
    for i, name in enumerate(("a.nii", "b.nii.gz", "c.nii")):
        values = np.random.default_rng(i).normal(i * 100, 50, (12, 10, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 2.5, 1.0])), folder / name)
        made.append(folder / name)
    return made
