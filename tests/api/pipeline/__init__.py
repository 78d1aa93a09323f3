"""The steps around a command: idempotency, PDS preflight, Prefer: wait, a full disk."""
