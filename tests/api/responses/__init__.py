"""Errors, and responses held to the OpenAPI document."""
