"""Recipes for structures."""
