"""The record that a PDS holds: made from a track, checked against the lexicon, encoded as its CID needs it. Imports nothing of the outbox."""
