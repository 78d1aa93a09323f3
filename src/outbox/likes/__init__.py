"""Likes as a kind of record."""
