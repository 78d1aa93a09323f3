"""Follows the firehose for changes that others make to our records. Imports mirror and below."""
