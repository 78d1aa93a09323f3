"""Requests to a PDS, what its responses mean, and the limits that it names. Imports record."""
