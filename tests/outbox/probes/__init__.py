"""Probes of accounts that are parked, moved or gone."""
