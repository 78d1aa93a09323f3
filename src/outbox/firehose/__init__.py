"""Hearing of what others do to our records as it happens. Imports mirror and below."""
