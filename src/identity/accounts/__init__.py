"""Accounts of this service: rows, credentials, API tokens, sign-in and erasure. Imports sessions and below."""
