"""Exports the log, and what cannot be made from it, to a dump file, and imports such a file."""
