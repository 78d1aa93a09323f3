"""Bytes that tracks name: checked, and repaired from a PDS."""
