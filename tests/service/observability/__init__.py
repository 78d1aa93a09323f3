"""Logs and metrics, and what they must not contain."""
