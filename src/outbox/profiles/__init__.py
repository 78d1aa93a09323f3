"""Profiles as a kind of record."""
