"""Compares PDSes with the log, and plans and applies the repairs that make them agree."""
