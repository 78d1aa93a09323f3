"""Connections, statements and types of the database."""
