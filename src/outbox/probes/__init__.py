"""Probes accounts whose lanes are parked, and hosts that do not respond. Imports mirror and below."""
