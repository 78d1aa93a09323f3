"""Parsers of audio containers that read no more than a bounded part of a file."""
