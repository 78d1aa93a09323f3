"""Rebuilds read models from the log while they are in use."""
