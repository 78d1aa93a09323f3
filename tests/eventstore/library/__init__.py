"""Recorders of the `eventsourcing` library on the log's tables, and the library's conformance tests."""
