"""Idempotency-Keys: results of earlier requests, and the lock of a running one."""
