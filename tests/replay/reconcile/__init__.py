"""Comparison of the log with what the PDSes hold, and its repair."""
