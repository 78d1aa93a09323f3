"""Tracks: upload, edit, delete, revert, history, media, takedown."""
