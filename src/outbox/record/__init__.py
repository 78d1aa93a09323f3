"""Records of any kind: what a kind has to say of itself, lexicons, encoding and CIDs. Imports nothing of the outbox."""
