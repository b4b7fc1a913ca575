"""Recipes for DICOM."""
