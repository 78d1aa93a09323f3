"""Reads of whole repositories."""
