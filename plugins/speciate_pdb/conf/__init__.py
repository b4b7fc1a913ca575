"""The recipes for structures, found by Hydra as pkg://speciate_pdb.conf."""
