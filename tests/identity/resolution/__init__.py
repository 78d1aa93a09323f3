"""Handles, DIDs and the addresses that may be fetched."""
