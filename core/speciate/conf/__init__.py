"""The primary Hydra config; recipes and options come from plugins."""
