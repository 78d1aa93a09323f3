"""Proof, after the promotion of a standby, that it has all that was acknowledged (docs/adr/0025-proof-after-a-failover.md)."""
