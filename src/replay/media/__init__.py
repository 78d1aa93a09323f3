"""Checks stored bytes against their CIDs, and fetches lost ones from a PDS."""
