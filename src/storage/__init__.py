"""Bytes: content-addressed media on disk or S3, and checks of what comes in. Imports eventstore and aggregates."""
