"""Compares PDSes with the log, and plans the repairs that make them agree."""
