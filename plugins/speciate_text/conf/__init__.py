"""Text's recipes, found by Hydra as pkg://speciate_text.conf."""
