"""Lanes, targets and hosts: their rows, their locks, their order and their pauses."""
