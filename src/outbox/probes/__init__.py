"""Probes accounts of parked lanes, and of lanes whose host does not respond. Imports mirror and below."""
