"""Video's recipes, found by Hydra as pkg://speciate_video.conf."""
