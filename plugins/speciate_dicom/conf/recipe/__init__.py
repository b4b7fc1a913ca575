"""Recipes, by modality."""
