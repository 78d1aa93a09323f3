"""Exports the log with what it does not contain, and loads such a file."""
