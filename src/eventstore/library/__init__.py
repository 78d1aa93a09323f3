"""The `eventsourcing` library's persistence module on our log, so that its Application class can be used with it."""
