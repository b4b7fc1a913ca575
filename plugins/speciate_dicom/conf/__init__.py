"""The recipes of DICOM, found by Hydra as pkg://speciate_dicom.conf."""
