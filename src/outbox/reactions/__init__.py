"""Likes and comments as kinds of records."""
