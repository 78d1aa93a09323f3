"""From stored rows to aggregates."""
