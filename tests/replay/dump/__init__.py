"""Export of a log to a file, and import."""
