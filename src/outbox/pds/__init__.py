"""Requests to a PDS, the meaning of its responses, and its rate limits. Imports record."""
