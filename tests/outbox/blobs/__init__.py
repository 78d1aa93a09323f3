"""Uploads of audio: jobs, claims, leases and time limits."""
