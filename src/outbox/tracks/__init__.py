"""Tracks, as a kind of record: their mapping and their fields. Imports records and aggregates alone."""
