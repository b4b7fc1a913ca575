"""Image's recipes, found by Hydra as pkg://speciate_image.conf."""
