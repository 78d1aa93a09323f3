"""The conformance tests of the `eventsourcing` library, on the log's tables."""
