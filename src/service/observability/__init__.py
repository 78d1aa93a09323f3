"""Logs, metrics and readiness. Imports schema and config."""
