"""3D: meshes and point clouds, found by Hydra as pkg://speciate_3d.conf."""
