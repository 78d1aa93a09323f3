"""Backups of the database and of media, and what is put back from them."""
