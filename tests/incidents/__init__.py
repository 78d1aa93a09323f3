"""Incidents of services that write database, storage and PDS inline, and what happens here: see docs/incidents.md."""
