"""What the outbox's tests share: a relay with a PDS, and helpers for rows, locks, faults and foreign writes."""
