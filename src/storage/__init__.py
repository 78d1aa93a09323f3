"""Bytes: content-addressed media on disk or S3, and the checks on what comes in. Imports eventstore and aggregates."""
