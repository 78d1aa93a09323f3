"""Migrations against the declared tables."""
