"""Uploads audio to PDSes, in jobs of their own, so that only the record that needs one waits. Imports mirror and below."""
