"""Compares PDSes with the log, and plans and applies what would make them agree."""
