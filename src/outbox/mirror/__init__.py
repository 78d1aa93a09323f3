"""Rows that the relay works from: targets, lanes, hosts, and what makes them wait. Imports pds and record."""
