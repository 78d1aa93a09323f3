"""Reads whole repositories: page by page, or proven block by block. Imports mirror and below."""
