"""Keeps the records on PDSes in agreement with the log: targets, lanes, the relay, the PDS client. Imports eventstore and aggregates."""
